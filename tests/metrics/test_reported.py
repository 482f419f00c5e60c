import math
from itertools import product

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss
from scipy.spatial.distance import directed_hausdorff
from sklearn.metrics import roc_auc_score

from medseg.metrics.overlap import Counts
from medseg.metrics.reported import (
    accuracy_reported_as_jaccard,
    batch_soft_dice,
    binarised_auc,
    constant_soft_dice,
    pixel_agreement,
    row_hausdorff,
    soft_dice_with_background,
)

# Confusion matrices of report 003's notebook, over all test pixels, in its order: TN, FP, FN, TP.
SKIN = Counts(tn=14_233_691, fp=319_192, fn=259_858, tp=2_161_083)
LUNG = Counts(tn=64_436_534, fp=625_812, fn=454_270, tp=14_961_592)


def foreground(share, n=10_000):
    return (np.arange(n) < share * n).reshape(100, -1)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


@pytest.mark.parametrize(
    ("counts", "printed_js", "iou", "printed_auc"),
    [(SKIN, 0.966, 0.7887, 0.9354), (LUNG, 0.9866, 0.9327, 0.9805)],
    ids=["skin", "lung"],
)
def test_the_figures_of_report_003(counts, printed_js, iou, printed_auc):
    assert accuracy_reported_as_jaccard(counts) == pytest.approx(printed_js, abs=5e-4)
    assert counts.iou == pytest.approx(iou, abs=5e-5)
    assert binarised_auc(counts) == pytest.approx(printed_auc, abs=5e-5)


def test_binarised_auc_is_what_a_mask_gets_for_its_probabilities():
    rng = np.random.default_rng(0)
    prediction, reference = rng.random((2, 500)) < 0.3
    counts = Counts(*(int(np.sum(part)) for part in (prediction & reference, prediction & ~reference,
                                                     ~prediction & reference, ~prediction & ~reference)))  # fmt: skip
    assert binarised_auc(counts) == pytest.approx(roc_auc_score(reference, prediction.astype(float)))
    squared_error = np.mean((prediction.astype(float) - reference) ** 2)
    assert pixel_agreement(counts) == pytest.approx(100 * (1 - squared_error))


def test_all_background_beats_report_002():
    tenth = Counts(tp=0, fp=0, fn=10, tn=90)
    assert pixel_agreement(tenth) == pytest.approx(90) and tenth.dice == 0


@pytest.mark.parametrize("seed", range(3))
def test_soft_dice_is_one_minus_the_loss_of_report_004(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (8, 9, 10))
    logits = rng.normal(size=(2, 8, 9, 10))
    loss = DiceLoss(to_onehot_y=True, sigmoid=True, squared_pred=True)
    merged = torch.from_numpy(labels != 0)[None, None]
    expected = 1 - loss(torch.from_numpy(logits)[None], merged).item()
    assert soft_dice_with_background(sigmoid(logits), labels != 0) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("share", "best"), [(0.04, 0.590), (0.05, 0.599), (0.06, 0.607)])
def test_the_best_constant_answer(share, best):
    """Searched over all pairs of constants, not by the formula of the docstring."""
    reference = foreground(share, n=100)
    steps = np.linspace(0.02, 1, 50)
    constants = (np.stack([np.full(reference.shape, value) for value in pair]) for pair in product(steps, steps))
    assert max(soft_dice_with_background(pair, reference) for pair in constants) == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.5, 1.0])
def test_the_best_constant_whose_channels_add_up_to_one(share):
    reference = foreground(share, n=100)
    constants = (np.full(reference.shape, p) for p in np.linspace(0, 1, 101))
    best = max(soft_dice_with_background(np.stack([1 - each, each]), reference) for each in constants)
    assert constant_soft_dice(share) == pytest.approx(best, abs=1e-3)
    assert constant_soft_dice(0.05) == pytest.approx(0.590, abs=1e-3)


def test_all_background_and_a_sigmoid_too_many():
    reference = foreground(0.048)
    nothing = np.stack([np.ones(reference.shape), np.zeros(reference.shape)])
    assert soft_dice_with_background(nothing, reference) == pytest.approx(0.488, abs=1e-3)
    for share, value in ((0.048, 0.585), (0.05, 0.589)):
        perfect = np.stack([~foreground(share), foreground(share)]).astype(float)
        assert soft_dice_with_background(perfect, foreground(share)) == pytest.approx(1)
        assert soft_dice_with_background(sigmoid(perfect), foreground(share)) == pytest.approx(value, abs=1e-3)


def test_a_missed_structure_hardly_shows_in_a_batch():
    reference = np.zeros((2, 40, 40), bool)
    reference[0, :30, :30] = reference[1, :2, :5] = True
    prediction = reference.astype(float)
    prediction[1] = 0  # a Dice of 1 and one of 0
    assert batch_soft_dice(prediction, reference) == pytest.approx(2 * 900 / (900 + 910))
    assert batch_soft_dice(np.zeros((1, 3)), np.zeros((1, 3), bool)) == 1
    assert batch_soft_dice(np.zeros((1, 1)), np.ones((1, 1), bool)) == pytest.approx(1e-7)  # Keras's epsilon


@pytest.mark.parametrize(
    ("down", "right", "printed", "true"), [(30, 0, 0.0, 30.0), (0, 3, math.sqrt(6), 3.0)], ids=["down", "right"]
)
def test_the_rows_of_a_moved_square(down, right, printed, true):
    reference, prediction = np.zeros((2, 256, 256), bool)
    reference[60:110, 80:130] = True
    prediction[60 + down : 110 + down, 80 + right : 130 + right] = True
    assert row_hausdorff(prediction, reference) == pytest.approx(printed)
    points = [np.argwhere(mask) for mask in (prediction, reference)]
    assert max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0]) == true


def test_rows_are_compared_in_both_directions():
    full, half = np.ones((4, 4), bool), np.ones((4, 4), bool)
    half[2:] = False  # a row of zeros is 2 away from the only row of the other
    assert row_hausdorff(full, half) == row_hausdorff(half, full) == 2


def test_other_shapes_are_refused():
    mask = np.ones((3, 4), bool)
    with pytest.raises(ValueError, match="shapes differ"):
        row_hausdorff(mask, mask.T)
    with pytest.raises(ValueError, match="shapes differ"):
        batch_soft_dice(np.ones((4, 3)), mask)
    with pytest.raises(ValueError, match=r"expected probabilities of shape \(2, 3, 4\)"):
        soft_dice_with_background(np.ones((3, 4)), mask)
