"""Whether runs are of one method, which alone makes them seeds or folds of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from medseg.errors import DataError, Fault
from medseg.reports.run_folder import RunFolder
from medseg.reports.text_table import plain, shorten

RECORDED = ("network", "parameters", "batch_size", "precision")  # in record.json
CONFIGURED = ("patch_size",)  # in config.yaml
LONGEST = 60


def refuse_other_methods(name: str, runs: Sequence[RunFolder]) -> None:
    """Refuse runs that recorded another network, number of parameters, batch or patch size, or precision.

    Their mean would be that of different methods, and what tells them apart would count as what a seed changes. What a
    run did not record is not held against it. Other lengths are allowed, and said:
    `medseg.reports.comparison.same_method.unlike_runs`.

    Args:
        name: of the method.
        runs: its runs.

    Raises:
        DataError: E507, with the first run that differs from one before it, and in what.
    """
    known: dict[str, tuple[Any, RunFolder]] = {}
    for run in runs:
        found = _facts(run)
        other = [fact for fact in found if fact in known and known[fact][0] != found[fact]]
        if other:
            before = known[other[0]][1]
            fix = "give each method a folder of its own, or leave other runs out"
            ours, theirs = (_listed(other, {fact: known[fact][0] for fact in other}), _listed(other, found))
            raise DataError(Fault("E507", f"the runs of {plain(name)} are not of one method", fix,
                                  f"{ours} as in {before.path}", theirs, run.path))  # fmt: skip
        known = {fact: (value, run) for fact, value in found.items()} | known


def configuration(run: RunFolder) -> dict[str, Any]:
    """What ``config.yaml`` holds; nothing where there is none, or it is damaged."""
    content = _parsed(run.config) if run.config else None
    return content if isinstance(content, dict) else {}


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # the same, written in C
    except (yaml.YAMLError, RecursionError):
        return None


def _facts(run: RunFolder) -> dict[str, Any]:
    configured = configuration(run)
    found = {name: run.record.get(name) for name in RECORDED} | {name: configured.get(name) for name in CONFIGURED}
    return {name: value for name, value in found.items() if value is not None}


def _listed(names: Sequence[str], facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {shorten(plain(str(facts[name])), LONGEST)}" for name in names)
