"""Summary statistics of a table of scores, with the policy for empty structures applied and counted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medseg.metrics.scores import METRICS

Row = Mapping[str, Any]

OVERLAPS = ("dice", "iou")
EMPTIES = ("missed", "invented", "absent")


def summarise(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Statistics of every metric of every label, one dict each, in the order in which labels first occur.

    A structure that is absent from both masks is left out. One that was missed or invented counts as Dice and IoU 0,
    even where its cell is empty; its distances are the cells' (the image's diagonal, which only evaluation knows).
    Rows in mm and rows in px are never mixed.

    Args:
        rows: rows of ``cases.csv`` (text) or of `medseg.metrics.scores.score_case` (numbers).

    Returns:
        Dicts ``label, unit (mm or px), metric (dice, iou, hd95, assd), n, mean, sd, median, min, max, missed,
        invented, absent``. ``n`` counts the values behind the mean; ``sd`` is the sample standard deviation
        (n - 1). Statistics that are not defined are None.

    Raises:
        ValueError: if a metric's cell holds something that is not a number.
    """
    sets: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        sets.setdefault((str(row["label"]), str(row.get("distance_unit") or "mm")), []).append(row)
    return [
        {"label": label, "unit": unit, "metric": metric, **_statistics(values), **_count(members)}
        for (label, unit), members in sets.items()
        for metric in METRICS
        if (values := [v for row in members if (v := value(row, metric)) is not None]) or metric == "dice"
    ]


def case_means(rows: Iterable[Row]) -> dict[str, float | None]:
    """Each case's Dice, averaged over its labels; None where every label is absent. Cases in their first order."""
    by_case: dict[str, list[float]] = {}
    for row in rows:
        values = by_case.setdefault(str(row["case"]), [])
        dice = value(row, "dice")
        if dice is not None:
            values.append(dice)
    return {case: mean(values) for case, values in by_case.items()}


def value(row: Row, metric: str) -> float | None:
    """What a row counts as in statistics of `metric`, or None where it is left out."""
    if row.get("empties") == "absent":
        return None
    found = number(row.get(metric))
    return 0.0 if found is None and metric in OVERLAPS and row.get("empties") in EMPTIES else found


def number(cell: Any) -> float | None:
    """A cell as a number: None where it is empty or not finite.

    Raises:
        ValueError: if it holds something else.
    """
    if cell is None or cell == "":
        return None
    found = float(cell)
    return found if math.isfinite(found) else None


def mean(values: Sequence[float]) -> float | None:
    """The mean, the same in any order of the values; None of none."""
    return math.fsum(values) / len(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """The sample standard deviation (n - 1); None of fewer than two values."""
    if len(values) < 2:
        return None
    centre = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - centre) ** 2 for v in values) / (len(values) - 1))


def _statistics(values: Sequence[float]) -> dict[str, Any]:
    return {
        "n": len(values),
        "mean": mean(values),
        "sd": deviation(values),
        "median": statistics.median(values) if values else None,
        "min": min(values, default=None),
        "max": max(values, default=None),
    }


def _count(rows: Iterable[Row]) -> dict[str, int]:
    found = [row.get("empties") for row in rows]
    return {kind: found.count(kind) for kind in EMPTIES}
