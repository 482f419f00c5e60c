"""Scores of every method as arrays over the same cases, from the rows that runs left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medseg.errors import DataError, Fault
from medseg.metrics.catalogue import METRICS
from medseg.metrics.summary import number, patient, unit, value
from medseg.reports.comparison.method_runs import Method
from medseg.reports.run_folder import Rows
from medseg.reports.text_table import plain

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
MUST = ("overlap", "distance")  # kinds that have a value wherever the structure is not absent


@dataclass(frozen=True, eq=False)
class PairedScores:
    """What the methods' rows have in common, and where they lie.

    Attributes:
        methods: in the order given.
        cases, patients: every case, and whose it is, in the first method's order.
        labels: in the first method's order, which is that of their colours.
        unit: of distances.
        subset: of the cases.
        kinds: method's name to ``missed``, ``invented``, ``absent`` or nothing, (seeds, labels, cases).
    """

    methods: Sequence[Method]
    cases: tuple[str, ...]
    patients: tuple[str, ...]
    labels: tuple[str, ...]
    unit: str
    subset: str
    kinds: dict[str, npt.NDArray[np.str_]]

    def values(self, method: Method, metric: str) -> Array:
        """(seeds, labels, cases), NaN where a row is left out: `medseg.metrics.summary.value`.

        Raises:
            DataError: E105, an overlap or a distance that is not there, of a structure that is.
        """
        found = np.full((len(method.seeds), len(self.labels), len(self.cases)), np.nan)
        case_places, label_places = _places(self.cases), _places(self.labels)
        for seed, rows in enumerate(method.seeds):
            for row in rows:
                score = value(row, metric)
                if score is not None:
                    found[seed, label_places[row["label"]], case_places[row["case"]]] = score
                elif METRICS[metric].kind in MUST and row.get("empties") != "absent":
                    what = f"no {metric} of {row['label']} in a run of {plain(method.name)}, though it is not absent"
                    cell = repr(row.get(metric))
                    file = method.table_of(seed, row["case"])
                    raise DataError(Fault("E105", what, "evaluate again", "a number", cell, file, row["case"]))
        return found

    def tolerance(self, metric: str, labels: Sequence[str]) -> float | None:
        """The one tolerance of these labels, where the metric has one."""
        if not METRICS[metric].has_tolerance:
            return None
        rows = self.methods[0].seeds[0]
        found = {number(row.get("tolerance_mm")) for row in rows if row["label"] in labels}
        return found.pop() if len(found) == 1 else None


def pair_scores(methods: Sequence[Method]) -> PairedScores:
    """The arrays' axes, of methods that `medseg.reports.comparison.method_runs.read_methods` found to share their data.

    Raises:
        DataError: E507, distances of some cases are in mm and of others in px.
    """
    rows = methods[0].seeds[0]
    units = sorted({unit(row) for row in rows})
    if len(units) > 1:
        fix = "compare volumes and pictures one after the other"
        raise DataError(Fault("E507", "cases in mm and cases in px are not compared together", fix, "one unit",
                              " and ".join(units), methods[0].runs[0].path / "cases.csv"))  # fmt: skip
    patients = {row["case"]: patient(row) for row in rows}
    labels = tuple(dict.fromkeys(row["label"] for row in rows))
    kinds = {method.name: _kinds(method, tuple(patients), labels) for method in methods}
    subset = rows[0].get("subset", "")
    return PairedScores(methods, tuple(patients), tuple(patients.values()), labels, units[0], subset, kinds)


def shared_metrics(methods: Sequence[Method]) -> tuple[str, ...]:
    """Those that every table holds a number of, in the catalogue's order; ``f1`` is Dice and goes without saying."""
    held = [_held(rows) for method in methods for rows in method.seeds]
    common = held[0].intersection(*held)
    return tuple(metric for metric in METRICS if metric in common and not (metric == "f1" and "dice" in common))


def other_metrics(methods: Sequence[Method]) -> tuple[str, ...]:
    """Those that some tables hold a number of, and others none."""
    held = [_held(rows) for method in methods for rows in method.seeds]
    some = held[0].union(*held) - held[0].intersection(*held)
    return tuple(metric for metric in METRICS if metric in some)


def over_labels(values: Array, known: Mask) -> tuple[Array, Mask]:
    """Each case's mean over its labels.

    Args:
        values: (seeds, labels, cases).
        known: which labels of a case count, (labels, cases).

    Returns:
        (seeds, cases), and which cases have any label that counts.
    """
    n = known.sum(axis=0)
    sums = np.where(known, values, 0.0).sum(axis=1)
    return np.where(n > 0, sums / np.maximum(n, 1), np.nan), n > 0


def _kinds(method: Method, cases: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.str_]:
    found = np.full((len(method.seeds), len(labels), len(cases)), "", dtype="U8")
    case_places, label_places = _places(cases), _places(labels)
    for seed, rows in enumerate(method.seeds):
        for row in rows:
            found[seed, label_places[row["label"]], case_places[row["case"]]] = row.get("empties", "")
    return found


def _held(rows: Rows) -> set[str]:
    return {metric for metric in METRICS if any(number(row.get(metric)) is not None for row in rows)}


def _places(names: Sequence[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}
