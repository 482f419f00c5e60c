"""All scores of one case: arrays in, rows out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medseg.errors import Fault, UsageError
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.metrics.case_pair import CasePair, LabelMap, Mask
from medseg.metrics.catalogue import METRICS, USUAL
from medseg.metrics.pixelwise import Probability

VOLUMES = ("reference_ml", "prediction_ml")
TOLERANCE_MM = 1.0


def score_case(
    prediction: LabelMap,
    reference: LabelMap,
    geometry: Geometry,
    labels: Labels,
    metrics: Sequence[str] = USUAL,
    tolerance_mm: float | Mapping[str, float] = TOLERANCE_MM,
    probabilities: Mapping[str, Probability] | None = None,
    inside: Mask | None = None,
) -> list[dict[str, Any]]:
    """One row a foreground label: ``label``, the metrics, ``empties``, ``reference_ml``, ``prediction_ml``.

    Where a metric depends on it, ``tolerance_mm`` too.

    Args:
        prediction, reference: label maps of shape `geometry.shape`.
        geometry: their common grid; distances come in mm, volumes in ml (in pixels, and NaN, for a picture).
        metrics: names of `medseg.metrics.catalogue.METRICS`, which also states what a missing structure counts as.
        tolerance_mm: of NSD and added path length, for all labels or by name.
        probabilities: of each foreground label, from 0 to 1; ROC AUC and its like need them.
        inside: which voxels count (a field of view), of the same shape; all if None. See `CasePair`.

    Raises:
        ValueError: if a shape differs from the geometry's, a map holds other than integers, or probabilities are
            needed and not there.
    """
    pair = CasePair(prediction, reference, geometry, labels, tolerance_mm, probabilities, inside)
    has_tolerance = any(METRICS[metric].has_tolerance for metric in metrics)
    return [
        {"label": name}
        | {metric: METRICS[metric].value(pair, name) for metric in metrics}
        | {"empties": pair.empties(name)}
        | {metric: METRICS[metric].value(pair, name) for metric in VOLUMES}
        | ({"tolerance_mm": pair.tolerance_mm(name)} if has_tolerance else {})
        for name in labels.foreground
    ]


def tolerances(given: float | Mapping[str, float], labels: Labels) -> float | Mapping[str, float]:
    """Tolerances as they were given, where they can be ones.

    Raises:
        UsageError: E903, a negative one, a label that there is not, or one without a tolerance.
    """
    by_name = given if isinstance(given, Mapping) else dict.fromkeys(labels.foreground, given)
    if set(by_name) != set(labels.foreground):
        fix = "give one for all, or one for each label"
        raise UsageError(Fault("E903", "not the labels' tolerances", fix, ", ".join(labels.foreground),
                               ", ".join(map(str, by_name))))  # fmt: skip
    for name, value in by_name.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            fix = "give a length of 0 or more"
            raise UsageError(Fault("E903", f"not a tolerance for {name}", fix, "0 or more", repr(value)))
    return given


def mean(values: Iterable[float]) -> float:
    """Mean of the values that are defined, exact in any order; NaN when none is."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else float("nan")


def mean_by_label(rows: Iterable[Mapping[str, Any]], metric: str) -> dict[str, float]:
    """Mean of one metric over cases, for each label."""
    by_label: dict[str, list[float]] = {}
    for row in rows:
        by_label.setdefault(row["label"], []).append(row[metric])
    return {label: mean(values) for label, values in by_label.items()}
