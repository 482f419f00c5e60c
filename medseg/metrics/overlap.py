"""Overlap of two masks: Dice and intersection over union."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def dice(prediction: Mask, reference: Mask) -> float:
    """2|P∩R| / (|P|+|R|) of two masks of one shape; NaN when both are empty, 0 when one is.

    Equals MONAI's ``DiceMetric(ignore_empty=False)`` where a voxel is set, and its ``compute_dice`` otherwise
    (Dice, Ecology 1945, doi:10.2307/1932409).
    """
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    return 2 * int(np.count_nonzero(prediction & reference)) / total if total else float("nan")


def iou(prediction: Mask, reference: Mask) -> float:
    """|P∩R| / |P∪R| of two masks of one shape (Jaccard index); NaN when both are empty, 0 when one is."""
    union = int(np.count_nonzero(prediction | reference))
    return int(np.count_nonzero(prediction & reference)) / union if union else float("nan")
