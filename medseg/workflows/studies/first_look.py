"""What must hold before the first run of a study: every method's configuration, the data, the same cases for all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from medseg.errors import Fault, UsageError, find
from medseg.labels import Labels
from medseg.workflows.bundles import config_files
from medseg.workflows.studies.study_file import Method

ON_CPU = {"device": "$torch.device('cpu')"}  # what is built to be tried takes no memory of a GPU


@dataclass(frozen=True)
class FirstLook:
    """What a look at configurations and data found.

    Attributes:
        cases: how many are trained on and how many are scored.
        split: a digest over which case, by content, is on which side.
        steps: a method's updates an epoch.
        configurations: a digest of each method's merged configuration.
        labels: those that are scored; empty where the configuration names none.
    """

    cases: Mapping[str, int]
    split: str
    steps: Mapping[str, int]
    configurations: Mapping[str, str]
    labels: tuple[str, ...] = ()


def look_first(bundle: Path, data: str, methods: Sequence[Method], settings: Mapping[str, Any]) -> FirstLook:
    """Check every key, target and reference of every method and build its optimizers; then read the data once.

    Args:
        bundle: its folder.
        data: the data folder.
        methods: whose settings go above `settings`, which are those of all.

    Raises:
        UsageError: what `refuse_unknown_keys` and `preflight` find, with the method; E903, an optimizer (or its
            network) that cannot be built, or methods with other cases.
        DataError: what is wrong with the data.
    """
    from medseg.workflows.preflight import merge, preflight, refuse_unknown_keys

    given = {"bundle_root": str(bundle), "dataset_dir": data}
    parsers, digests = {}, {}
    labels: tuple[str, ...] = ()
    for method in methods:
        overrides = dict(settings) | dict(method.settings)
        files = config_files(bundle, "train", method.delta)
        try:
            for each in (files, config_files(bundle, "evaluate", method.delta)):
                refuse_unknown_keys(each, overrides)
                preflight(merge(each, overrides))
            _build_optimizers(merge(files, overrides | given | ON_CPU))
        except UsageError as error:
            raise UsageError(
                *(replace(fault, what=f"{method.name}: {fault.what}") for fault in error.faults)
            ) from error
        digests[method.name] = _digest(merge(files, overrides).config)
        parsers[method.name] = partial(merge, files, overrides | given)
        labels = labels or _labels(merge(config_files(bundle, "evaluate", method.delta), overrides).config)
    try:
        cases, steps = _read_data(parsers)
    except Exception as error:  # MONAI wraps ours several times
        ours = find(error)
        if ours is None or ours is error:
            raise
        raise ours from error
    counts = {subset: len(items) for subset, items in cases.items()}
    contents = {subset: [[item["case"], *_contents(item)] for item in items] for subset, items in cases.items()}
    return FirstLook(counts, _digest(contents), steps, digests, labels)


def _build_optimizers(parser: Any) -> None:
    """Build every optimizer with the network that it is of, which finds values that make no sense (a learning rate that
    is no number) before hours of runs do.
    """
    from medseg.workflows.preflight import optimizers

    parser.parse()
    for identity in optimizers(parser):
        try:
            parser.get_parsed_content(identity)
        except Exception as error:  # MONAI wraps it several times
            ours = find(error)
            if ours is not None:
                raise ours from error
            root: BaseException = error
            while root.__cause__ is not None:
                root = root.__cause__
            reason = f"{type(root).__name__}: {' '.join(str(root).split())}"
            fix = "check the settings that it and its network take"
            raise UsageError(Fault("E903", f"{identity} cannot be built", fix, found=reason)) from error


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The foreground's; nothing where they are damaged, which reading the cases says better."""
    try:
        return tuple(Labels(config["labels"]).foreground)
    except (KeyError, UsageError):
        return ()


def _read_data(parsers: Mapping[str, Callable[[], Any]]) -> tuple[dict[str, list[dict[str, Any]]], dict[str, int]]:
    """The cases, which are read once, and every method's updates an epoch."""
    arguments = {
        name: parser().get_parsed_content("cases", instantiate=False).config for name, parser in parsers.items()
    }
    first = next(iter(arguments.values()))
    other = [name for name, given in arguments.items() if given != first]
    if other:
        fix = "set what decides which cases are used for all methods at once"
        what = "the methods would not be scored on the same cases"
        raise UsageError(Fault("E903", what, fix, str(first), f"{other[0]}: {arguments[other[0]]}"))
    cases, steps = None, {}
    for name, parser in parsers.items():
        own = parser()
        own.parse()
        if cases is not None:
            own.ref_resolver.resolved_content["cases"] = cases
        cases = own.get_parsed_content("cases")
        steps[name] = len(own.get_parsed_content("train::dataloader"))
    return cases or {}, steps


def _contents(item: Mapping[str, Any]) -> list[str]:
    """Digests of a case's files."""
    from medseg.volumes import digest

    paths = [item["image"], item.get("label") or item.get("reference") or []]
    return [digest(path) for each in paths for path in ([each] if isinstance(each, str) else each)]


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
