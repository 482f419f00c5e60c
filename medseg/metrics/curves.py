"""What each threshold of a fixed grid gives, pixel by pixel: ROC, precision and recall, calibration of many cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.metrics.pixelwise import Mask, Probability, threshold_counts

BINS = 15  # of calibration, of equal width; as `medseg.metrics.pixelwise.calibration_error`
LOGITS = 16.0  # float32 holds no number between 1 and what 16.6 stands for
COLUMNS = ("label", "threshold", "tp", "fp", "fn", "tn", "probability_sum")


def _grid() -> npt.NDArray[np.float64]:
    """1001 thresholds: 0 and 1, the edges of the bins, and further ones that are evenly spaced as logits."""
    edges = np.arange(BINS + 1) / BINS
    logits = np.linspace(-LOGITS, LOGITS, 1001 - len(edges))
    return np.unique(np.concatenate([edges, 1 / (1 + np.exp(-logits))]))


THRESHOLDS = _grid()


@dataclass(frozen=True, eq=False)
class Curve:
    """The points of a label's curves at `THRESHOLDS`, lowest first; of two parts of the pixels, ``+`` gives the whole.

    Attributes:
        tp, fp: int64, foreground and background pixels whose probability is the threshold or more.
        probability_sum: float64, the sum of the probabilities of these pixels.
    """

    tp: npt.NDArray[np.int64]
    fp: npt.NDArray[np.int64]
    probability_sum: npt.NDArray[np.float64]

    def __add__(self, other: Curve) -> Curve:
        return Curve(self.tp + other.tp, self.fp + other.fp, self.probability_sum + other.probability_sum)


def curve(probability: Probability, reference: Mask) -> Curve:
    """The points of one image, each exact (no pixel is put in a bin).

    Args:
        probability: of the label, from 0 to 1, any shape.
        reference: where the label is, the same shape.

    Raises:
        ValueError: if shapes differ, the reference is not boolean, or a probability is NaN or outside 0 to 1.
    """
    counts = threshold_counts(probability, reference)
    at = counts.thresholds.astype(np.float64)[::-1]  # ascending; the counts keep their order
    pixels = np.diff(counts.tp + counts.fp, prepend=0)
    sums = np.cumsum(pixels * at[::-1])
    reached = len(at) - np.searchsorted(at, THRESHOLDS)  # how many distinct probabilities are that high
    before = [np.concatenate(([0], each)) for each in (counts.tp, counts.fp, sums)]
    return Curve(*(each[reached] for each in before))


def added(first: Mapping[str, Curve], second: Mapping[str, Curve]) -> dict[str, Curve]:
    """The curves of the pixels of both, by label."""
    return dict(first) | {name: first[name] + own if name in first else own for name, own in second.items()}


def curve_rows(curves: Mapping[str, Curve]) -> list[dict[str, Any]]:
    """Rows of ``curves.csv``, a row a label and threshold."""
    rows = []
    for label, own in curves.items():
        tp, fp, sums = own.tp.tolist(), own.fp.tolist(), own.probability_sum.tolist()
        rows += [
            dict(zip(COLUMNS, (label, at, tp[i], fp[i], tp[0] - tp[i], fp[0] - fp[i], sums[i]), strict=True))
            for i, at in enumerate(THRESHOLDS.tolist())
        ]
    return rows
