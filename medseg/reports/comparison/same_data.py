"""Whether two tables of scores are of the same cases, labels and references, measured the same way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg.errors import DataError, Fault
from medseg.metrics.summary import number, patient, unit
from medseg.reports.run_folder import Rows
from medseg.reports.text_table import plain, shorten

NAMED = 4  # of the cases that differ
LONGEST = 40
RELATIVE = 1e-6  # of numbers written by other programs
Row = Mapping[str, str]
Key = tuple[str, str]


@dataclass(frozen=True)
class Scored:
    """A table of scores, and where it is from.

    Attributes:
        method: whose.
        path: the run folder; of folds, the folder they lie in.
        rows: of ``cases.csv``, one subset.
        splits: content of the runs' ``split.json``.
    """

    method: str
    path: Path
    rows: Rows
    splits: Sequence[Mapping[str, Any]]


def refuse_other_data(first: Scored, other: Scored) -> None:
    """Compare what two tables were scored on.

    Raises:
        DataError: E507, every kind of difference with the first cases that have it, and in which run.
    """
    faults = [
        *_sets("the subset", first, other, lambda scored: {row.get("subset", "") for row in scored.rows}),
        *_sets("cases", first, other, lambda scored: {row["case"] for row in scored.rows}),
        *_sets("labels", first, other, lambda scored: {row["label"] for row in scored.rows}),
    ]
    if not faults:
        faults = _cells(first, other) + _digests(first, other)
    if faults:
        raise DataError(*faults)


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(shorten(plain(name) or "(none)", LONGEST) for name in names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown


def _sets(what: str, first: Scored, other: Scored, found: Callable[[Scored], set[str]]) -> list[Fault]:
    ours, theirs = found(first), found(other)
    if ours == theirs:
        return []
    parts = [
        f"{len(only)} in {plain(scored.method)} alone ({listed(only)})"
        for scored, only in ((first, sorted(ours - theirs)), (other, sorted(theirs - ours)))
        if only
    ]
    fix = "evaluate all runs on the same cases with the same labels"
    return [Fault("E507", f"{what} of the runs differ", fix, f"those of {first.path}", "; ".join(parts), other.path)]


def _cells(first: Scored, other: Scored) -> list[Fault]:
    """What must be the same in the rows of a case and label."""
    asked: dict[str, tuple[Callable[[Row], Any], str]] = {
        "patients (group)": (patient, "give each case the same group in all runs"),
        "units of distances": (unit, "score all runs in the same unit"),
        "tolerances": (_numbers("tolerance_mm"), "score all runs with the same tolerance"),
        "spacings": (_numbers("spacing_mm"), "score all runs on the images' own grids"),
        "volumes of the reference": (_numbers("reference_ml"), "score all runs against the same references"),
        "sizes of the reference": (_numbers("reference_voxels"), "score all runs against the same references"),
    }
    theirs: dict[Key, Row] = {(row["case"], row["label"]): row for row in other.rows}
    missing = [(row["case"], row["label"]) for row in first.rows if (row["case"], row["label"]) not in theirs]
    if missing or len(first.rows) != len(other.rows):
        fix = "evaluate all runs on the same cases with the same labels"
        found = f"{len(other.rows)} rows; without {listed([' '.join(key) for key in missing])}"
        return [Fault("E507", "rows of the runs differ", fix, f"{len(first.rows)} rows", found, other.path)]
    faults = []
    for what, (ask, fix) in asked.items():
        differ = [(row, match) for row in first.rows
                  if not _alike(ask(row), ask(match := theirs[row["case"], row["label"]]))]  # fmt: skip
        if differ:
            cases = list(dict.fromkeys(row["case"] for row, _ in differ))
            row, match = differ[0]
            expected = f"{_shown(ask(row))} as in {first.path}"
            found = f"{_shown(ask(match))}; {len(cases)} cases differ: {listed(cases)}"
            faults.append(Fault("E507", f"{what} of the runs differ", fix, expected, found, other.path, cases[0]))
    return faults


def _numbers(column: str) -> Callable[[Row], list[float | None] | None]:
    """A cell as numbers; None for a table without the column, which cannot differ."""
    return lambda row: [number(part) for part in row[column].split()] if column in row else None


def _alike(one: Any, two: Any) -> bool:
    if not isinstance(one, list) or not isinstance(two, list):
        return one == two or one is None or two is None
    return len(one) == len(two) and all(
        a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=RELATIVE))
        for a, b in zip(one, two, strict=True)
    )


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join("-" if each is None else f"{each:g}" for each in value) or "nothing"
    return shorten(plain(value), LONGEST)


def _digests(first: Scored, other: Scored) -> list[Fault]:
    """Whether a case's files are the same in both runs, where both recorded them."""
    scored = {row["case"] for row in first.rows}
    ours, theirs = _recorded(first), _recorded(other)
    faults = []
    for part in ("image", "label"):
        differ = [case for case in ours if case in scored and case in theirs and ours[case].get(part)
                  and theirs[case].get(part) and ours[case][part] != theirs[case][part]]  # fmt: skip
        if differ:
            what = f"the {part} of a case is not the same file in both runs"
            fix = "train and evaluate all runs on one copy of the data"
            found = f"{len(differ)} cases differ: {listed(differ)}"
            where = f"the digest in {first.path / 'split.json'}"
            faults.append(Fault("E507", what, fix, where, found, other.path / "split.json", differ[0]))
    return faults


def _recorded(scored: Scored) -> dict[str, Mapping[str, Any]]:
    """Case to its digests."""
    members = [case for split in scored.splits for subset in split.values() if isinstance(subset, list)
               for case in subset if isinstance(case, Mapping)]  # fmt: skip
    return {str(case.get("case")): case["digest"] for case in members if isinstance(case.get("digest"), Mapping)}
