"""What a data folder holds, in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from medseg.cases.case import Case
from medseg.cases.check import CheckedCase
from medseg.cases.check_all import check_cases
from medseg.cases.layouts import DataSet
from medseg.errors import DataError
from medseg.geometry import Geometry
from medseg.volumes import read_geometry

SHOWN = 5


def describe(
    data_set: DataSet, drop_empty: bool = False, checked: Sequence[CheckedCase] | None = None
) -> list[tuple[str, str]]:
    """Names and values of what a data set holds: layout, cases, groups, modality, slices, what was ignored.

    Headers are read, no voxels. With `drop_empty` the labels are read too: slices and cases without label are counted,
    and cases without label are left out of the other numbers. With `checked`, what a check has read, nothing is read.
    """
    if drop_empty and checked is None:
        checked = check_cases(data_set.cases)
    cases, facts = _from_headers(data_set.cases) if checked is None else _from_labels(checked, drop_empty)
    found = [] if data_set.labels is None else list(data_set.labels.values.items())
    named = ", ".join(f"{name} {'+'.join(map(str, values))}" for name, values in found)
    findings = _findings(cases)
    return [
        ("layout", data_set.layout),
        ("cases", _subsets(cases)),
        ("groups", f"{len({case.group for case in cases}):,}"),
        ("modality", _counted(Counter(str(case.meta.get("modality", "not stated")) for case in cases))),
        ("images a case", _counted(Counter(str(len(case.images)) for case in cases))),
        *([("labels", named)] if named else []),
        *([("image labels", ", ".join(f"{n:,} {name}" for name, n in findings.most_common()))] if findings else []),
        *facts,
        ("without label", _named([case.id for case in data_set.cases if case.label is None and not case.negative])),
        ("ignored", _ignored(data_set.ignored)),
    ]


def _subsets(cases: list[Case]) -> str:
    counts: Counter[str] = Counter(str(case.meta.get("subset", "to train on")) for case in cases)
    return f"{len(cases):,}" + (f": {_counted(counts)}" if counts else "")


def _findings(cases: list[Case]) -> Counter[str]:
    return Counter(name for case in cases for name, value in case.image_labels.items() if value)


def _counted(counts: Counter[str]) -> str:
    return (
        ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) if len(counts) > 1 else "".join(counts)
    )


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    return f"{len(names):,}" + (f": {shown}" if names else "")


def _ignored(ignored: Mapping[Path, str]) -> str:
    reasons: dict[str, list[str]] = {}
    for path, reason in ignored.items():
        reasons.setdefault(reason, []).append(str(path))
    return "; ".join(f"{reason}: {_named(paths)}" for reason, paths in reasons.items()) or "nothing"


def _from_headers(cases: list[Case]) -> tuple[list[Case], list[tuple[str, str]]]:
    grids, unreadable = [], []
    for case in tqdm(cases, "headers", unit="case", disable=None, leave=False):
        try:
            grids.append(read_geometry(case.images[0]))
        except DataError:
            unreadable.append(case.id)
    slices = sum(grid.shape[grid.slice_axis] for grid in grids)
    facts = [("slices", f"{slices:,} {_kind(grids)}; --drop-empty counts those without label")]
    facts += [("unreadable", f"{_named(unreadable)}; medseg check says why")] if unreadable else []
    return cases, facts


def _from_labels(checked: Sequence[CheckedCase], drop_empty: bool) -> tuple[list[Case], list[tuple[str, str]]]:
    holding = [each for each in checked if each.case.negative or (each.case.label is not None and not each.is_empty)]
    kept = holding if drop_empty else checked
    slices, labelled = sum(each.slices for each in kept), sum(each.labelled_slices for each in kept)
    kind = _kind([each.grid for each in kept if each.grid is not None])
    facts = [
        ("empty labels", _named([each.case.id for each in checked if each.is_empty])),
        ("slices", f"{slices:,} {kind}, {slices - labelled:,} of them without label"),
    ]
    return [each.case for each in kept], facts


def _kind(grids: list[Geometry]) -> str:
    return "pictures" if grids and all(grid.unit == "px" for grid in grids) else "axial"
