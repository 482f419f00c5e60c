"""Overlap of a predicted and a reference label, counted in voxels: Dice, IoU, sensitivity, specificity and the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medseg.labels import Labels
from medseg.metrics.foreground import along_memory, foreground_box, whole
from medseg.metrics.layers import N_CODES, Codes, LabelMap, layers

AT_ONCE = 1 << 20  # voxels, so that the histogram needs little memory


@dataclass(frozen=True)
class Counts:
    """The voxels of one label: true and false positives, false and true negatives.

    Each ratio is NaN where it is 0/0. They equal MONAI's ``DiceMetric(ignore_empty=False)``, ``MeanIoU`` and
    ``ConfusionMatrixMetric`` wherever the label is in both masks.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN), which is F1 too (Dice, Ecology 1945, doi:10.2307/1932409)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN), the Jaccard index."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN), also called recall."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP)."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def precision(self) -> float:
        """TP / (TP + FP), also called positive predictive value."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all: the share of voxels that are right, background included."""
        return _ratio(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)


def count(prediction: LabelMap, reference: LabelMap, labels: Labels) -> dict[str, Counts]:
    """The counts of every foreground label, from one joint histogram of the part that holds any.

    Args:
        prediction, reference: label maps of one shape.
        labels: what their values mean; a value that no name stands for is background.

    Raises:
        ValueError: if the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"shapes differ: {prediction.shape}, {reference.shape}")
    found = {}
    prediction, reference, _ = along_memory(prediction, reference)
    for layer in layers(labels):
        box = whole(prediction) if layer.holds_zero else foreground_box(prediction, reference)
        joint = joint_histogram(layer.codes(prediction[box]), layer.codes(reference[box]))
        for code, name in enumerate(layer.names, start=1):
            tp, predicted, drawn = (int(n) for n in (joint[code, code], joint[code].sum(), joint[:, code].sum()))
            found[name] = Counts(tp, predicted - tp, drawn - tp, prediction.size - predicted - drawn + tp)
    return {name: found[name] for name in labels.foreground}


def joint_histogram(prediction: Codes, reference: Codes) -> npt.NDArray[np.int64]:
    """(256, 256) voxels of each code of the prediction (rows) and of the reference, but those of 0 in both."""
    joint = np.zeros(N_CODES * N_CODES, np.int64)
    rows = max(1, AT_ONCE * len(prediction) // max(1, prediction.size))
    for start in range(0, len(prediction), rows):
        both = prediction[start : start + rows].astype(np.uint16)
        both *= N_CODES
        both |= reference[start : start + rows]
        joint += np.bincount(both[both > 0], minlength=joint.size)
    return joint.reshape(N_CODES, N_CODES)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
