"""What a bundle does before it runs, and the configuration that is running."""

from __future__ import annotations

import copy
import difflib
import inspect
import re
import warnings
from collections.abc import Mapping
from typing import Any

from monai.bundle import ConfigParser
from monai.utils import set_determinism

from medseg import errors
from medseg.errors import Fault, UsageError

# Ids that nothing refers to because MONAI or a command reads them.
READ_BY_NAME = {"bundle_root", "dataset_dir", "device", "imports", "initialize", "run", "finalize", "_meta_", "train",
                "validate", "evaluator", "network_def", "handlers", "inferer", "dataset", "preprocessing",
                "postprocessing", "run_name"}  # fmt: skip
QUIET = (
    "Unable to import.*[Nn]v[Ii]mg[Cc]odec.*",
    ".*nvimgcodec.*",
    "parsing config_file .*",  # ours are read from the package; others are named in the docs
)


def prepare(seed: int | None = None) -> None:
    """Called by every bundle's ``initialize``: quiet what is noise, seed, refuse a misspelt top-level key.

    Raises:
        UsageError: a key that nothing reads and that looks like one that is read (MONAI ignores it in silence).
    """
    errors.show_last()
    for message in QUIET:
        warnings.filterwarnings("ignore", message=message)
    if seed is not None:
        set_determinism(seed)
    _refuse_misspelt(running_config())


def running_config() -> dict[str, Any]:
    """The merged configuration, overrides included, of the bundle that is evaluating this very call.

    MONAI gives an expression no way to reach its parser, so the parser is looked up on the call stack.

    Raises:
        RuntimeError: when no `ConfigParser` is calling.
    """
    frame = inspect.currentframe()
    while frame is not None:
        parser = frame.f_locals.get("self")
        if isinstance(parser, ConfigParser):
            return copy.deepcopy(parser.config)
        frame = frame.f_back
    raise RuntimeError("running_config is called from a bundle's configuration")


def _refuse_misspelt(config: Mapping[str, Any]) -> None:
    read = READ_BY_NAME | set(re.findall(r"@([A-Za-z_]\w*)", repr(config)))
    for key in config:
        near = difflib.get_close_matches(str(key), sorted(read), 1, 0.75)
        if key not in read and near:
            fix = f"did you mean '{near[0]}'?"
            raise UsageError(Fault("E901", f"unknown key '{key}': nothing in this bundle reads it", fix))
