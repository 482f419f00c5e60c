"""Strata: rows of scores sorted by lesion volume, slice thickness, location, modality or any other column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from medseg.errors import Fault, UsageError
from medseg.metrics.summary import number, unit

Row = Mapping[str, Any]

THICKNESS = "thickness_mm"  # a column that every table of scores has, by way of its spacing
FEW = 6  # distinct numbers that are strata of their own


def stratify(rows: Iterable[Row], column: str, cuts: Sequence[float] | None = None) -> dict[str, list[Row]]:
    """Rows by stratum, for `medseg.metrics.summary.summarise` to take one at a time.

    A column of text has a stratum for each text, and so has one of a few numbers that repeat (6 at most, over twice as
    many cases: slices of 1, 3 or 5 mm). Other numbers are cut into thirds of the cases, for each label by itself: its
    tertiles, as the shortest numbers that part the same cases, found without those in which the label is absent. The
    strata's names say their bounds, ``1.2 <= reference_ml < 10``; a case on a bound belongs above it. Cases whose cell
    is empty are a stratum of their own, the last. A stratum without cases does not occur.

    Args:
        rows: rows of ``cases.csv`` (text) or of a scoring (numbers).
        column: any of theirs (``reference_ml`` is the lesion's volume), or ``thickness_mm``, the largest spacing.
        cuts: where numbers are cut, for all labels, in place of the tertiles.

    Raises:
        UsageError: E903, there is no such column, or cuts of one that holds text.
    """
    rows = list(rows)
    cells = [_cell(row, column) for row in rows]
    if rows and all(cell is None for cell in cells):
        known = ", ".join(dict.fromkeys([*(name for row in rows for name in row), THICKNESS]))
        raise UsageError(Fault("E903", "no such column to make strata of", "choose one of those", known, column))
    numbers = _numbers(cells)
    if numbers is None:
        if cuts is not None:
            text = next(str(cell) for cell in cells if not is_number(cell))
            raise UsageError(Fault("E903", f"{column} holds text and cannot be cut", "leave the cuts out",
                                   "numbers", text))  # fmt: skip
        return _by_value(rows, column, ["" if cell is None else str(cell) for cell in cells])
    given = [found for found in numbers if found is not None]
    n_cases = len({row["case"] for row, found in zip(rows, numbers, strict=True) if found is not None})
    if cuts is None and len(set(given)) <= FEW and 2 * len(set(given)) <= n_cases:
        return _by_value(rows, column, numbers)
    return _by_size(rows, column, numbers, cuts)


def _by_value(rows: Sequence[Row], column: str, keys: Sequence[Any]) -> dict[str, list[Row]]:
    """A stratum a value, in their order; an empty one last."""
    strata: dict[Any, list[Row]] = {}
    for row, key in zip(rows, keys, strict=True):
        strata.setdefault(key, []).append(row)
    order = sorted(strata, key=lambda key: (key in ("", None), key if key is not None else 0))
    return {_not_given(column) if key in ("", None) else f"{column} = {_shown(key)}": strata[key] for key in order}


def _by_size(
    rows: Sequence[Row], column: str, numbers: Sequence[float | None], cuts: Sequence[float] | None
) -> dict[str, list[Row]]:
    """Strata between cuts, label by label; cases without a number last."""
    members: dict[str, list[tuple[Row, float]]] = {}
    without = []
    for row, found in zip(rows, numbers, strict=True):
        if found is None:
            without.append(row)
        else:
            members.setdefault(str(row["label"]), []).append((row, found))
    strata: dict[str, list[Row]] = {}
    for own in members.values():
        points = _tertiles(own) if cuts is None else sorted(set(cuts))
        for place in range(len(points) + 1):
            chosen = [row for row, found in own if np.searchsorted(points, found, side="right") == place]
            if chosen:
                strata.setdefault(_bounds(column, points, place, own[0][1]), []).extend(chosen)
    return strata | ({_not_given(column): without} if without else {})


def _tertiles(members: Sequence[tuple[Row, float]]) -> list[float]:
    """Two cuts, or fewer where many cases are alike; each leaves cases on both of its sides."""
    present = [found for row, found in members if row.get("empties") != "absent"]
    found = np.sort(present or [found for _, found in members])
    rising = found[found > found[0]]
    cuts = [cut for cut in np.quantile(found, (1 / 3, 2 / 3)) if cut > found[0]] or rising[:1]
    return sorted({_between(found[found < cut].max(), found[found >= cut].min()) for cut in cuts})


def _between(below: float, above: float) -> float:
    """The shortest number over the one and not over the other."""
    short = (math.floor(above * 10.0**places) / 10.0**places for places in range(-9, 17))
    return next((float(each) for each in short if below < each <= above), float(above))


def _bounds(column: str, points: Sequence[float], place: int, only: float) -> str:
    if not points:
        return f"{column} = {_shown(only)}"
    if place == 0:
        return f"{column} < {_shown(points[0])}"
    if place == len(points):
        return f"{column} >= {_shown(points[-1])}"
    return f"{_shown(points[place - 1])} <= {column} < {_shown(points[place])}"


def _not_given(column: str) -> str:
    return f"{column} not given"


def _shown(key: Any) -> str:
    return repr(float(key)).removesuffix(".0") if isinstance(key, float) else str(key)


def _cell(row: Row, column: str) -> Any:
    """What a row holds in a column: "" for nothing, None without the column."""
    if column == THICKNESS and THICKNESS not in row and "spacing_mm" in row:
        spacing = [float(size) for size in str(row["spacing_mm"] or "").split()] if unit(row) == "mm" else []
        return max(spacing, default="")
    return row[column] if row.get(column) is not None else "" if column in row else None


def _numbers(cells: Sequence[Any]) -> list[float | None] | None:
    """Cells as numbers, or None where one holds text."""
    return [number(cell) for cell in cells] if all(map(is_number, cells)) else None


def is_number(cell: Any) -> bool:
    """Whether a cell is a number, or empty."""
    try:
        number(cell)
    except ValueError:
        return False
    return True
