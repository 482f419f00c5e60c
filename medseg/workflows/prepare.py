"""What a bundle does before it runs, and the configuration that is running."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.utils import set_determinism

from medseg import errors, files, settings
from medseg.errors import Fault, UsageError
from medseg.workflows.bundles import suggestion

# Ids that no other id refers to, because MONAI, a consumer or a command reads them by name; `weights` names the
# checkpoint of a run, of which a standalone bundle has one.
READ_BY_NAME = {"bundle_root", "dataset_dir", "device", "imports", "initialize", "run", "finalize", "_meta_", "train",
                "validate", "evaluator", "network_def", "handlers", "inferer", "dataset", "preprocessing",
                "postprocessing", "run_name", "tracking_uri", "experiment_name", "save_execute_config",
                "is_not_rank0", "weights"}  # fmt: skip
DECISIVE = ("labels", "network_def", "deterministic")  # what a network's output hangs on
MACHINE = {"bundle_root", "cache_dir", "dataset_dir", "device", "output_dir", "rank", "world"}
QUIET = (
    "Unable to import.*[Nn]v[Ii]mg[Cc]odec.*",
    ".*nvimgcodec.*",
    "parsing config_file .*",  # ours are read from the package; others are named in the docs
)


def prepare(seed: int | None = None, deterministic_algorithms: bool = False) -> None:
    """Called by every bundle's ``initialize``: quiet what is noise, seed, refuse a misspelt top-level key.

    Args:
        seed: of torch, numpy and random, where the run draws from them.
        deterministic_algorithms: on a GPU, only algorithms that give the same bits each time, and an error from PyTorch
            where there is none. Otherwise cuDNN tries its algorithms and keeps the quickest. On a CPU nothing changes.

    Raises:
        UsageError: a top-level key that nothing reads (MONAI ignores it in silence), a setting that makes no sense, or
            an evaluation with another network, labels or preprocessing than the run in its folder was trained with.
    """
    errors.show_last()
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_not_ours)
    for message in QUIET:
        warnings.filterwarnings("ignore", message=message)
    if seed is not None:
        only = settings.switch("deterministic_algorithms", deterministic_algorithms)
        if only:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
        set_determinism(seed, use_deterministic_algorithms=only)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = only, not only
    config = running_config()
    _refuse_misspelt(config)
    _refuse_other_settings(config)


def warn(message: str) -> None:
    """Log a warning of a method's own, for its ``+initialize``: of a reported setting that nobody could verify, say."""
    logging.getLogger(__name__).warning(message)


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


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Whether ignite's log of a failing engine should be shown: of an error of ours the message itself is, last."""
    return not (record.name.startswith("ignite") and record.levelno == logging.ERROR and errors.find(sys.exc_info()[1]))


def read_keys(config: Mapping[str, Any]) -> set[str]:
    """Top-level ids that others refer to."""
    return set(re.findall(r"@([A-Za-z_]\w*)", repr(config)))


def _own_keys(bundle_root: Any) -> set[str]:
    """Keys of the bundle's own files: where a delta makes one moot (another metric, say), it is no misspelling."""
    paths = [Path(str(bundle_root)) / "configs" / f"{name}.yaml" for name in ("train", "inference")]
    return {key for path in paths if path.is_file() for key in ConfigParser.load_config_file(str(path))}


def _refuse_misspelt(config: Mapping[str, Any]) -> None:
    read = READ_BY_NAME | read_keys(config) | _own_keys(config.get("bundle_root"))
    faults = [
        Fault(
            "E901", f"unknown key '{key}': nothing in this bundle reads it", f"use a known key{suggestion(key, read)}"
        )
        for key in config
        if key not in read
    ]
    if faults:
        raise UsageError(*faults)


def _refuse_other_settings(config: Mapping[str, Any]) -> None:
    """An evaluation that prepares images otherwise than the training did would give other scores, in silence."""
    if "checkpoint_file" not in config or "validate" not in config:
        return
    folder = ConfigParser(copy.deepcopy(dict(config))).get_parsed_content("output_dir")
    trained = Path(str(folder)) / "config.yaml"
    if not trained.is_file():
        return
    before = files.read_yaml(trained)
    other = [name for name in _decisive(config) if _as_text(config.get(name)) != _as_text(before.get(name))]
    if other:
        fix = f"give the run's settings and method again, or run its own bundle: medseg run {folder}/bundle evaluate"
        what = f"the run was trained with another {', '.join(other)}"
        expected, found = (_as_text({name: each.get(name) for name in other})[:200] for each in (before, config))
        raise UsageError(Fault("E903", what, fix, expected, found, trained))


def _decisive(config: Mapping[str, Any]) -> list[str]:
    """The ids that say what a network is given and what it is, and those that they refer to."""
    found, ahead = list[str](), list(DECISIVE)
    while ahead:
        name = ahead.pop(0)
        if name not in found and name in config and name not in MACHINE:
            found.append(name)
            ahead += sorted(read_keys({name: config[name]}))
    return found


def _as_text(content: Any) -> str:
    """JSON in which a number is the same as a whole number and as a fraction."""
    return re.sub(r"\b(\d+)\.0\b", r"\1", json.dumps(content, sort_keys=True, default=str))
