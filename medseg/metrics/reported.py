"""What the five seed reports printed, under names that say what it is.

Nothing here is a score to be quoted: these exist so that a new result can be put beside a printed one, and so that
nobody takes the printed one for what it was called. Each docstring says what a report called it, and what to use.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import directed_hausdorff

from medseg.metrics.overlap import Counts

Probability = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]
MONAI_SMOOTH = 1e-5
KERAS_EPSILON = 1e-7


def soft_dice_with_background(probabilities: Probability, reference: Mask) -> float:
    """What report 004 called "Dice": 1 minus its loss, over background and foreground.

    MONAI's ``DiceLoss(to_onehot_y=True, sigmoid=True, squared_pred=True)`` on label != 0, so that a tumour counts as
    liver: for each of the two channels (2 sum p y + 1e-5) / (sum p² + sum y² + 1e-5), then their mean.

    It flatters. The background alone brings almost one half, and nothing is thresholded: where a share f of the image
    is foreground, the best output without any structure, √(1-f) and √f everywhere, scores (√(1-f) + √f) / 2, which is
    0.599 at 5 %; two of the report's networks (0.5997 and 0.5982) are no better. All background scores 0.488 at 4.8 %.
    A sigmoid applied twice holds a perfect output at 0.585. Use ``dice`` of each label.

    Args:
        probabilities: (2, ...), background and foreground after the sigmoid; they need not add up to 1.
        reference: foreground, of shape `probabilities.shape[1:]`.
    """
    if probabilities.shape != (2, *reference.shape):
        raise ValueError(f"expected probabilities of shape {(2, *reference.shape)}, found {probabilities.shape}")
    scores = []
    for channel, truth in zip(probabilities.astype(np.float64), (~reference, reference), strict=True):
        total = float(np.square(channel).sum()) + np.count_nonzero(truth)
        scores.append((2 * float(channel[truth].sum()) + MONAI_SMOOTH) / (total + MONAI_SMOOTH))
    return float(np.mean(scores))


def constant_soft_dice(share: float) -> float:
    """The most that one probability everywhere, with the rest for the background, gets by `soft_dice_with_background`.

    Two probabilities that need not add up to 1 get a little more: (√(1-f) + √f) / 2.

    Args:
        share: how much of the image is foreground, from 0 to 1.
    """
    p = np.linspace(0, 1, 1001)
    pairs = ((1 - p, 1 - share), (p, share))
    with np.errstate(invalid="ignore"):
        parts = [np.nan_to_num(2 * value * part / (value**2 + part), nan=1.0) for value, part in pairs]
    return float(np.max(np.mean(parts, axis=0)))


def batch_soft_dice(probability: Probability, reference: Mask) -> float:
    """What report 001 plotted as "Dice Coefficient": soft Dice over all pixels of a batch at once.

    (2 sum p y + 1e-7) / (sum p + sum y + 1e-7), Keras's ``dice_coef``. An image with a large structure outweighs the
    others, one that is missed altogether hardly shows, and the value depends on which images share a batch. Use the
    mean of ``dice`` over cases.

    Args:
        probability: (N, ...), of the foreground.
        reference: foreground, the same shape.
    """
    _same_shape(probability, reference)
    both = float(probability[reference].sum(dtype=np.float64))
    total = float(probability.sum(dtype=np.float64)) + np.count_nonzero(reference)
    return (2 * both + KERAS_EPSILON) / (total + KERAS_EPSILON)


def row_hausdorff(prediction: Mask, reference: Mask) -> float:
    """What report 000 called "Hausdorff distance": that of the sets of the two pictures' rows.

    ``scipy.spatial.distance.directed_hausdorff`` was given the masks themselves, the larger of both directions, and so
    took each row of n pixels for a point in n dimensions. It is not a distance in the picture: a square of 50 x 50
    moved down by 30 pixels is 0.0 away, moved right by 3 it is √6 = 2.45. Use ``hd``: 30 and 3.

    Args:
        prediction, reference: masks of one shape (rows, columns).
    """
    _same_shape(prediction, reference)
    rows = [mask.astype(np.float64) for mask in (prediction, reference)]
    return float(max(directed_hausdorff(rows[0], rows[1])[0], directed_hausdorff(rows[1], rows[0])[0]))


def accuracy_reported_as_jaccard(counts: Counts) -> float:
    """What report 003 called "Jaccard similarity" (JS): the accuracy, over the pixels of all test images together.

    scikit-learn before 0.23 returned it for binary labels (``jaccard_similarity_score``); BCDU-Net's and MCGU-Net's
    published rows have it too. Where most of the image is background it is near 1 for any prediction: skin lesions
    were 0.966 with an IoU of 0.789, lungs 0.987 with 0.933. Use ``iou``.
    """
    return counts.accuracy


def binarised_auc(counts: Counts) -> float:
    """What report 003 called "AUC" of skin and lungs (for skin "PC", too): (sensitivity + specificity) / 2.

    That is the area below the two straight lines through the one point that a mask has on a ROC curve; what the
    network's probabilities can tell is lost. Use `medseg.metrics.pixelwise.roc_auc`.
    """
    return (counts.sensitivity + counts.specificity) / 2


def pixel_agreement(counts: Counts) -> float:
    """What report 002 called "pixel-to-pixel accuracy", in percent: 100 (1 - mean squared error) of two masks.

    Of masks the mean squared error is the share of wrong pixels, so this is 100 times the accuracy. All background
    scores the share of the background, above 50 wherever the structure fills less than half of the image; the report's
    48 to 57 show no skill. Use ``dice``, beside `medseg.metrics.baselines`.
    """
    return 100.0 * counts.accuracy


def _same_shape(found: npt.NDArray, reference: Mask) -> None:
    if found.shape != reference.shape:
        raise ValueError(f"shapes differ: {found.shape} and {reference.shape}")
