"""The scores of a label of a case by name, and the one policy for structures that are missing.

Policy: a structure absent from both masks is left out of every mean. One that was missed or invented counts as 0 in
overlaps and as the image's diagonal in distances, so it never improves the mean of one of these. Volumes and counts
stay as they are, and so do the plain ones (specificity, accuracy, added path length, perimeter, probabilities' scores).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medseg.errors import Fault, UsageError
from medseg.metrics.case_pair import CasePair, Mask
from medseg.metrics.path_length import added_path_length
from medseg.metrics.pixelwise import Probability, brier, calibration_error, pr_auc, roc_auc
from medseg.metrics.reported import soft_dice_with_background
from medseg.metrics.shape import n_components, perimeter_squared_over_area

POLICY = (
    "absent from both masks: left out; missed or invented: overlaps 0, distances equal to the image's diagonal; volumes"
    " and counts as they are"
)


@dataclass(frozen=True)
class Metric:
    """How one score is found, and what it counts as where a structure is missing.

    Attributes:
        title: for tables.
        raw: its value for a label of a case, NaN where that is undefined.
        kind: ``overlap`` (0 where missed or invented), ``distance`` (the image's diagonal there), ``plain`` (as it is
            there), all three left out where absent; or ``count`` (as it is, also where absent).
        unit: ``ml``; ``mm`` for lengths, which is px in a picture; or nothing.
        higher_is_better: None where neither is.
        decimals: in tables.
        has_tolerance: whether it depends on how far apart surfaces may lie.
    """

    title: str
    raw: Callable[[CasePair, str], float]
    kind: str
    higher_is_better: bool | None
    unit: str = ""
    decimals: int = 3
    has_tolerance: bool = False

    def value(self, pair: CasePair, name: str) -> float:
        """Its value under the policy above; NaN is left out of every mean."""
        empties = pair.empties(name)
        if empties == "absent" and self.kind != "count":
            return math.nan
        if empties and self.kind == "overlap":
            return 0.0
        if empties and self.kind == "distance":
            return pair.geometry.diagonal_mm()
        return float(self.raw(pair, name))


def _overlap(title: str, attribute: str, kind: str = "overlap") -> Metric:
    return Metric(title, lambda pair, name: getattr(pair.counts[name], attribute), kind, True)


def _distance(title: str, raw: Callable[[CasePair, str], float]) -> Metric:
    return Metric(title, raw, "distance", False, "mm", 2)


def _lesions(title: str, attribute: str) -> Metric:
    return Metric(title, lambda pair, name: getattr(pair.lesions(name), attribute), "overlap", True)


def _of_probabilities(
    title: str, score: Callable[[Probability, Mask, Mask | None], float], higher_is_better: bool
) -> Metric:
    return Metric(title, lambda pair, name: score(pair.probability(name), pair.masks(name)[1], pair.inside), "plain",
                  higher_is_better)  # fmt: skip


def _reported_soft_dice(probability: Probability, reference: Mask, inside: Mask | None) -> float:
    """Of the label's probability and what is left to 1: what one report printed as Dice."""
    if inside is not None:
        probability, reference = probability[inside], reference[inside]
    return soft_dice_with_background(np.stack([1 - probability, probability]), reference)


OF_PROBABILITIES: dict[str, Metric] = {
    "roc_auc": _of_probabilities("ROC AUC", roc_auc, True),
    "pr_auc": _of_probabilities("PR AUC", pr_auc, True),
    "brier": _of_probabilities("Brier score", brier, False),
    "calibration_error": _of_probabilities("Calibration error", calibration_error, False),
    "soft_dice_with_background": _of_probabilities("Soft Dice with background", _reported_soft_dice, True),
}
OF_LABEL_MAPS: dict[str, Metric] = {
    "dice": _overlap("Dice", "dice"),
    "f1": _overlap("F1", "dice"),
    "iou": _overlap("IoU", "iou"),
    "sensitivity": _overlap("Sensitivity", "sensitivity"),
    "precision": _overlap("Precision", "precision"),
    "specificity": _overlap("Specificity", "specificity", "plain"),
    "accuracy": _overlap("Accuracy", "accuracy", "plain"),
    "hd": _distance("HD", lambda pair, name: pair.surfaces[name].hausdorff_mm()),
    "hd_prediction_to_reference": _distance("HD, prediction to reference",
                                            lambda pair, name: pair.surfaces[name].directed_mm()[0]),
    "hd_reference_to_prediction": _distance("HD, reference to prediction",
                                            lambda pair, name: pair.surfaces[name].directed_mm()[1]),
    "hd95": _distance("HD95", lambda pair, name: pair.surfaces[name].hausdorff_mm(95.0)),
    "assd": _distance("ASSD", lambda pair, name: pair.surfaces[name].assd_mm()),
    "nsd": Metric("NSD", lambda pair, name: pair.surfaces[name].nsd(pair.tolerance_mm(name)), "overlap", True,
                  has_tolerance=True),
    "added_path_length": Metric("Added path length", lambda pair, name: added_path_length(
        *pair.masks(name), pair.geometry, pair.tolerance_mm(name)), "plain", False, "mm", 1, True),
    "reference_ml": Metric("Reference volume", lambda pair, name: pair.reference_ml(name), "count", None, "ml"),
    "prediction_ml": Metric("Predicted volume", lambda pair, name: pair.prediction_ml(name), "count", None, "ml"),
    "volume_difference_ml": Metric("Volume difference", lambda pair, name: pair.prediction_ml(name)
                                   - pair.reference_ml(name), "count", None, "ml"),
    "lesion_precision": _lesions("Lesion precision", "precision"),
    "lesion_recall": _lesions("Lesion recall", "recall"),
    "lesion_f1": _lesions("Lesion F1", "f1"),
    "lesion_false_positives": Metric("False positive lesions", lambda pair, name: pair.lesions(name).false_positives,
                                     "count", False, decimals=2),
    "lesion_missed_voxels": Metric("Voxels of missed lesions", lambda pair, name: pair.lesions(name).missed_voxels,
                                   "count", False, decimals=1),
    "lesion_missed_ml": Metric("Volume of missed lesions", lambda pair, name: pair.lesions(name).missed_voxels
                               * pair.voxel_ml, "count", False, "ml"),
    "reference_voxels": Metric("Reference voxels", lambda pair, name: pair.counts[name].tp + pair.counts[name].fn,
                               "count", None, decimals=0),
    "prediction_voxels": Metric("Predicted voxels", lambda pair, name: pair.counts[name].tp + pair.counts[name].fp,
                                "count", None, decimals=0),
    "components": Metric("Components", lambda pair, name: n_components(pair.masks(name)[0]), "count", None, decimals=1),
    "perimeter2_over_area": Metric("Perimeter\u00b2/area", lambda pair, name: perimeter_squared_over_area(
        pair.masks(name)[0], pair.geometry), "plain", None, decimals=1),
}  # fmt: skip
METRICS = OF_LABEL_MAPS | OF_PROBABILITIES
USUAL = ("dice", "iou", "hd95", "assd", "nsd", "sensitivity", "precision", "volume_difference_ml")


def chosen(names: Sequence[str] | str) -> tuple[str, ...]:
    """The names, each once, where all are known; text holds them with commas.

    Raises:
        UsageError: E903, one is not.
    """
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
    for name in names:
        if name not in METRICS:
            raise UsageError(Fault("E903", "no such metric", "choose one of those", ", ".join(METRICS), name))
    return tuple(dict.fromkeys(names))
