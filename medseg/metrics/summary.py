"""Summary statistics of a table of scores, with the policy for empty structures applied and counted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from medseg.errors import DataError, Fault
from medseg.metrics.bootstrap import by_patient, mean_interval
from medseg.metrics.catalogue import METRICS, chosen

Row = Mapping[str, Any]

EMPTIES = ("missed", "invented", "absent")
STATISTICS = ("n", "n_groups", "mean", "se", "low", "high", "sd", "q1", "median", "q3", "min", "max")
SIGNED = ("volume_difference_ml",)  # the others cannot be below 0


def summarise(rows: Iterable[Row], metrics: Sequence[str] | None = None, seed: int = 0) -> list[dict[str, Any]]:
    """Statistics of every metric of every label, one dict each, in the order in which labels first occur.

    What a row counts as is `value`'s to say. Rows in mm and rows in px are never mixed.

    Args:
        rows: rows of ``cases.csv`` (text) or of `medseg.metrics.scores.score_case` (numbers), each with its case;
            cases of one ``group`` are one patient's, and a case without a group is its own.
        metrics: names of `medseg.metrics.catalogue.METRICS`, or None for those that the rows hold.
        seed: of the resampling.

    Returns:
        Dicts ``label, unit (mm or px), metric, tolerance_mm, n, n_groups, mean, se, low, high, sd, q1, median, q3, min,
        max, missed, invented, absent``. ``n`` counts the values behind the mean (one a case) and ``n_groups`` the
        patients they are of; the standard error ``se`` and the 95 % interval of the mean, ``low`` to ``high``, take
        patients and not cases as independent (`medseg.metrics.bootstrap`). ``sd`` is the sample standard deviation over
        cases (n - 1); quartiles are interpolated linearly (NumPy's default). Statistics that are not defined are None,
        as is the tolerance of a metric without one. A metric without any value is left out, unless it is the first.

    Raises:
        UsageError: E903, there is no such metric.
        DataError: E105, an overlap or a distance that is not there, of a structure that is.
        ValueError: if a metric's cell holds something that is not a number.
    """
    rows = list(rows)
    names = metrics_in(rows) if metrics is None else chosen(metrics)
    sets: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        sets.setdefault((str(row["label"]), unit(row)), []).append(row)
    return [
        {"label": label, "unit": of_distances, "metric": metric, "tolerance_mm": _tolerance(members, metric),
         **_statistics(found, metric, seed), **_count(members)}
        for (label, of_distances), members in sets.items()
        for metric in names
        if (found := _values(members, metric)) or metric == names[0]
    ]  # fmt: skip


def metrics_in(rows: Iterable[Row]) -> tuple[str, ...]:
    """Those of `medseg.metrics.catalogue.METRICS` that the rows hold, in its order."""
    held = {name for row in rows for name in row}
    return tuple(metric for metric in METRICS if metric in held)


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
    """What a row counts as in statistics of `metric`, or None where it is left out.

    This is the policy of `medseg.metrics.catalogue`, also for tables made elsewhere: a structure that is absent from
    both masks is left out, except of counts and volumes. One that was missed or invented counts as 0 in overlaps,
    whatever its cell says. Its distances are the cells' (the image's diagonal, which only scoring knows).

    Raises:
        ValueError: if the cell holds something that is not a number.
    """
    kind, empties = METRICS[metric].kind, row.get("empties")
    if metric not in row or (empties == "absent" and kind != "count"):
        return None
    return 0.0 if kind == "overlap" and empties in ("missed", "invented") else number(row[metric])


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


def unit(row: Row) -> str:
    """Of a row's distances: mm, or px."""
    return str(row.get("distance_unit") or "mm")


def patient(row: Row) -> str:
    """Whose case a row is of: its group, or the case where it has none."""
    return str(row.get("group") or row["case"])


def _values(rows: Sequence[Row], metric: str) -> list[tuple[float, str]]:
    """What the rows count as, each with its patient; nothing where the metric was not scored."""
    if all(number(row.get(metric)) is None for row in rows):
        return []
    found = []
    for row in rows:
        score = value(row, metric)
        if score is not None:
            found.append((score, patient(row)))
        elif row.get("empties") != "absent" and METRICS[metric].kind in ("overlap", "distance"):
            what = f"no {metric} of {row['label']}, which is not absent: left out, it could improve the mean"
            cell = repr(row.get(metric))
            raise DataError(Fault("E105", what, "score the case again", "a number", cell, case=str(row["case"])))
    return found


def _statistics(found: Sequence[tuple[float, str]], metric: str, seed: int) -> dict[str, Any]:
    values = [score for score, _ in found]
    patients = [whose for _, whose in found]
    sums = by_patient(values, patients) if values else None
    low, high = (sums and mean_interval(sums, *value_range(metric), seed)) or (None, None)
    least, q1, median, q3, most = np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist() if values else [None] * 5
    return dict(zip(STATISTICS, (len(values), len(set(patients)), mean(values), sums and sums.standard_error, low, high,
                                 deviation(values), q1, median, q3, least, most), strict=True))  # fmt: skip


def value_range(metric: str) -> tuple[float, float]:
    """What a metric can be: shares, where higher is better, lie between 0 and 1."""
    if metric in SIGNED:
        return -math.inf, math.inf
    return 0.0, 1.0 if METRICS[metric].higher_is_better else math.inf


def _tolerance(rows: Iterable[Row], metric: str) -> float | None:
    """The one tolerance of all rows, where the metric has one."""
    found = {number(row.get("tolerance_mm")) for row in rows} if METRICS[metric].has_tolerance else {None}
    return found.pop() if len(found) == 1 else None


def _count(rows: Iterable[Row]) -> dict[str, int]:
    found = [row.get("empties") for row in rows]
    return {kind: found.count(kind) for kind in EMPTIES}
