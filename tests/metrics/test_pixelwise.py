import itertools
import math

import numpy as np
import pytest
from sklearn import metrics

from medseg.metrics.pixelwise import brier, calibration_error, pr_auc, roc_auc, threshold_counts

SCORES = (roc_auc, pr_auc, brier, calibration_error)


def pixels(seed, dtype="float32", levels=None, shape=(30, 20, 7), share=0.2):
    """Probabilities that say something about a reference; with `levels`, many ties."""
    rng = np.random.default_rng(seed)
    reference = rng.random(shape) < share
    probability = np.clip(rng.normal(0.3 + 0.3 * reference, 0.25), 0, 1)
    probability = np.round(probability * levels) / levels if levels else probability
    return probability.astype(dtype), reference


@pytest.mark.parametrize("levels", [None, 255, 4, 1])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_as_scikit_learn_defines_them(dtype, levels):
    probability, reference = pixels(0, dtype, levels)
    flat, truth = probability.ravel().astype(np.float64), reference.ravel()
    assert roc_auc(probability, reference) == pytest.approx(metrics.roc_auc_score(truth, flat), abs=1e-12)
    assert pr_auc(probability, reference) == pytest.approx(metrics.average_precision_score(truth, flat), abs=1e-12)
    assert brier(probability, reference) == pytest.approx(metrics.brier_score_loss(truth, flat), abs=1e-12)


def test_the_points_of_the_curves():
    probability, reference = pixels(1, levels=40)
    counts = threshold_counts(probability, reference)
    false_rates, true_rates, thresholds = metrics.roc_curve(reference.ravel(), probability.ravel(),
                                                            drop_intermediate=False)  # fmt: skip
    assert counts.thresholds == pytest.approx(thresholds[1:])  # the first of scikit-learn's is infinity
    assert counts.tp / reference.sum() == pytest.approx(true_rates[1:])
    assert counts.fp / (~reference).sum() == pytest.approx(false_rates[1:])


def test_by_hand():
    probability, reference = np.array([0.9, 0.8, 0.8, 0.4, 0.1]), np.array([1, 0, 1, 1, 0], bool)
    # of six pairs, 0.9 wins two, 0.8 one and a half, 0.4 one
    assert roc_auc(probability, reference) == pytest.approx(4.5 / 6)
    # thresholds 0.9, 0.8, 0.4: precision 1, 2/3, 3/4, each a third of the recall
    assert pr_auc(probability, reference) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert brier(probability, reference) == pytest.approx((0.01 + 0.64 + 0.04 + 0.36 + 0.01) / 5)


def test_no_skill_and_perfect_skill():
    reference = np.arange(100) < 20
    constant, perfect = np.full(100, 0.5), reference.astype(float)
    assert (roc_auc(constant, reference), pr_auc(constant, reference)) == (0.5, pytest.approx(0.2))
    assert (brier(constant, reference), calibration_error(constant, reference)) == (0.25, pytest.approx(0.3))
    assert roc_auc(perfect, reference) == pr_auc(perfect, reference) == 1
    assert brier(perfect, reference) == calibration_error(perfect, reference) == 0
    assert roc_auc(1 - perfect, reference) == 0


def test_calibration_by_hand():
    """Bins (0, 0.2], (0.2, 0.4], … (0.8, 1], 0 in the first; 0.2 and 0.4 lie on edges and belong below."""
    probability = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.95, 1.0])
    reference = np.array([0, 0, 1, 0, 0, 1, 1], bool)
    # first: mean 0.1, share 1/3, three pixels; second: 0.35, 0, two; last: 0.975, 1, two
    expected = 3 / 7 * (1 / 3 - 0.1) + 2 / 7 * 0.35 + 2 / 7 * 0.025
    assert calibration_error(probability, reference, bins=5) == pytest.approx(expected)
    assert calibration_error(probability, reference, bins=1) == pytest.approx(abs(2.95 / 7 - 3 / 7))


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_against_loops(bins):
    probability, reference = pixels(2, "float64")
    edges = np.arange(bins + 1) / bins
    expected = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (probability > low) & (probability <= high) | ((low == 0) & (probability == 0))
        if inside.any():
            expected += inside.mean() * abs(probability[inside].mean() - reference[inside].mean())
    assert calibration_error(probability, reference, bins=bins) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("score", SCORES)
def test_only_pixels_inside_count(score):
    probability, reference = pixels(3)
    inside = np.random.default_rng(4).random(reference.shape) < 0.5
    spoilt = np.where(inside, probability, np.nan)
    assert score(spoilt, reference, inside) == score(probability[inside], reference[inside])


@pytest.mark.parametrize("score", SCORES)
def test_the_order_in_memory_changes_nothing(score):
    probability, reference = pixels(5)
    assert score(np.asfortranarray(probability), reference) == pytest.approx(score(probability, reference), abs=1e-15)


def test_minus_zero_is_zero():
    reference = np.array([1, 0, 1, 0], bool)
    assert roc_auc(np.array([-0.0, 0.0, 0.5, 0.5], np.float32), reference) == 0.5
    assert len(threshold_counts(np.array([-0.0, 0.0, 0.5, 0.5]), reference).thresholds) == 2


def test_doubles_are_told_apart_to_their_last_bit():
    probability = 0.5 + np.array([1, 0, 1, 0]) * 2.0**-53
    assert roc_auc(probability, np.array([1, 0, 1, 0], bool)) == 1
    assert len(threshold_counts(probability, np.array([1, 0, 1, 0], bool)).thresholds) == 2


def test_the_probabilities_are_left_as_they_were():
    probability, reference = pixels(6)
    before = probability.copy()
    for score in SCORES:
        score(probability, reference)
    assert np.array_equal(probability, before)


def test_what_cannot_be_said_is_nan():
    probability = np.array([0.2, 0.7])
    for only in (np.zeros(2, bool), np.ones(2, bool)):
        assert math.isnan(roc_auc(probability, only)) and math.isnan(pr_auc(probability, only))
    for score in SCORES:
        assert math.isnan(score(probability, np.array([True, False]), inside=np.zeros(2, bool)))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("value", [np.nan, -0.01, 1.01, np.inf])
def test_values_that_are_no_probabilities_are_refused(score, value):
    with pytest.raises(ValueError, match="from 0 to 1, found"):
        score(np.array([0.5, value]), np.array([True, False]))


@pytest.mark.parametrize("score", SCORES)
def test_other_shapes_and_label_maps_are_refused(score):
    probability, reference = np.array([0.5, 0.6]), np.array([True, False])
    with pytest.raises(ValueError, match="shapes differ"):
        score(probability[:1], reference)
    with pytest.raises(ValueError, match="shapes differ"):
        score(probability, reference, inside=np.ones(3, bool))
    with pytest.raises(ValueError, match="boolean"):
        score(probability, np.array([0, 2]))


def test_bins_from_one_upwards():
    with pytest.raises(ValueError, match="bins"):
        calibration_error(np.array([0.5]), np.array([True]), bins=0)
