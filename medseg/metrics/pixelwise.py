"""Scores of probabilities, pixel by pixel, before any threshold: ROC, precision and recall, Brier, calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Probability = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ThresholdCounts:
    """What every threshold would give: the points of a ROC curve and of a precision-recall curve.

    Attributes:
        thresholds: the distinct probabilities, highest first; pixels from there upwards count as foreground.
        tp, fp: true and false positives at each.
    """

    thresholds: Probability
    tp: npt.NDArray[np.int64]
    fp: npt.NDArray[np.int64]


def threshold_counts(probability: Probability, reference: Mask, inside: Mask | None = None) -> ThresholdCounts:
    """True and false positives at every threshold, from one sort.

    The bits of a float from 0 to 1 sort as the number does, and its sign bit is free for the reference: each pixel
    becomes one integer.

    Args:
        probability: of the foreground, from 0 to 1, any shape.
        reference: where the foreground is, the same shape.
        inside: which pixels count (a field of view), the same shape; all if None.

    Raises:
        ValueError: if shapes differ, a mask is not boolean, or a probability is NaN or outside 0 to 1.
    """
    probability, reference = _pixels(probability, reference, inside)
    numbers = probability.astype(np.float64 if probability.dtype.itemsize > 4 else np.float32)
    keys: npt.NDArray[np.unsignedinteger] = numbers.view(np.uint64 if numbers.itemsize == 8 else np.uint32)
    keys <<= 1  # the sign bit, which -0 alone has set, falls out
    keys |= reference
    keys.sort()
    is_foreground, values = keys & 1, keys >> 1
    is_first = np.ones(keys.size, dtype=bool)
    np.not_equal(values[1:], values[:-1], out=is_first[1:])
    first = np.flatnonzero(is_first)
    below = np.cumsum(is_foreground, dtype=np.int64)[first] - is_foreground[first].astype(np.int64)
    tp = np.count_nonzero(reference) - below
    return ThresholdCounts(values[first].view(numbers.dtype)[::-1], tp[::-1], (keys.size - first - tp)[::-1])


def roc_auc(probability: Probability, reference: Mask, inside: Mask | None = None) -> float:
    """Area under the ROC curve: how often a foreground pixel has a higher probability than a background pixel.

    Ties count one half (Fawcett, Pattern Recognit Lett 2006, doi:10.1016/j.patrec.2005.10.010); equal to scikit-learn's
    ``roc_auc_score``. NaN where there is no foreground or no background. It needs probabilities: what comes out of
    masks is `medseg.metrics.reported.binarised_auc`.

    Args, Raises: as `threshold_counts`.
    """
    counts = threshold_counts(probability, reference, inside)
    if not _has_both(counts):
        return math.nan
    tp, fp = (np.concatenate(([0], positives)) for positives in (counts.tp, counts.fp))
    twice_area = int(np.sum((fp[1:] - fp[:-1]) * (tp[1:] + tp[:-1])))
    return twice_area / (2 * int(tp[-1]) * int(fp[-1]))


def pr_auc(probability: Probability, reference: Mask, inside: Mask | None = None) -> float:
    """Area under the precision-recall curve, as average precision: the sum of precision times step in recall.

    Nothing is interpolated; equal to scikit-learn's ``average_precision_score``. The trapezium rule gives other, too
    optimistic values (Davis & Goadrich, ICML 2006, doi:10.1145/1143844.1143874). NaN where there is no foreground or
    no background. No skill scores the share of the foreground.

    Args, Raises: as `threshold_counts`.
    """
    counts = threshold_counts(probability, reference, inside)
    if not _has_both(counts):
        return math.nan
    steps = np.diff(counts.tp, prepend=0)
    return float(np.sum(steps * (counts.tp / (counts.tp + counts.fp))) / counts.tp[-1])


def brier(probability: Probability, reference: Mask, inside: Mask | None = None) -> float:
    """Brier score: mean squared difference between probability and truth (Brier, Monthly Weather Review 1950).

    0 is perfect, 0.25 what one half everywhere scores; equal to scikit-learn's ``brier_score_loss``. NaN without
    pixels.

    Args, Raises: as `threshold_counts`.
    """
    probability, reference = _pixels(probability, reference, inside)
    difference = probability.astype(np.float64) - reference
    return float(np.mean(difference**2)) if difference.size else math.nan


def calibration_error(probability: Probability, reference: Mask, inside: Mask | None = None, bins: int = 15) -> float:
    """Expected calibration error: how far the probabilities lie from the shares of foreground that they stand for.

    Pixels are put in `bins` bins of equal width by their probability of the foreground, (0, 1/bins] and so on, 0 in the
    first; the error is the mean over pixels of the distance between a bin's mean probability and its share of
    foreground (Naeini et al., AAAI 2015, doi:10.1609/aaai.v29i1.9602; 15 bins as Guo et al., ICML 2017,
    arXiv:1706.04599, who bin the probability of the predicted class instead). NaN without pixels. Where nearly all
    pixels are certain background it is small whatever the rest does: give `inside`, a box around the structure.

    Args, Raises: as `threshold_counts`; ValueError if `bins` is below 1.
    """
    if bins < 1:
        raise ValueError(f"bins is a number from 1 upwards, found {bins}")
    probability, reference = _pixels(probability, reference, inside)
    if not probability.size:
        return math.nan
    places = np.maximum(np.ceil(probability * bins).astype(np.intp) - 1, 0)
    expected = np.bincount(places, weights=probability, minlength=bins)
    found = np.bincount(places[reference], minlength=bins)
    return float(np.abs(expected - found).sum()) / probability.size


def _has_both(counts: ThresholdCounts) -> bool:
    return bool(counts.tp.size and counts.tp[-1] and counts.fp[-1])


def _pixels(probability: Probability, reference: Mask, inside: Mask | None) -> tuple[Probability, Mask]:
    """The pixels that count, as two vectors."""
    masks = [reference] if inside is None else [reference, inside]
    for mask in masks:
        if mask.shape != probability.shape:
            raise ValueError(f"shapes differ: {probability.shape} and {mask.shape}")
        if mask.dtype != np.bool_:
            raise ValueError(f"expected a boolean mask, found {mask.dtype}")
    vectors = (probability.ravel(), reference.ravel()) if inside is None else (probability[inside], reference[inside])
    if vectors[0].size and not (vectors[0].min() >= 0 and vectors[0].max() <= 1):
        lowest, highest = vectors[0].min(), vectors[0].max()
        raise ValueError(f"probabilities lie from 0 to 1, found {lowest} to {highest}")
    return vectors
