"""All scores of one case, and the one policy for structures that are missing.

Policy: a structure absent from both masks is left out of every mean; a missed or invented one counts as Dice and IoU 0
and, for distances, as the image's diagonal. So a missed structure never improves a mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.metrics.overlap import dice, iou
from medseg.metrics.surface import surface_distances

POLICY = "absent from both masks: left out; missed or invented: Dice and IoU 0, distances equal to the image's diagonal"
METRICS = ("dice", "iou", "hd95", "assd")

LabelMap = npt.NDArray[np.integer]


def score_case(prediction: LabelMap, reference: LabelMap, geometry: Geometry, labels: Labels) -> list[dict[str, Any]]:
    """One row a foreground label: ``label, dice, iou, hd95, assd, empties, reference_ml, prediction_ml``.

    Args:
        prediction, reference: label maps of shape `geometry.shape`.
        geometry: their common grid; distances come in mm, volumes in ml (in pixels, and NaN, for a picture).

    Raises:
        ValueError: if the two shapes differ from the geometry's.
    """
    if not prediction.shape == reference.shape == geometry.shape:
        raise ValueError(f"shapes differ: {prediction.shape}, {reference.shape}, grid {geometry.shape}")
    return [
        {"label": name, **_score(labels.mask(prediction, name), labels.mask(reference, name), geometry)}
        for name in labels.foreground
    ]


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


def _score(prediction: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_], geometry: Geometry) -> dict[str, Any]:
    empties = {(True, False): "missed", (False, True): "invented", (False, False): "absent", (True, True): ""}[
        (bool(reference.any()), bool(prediction.any()))
    ]
    distances = surface_distances(prediction, reference, geometry.spacing_mm)
    far = geometry.diagonal_mm() if empties in ("missed", "invented") else None
    millilitres = abs(float(np.linalg.det(geometry.affine[:3, :3]))) / 1000.0 if geometry.unit == "mm" else math.nan
    return {
        "dice": dice(prediction, reference),
        "iou": iou(prediction, reference),
        "hd95": far or distances.hausdorff_mm(95.0),
        "assd": far or distances.assd_mm(),
        "empties": empties,
        "reference_ml": int(np.count_nonzero(reference)) * millilitres,
        "prediction_ml": int(np.count_nonzero(prediction)) * millilitres,
    }
