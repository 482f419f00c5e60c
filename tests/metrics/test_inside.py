"""Scores of the voxels inside a mask, such as a field of view: what lies outside counts for nothing."""

import math

import numpy as np
import pytest
import sklearn.metrics as sklearn

from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.metrics.baselines import baseline_rows, sample_reference
from medseg.metrics.catalogue import METRICS
from medseg.metrics.scores import score_case

VESSEL = Labels({"background": 0, "vessel": 1})
PICTURE = Geometry(np.eye(4), (40, 30, 1), "px")
VOLUME = Geometry(np.diag([0.5, 2.0, 1.0, 1.0]), (16, 12, 9))


def noise(grid, seed=0):
    """Prediction, reference, probabilities of the label and a mask, all random."""
    draw = np.random.default_rng(seed)
    reference = (draw.random(grid.shape) < 0.3).astype(np.uint8)
    probability = np.clip(0.4 * reference + draw.normal(0.3, 0.25, grid.shape), 0, 1).round(2).astype(np.float32)
    return (probability > 0.5).astype(np.uint8), reference, {"vessel": probability}, draw.random(grid.shape) < 0.4


@pytest.mark.parametrize("grid", [PICTURE, VOLUME], ids=["picture", "volume"])
def test_scores_equal_scikit_learns_of_the_pixels_inside(grid):
    prediction, reference, probabilities, inside = noise(grid)
    (row,) = score_case(prediction, reference, grid, VESSEL, tuple(METRICS), 1.0, probabilities, inside)
    truth, found, share = reference[inside], prediction[inside], probabilities["vessel"][inside]
    expected = {
        "dice": sklearn.f1_score(truth, found),
        "iou": sklearn.jaccard_score(truth, found),
        "sensitivity": sklearn.recall_score(truth, found),
        "precision": sklearn.precision_score(truth, found),
        "specificity": sklearn.recall_score(truth, found, pos_label=0),
        "accuracy": sklearn.accuracy_score(truth, found),
        "roc_auc": sklearn.roc_auc_score(truth, share),
        "pr_auc": sklearn.average_precision_score(truth, share),
        "brier": sklearn.brier_score_loss(truth, share),
        "reference_voxels": truth.sum(),
        "prediction_voxels": found.sum(),
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    (everywhere,) = score_case(prediction, reference, grid, VESSEL, tuple(METRICS), 1.0, probabilities)
    assert not any(everywhere[name] == pytest.approx(row[name], rel=1e-6) for name in expected)


@pytest.mark.parametrize("grid", [PICTURE, VOLUME], ids=["picture", "volume"])
def test_what_lies_outside_changes_no_score(grid):
    """Not one of all, distances and components among them."""
    prediction, reference, probabilities, inside = noise(grid)
    draw = np.random.default_rng(1)
    others = [np.where(inside, each, draw.integers(0, 2, grid.shape)).astype(np.uint8)
              for each in (prediction, reference)]  # fmt: skip
    changed = {"vessel": np.where(inside, probabilities["vessel"], draw.random(grid.shape)).astype(np.float32)}
    rows = [score_case(*maps, grid, VESSEL, tuple(METRICS), 1.0, shares, inside)
            for maps, shares in (((prediction, reference), probabilities), (others, changed))]  # fmt: skip
    assert not np.array_equal(others[0], prediction)
    for name in METRICS:
        one, other = (row[0][name] for row in rows)
        assert one == other or (math.isnan(one) and math.isnan(other)), name


def test_a_case_by_hand():
    """Of P = 1101|00 and R = 1010|01 the first four count: one hit, two false positives, one miss, no true negative."""
    grid = Geometry(np.eye(4), (6, 1, 1), "px")
    prediction, reference, inside = (np.array(each).reshape(grid.shape) for each in
                                     ([1, 1, 0, 1, 0, 0], [1, 0, 1, 0, 0, 1], [True] * 4 + [False] * 2))  # fmt: skip
    (row,) = score_case(prediction, reference, grid, VESSEL, ("dice", "accuracy", "specificity", "hd"), inside=inside)
    assert row["dice"] == pytest.approx(2 / 5) and row["accuracy"] == 1 / 4 and row["specificity"] == 0
    assert row["hd"] == 1  # the drawn voxel 5 has nothing within 2 of it, and does not count


def test_structures_outside_are_in_no_mask():
    """Drawn inside and predicted outside is missed; drawn outside alone is absent."""
    left = np.zeros(PICTURE.shape, bool)
    left[:20] = True
    drawn, predicted = np.zeros((2, *PICTURE.shape), np.uint8)
    drawn[5:8, 5:8], predicted[25:28, 5:8] = 1, 1
    words = [score_case(predicted, drawn, PICTURE, VESSEL, ("dice",), inside=inside)[0]["empties"]
             for inside in (left, ~left)]  # fmt: skip
    assert words == ["missed", "invented"]
    assert score_case(predicted, predicted, PICTURE, VESSEL, ("dice",), inside=left)[0]["empties"] == "absent"


def test_a_structure_ends_at_the_edge_of_the_mask_as_at_the_images():
    """A square that the mask cuts in half is the same as one that the image's border cuts."""
    inside = np.zeros(PICTURE.shape, bool)
    inside[:20] = True
    drawn, predicted = np.zeros((2, *PICTURE.shape), np.uint8)
    drawn[12:28, 5:15], predicted[16:24, 5:15] = 1, 1
    names = ("hd", "hd95", "assd", "nsd", "added_path_length", "components", "perimeter2_over_area")
    small = Geometry(np.eye(4), (20, 30, 1), "px")
    (cut,) = score_case(predicted, drawn, PICTURE, VESSEL, names, inside=inside)
    (bordered,) = score_case(predicted[:20], drawn[:20], small, VESSEL, names)
    assert {name: cut[name] for name in names} == {name: bordered[name] for name in names}


def test_a_union_with_background_is_nothing_outside():
    """`rest` is 0 and 2: inside, the voxels that are not 1; outside, none, though the maps hold 0 there."""
    labels = Labels({"background": 0, "rest": [0, 2], "vessel": 1})
    prediction, reference, _, inside = noise(PICTURE)
    rest, vessel = score_case(prediction, reference, PICTURE, labels, ("dice", "hd", "components"), inside=inside)
    truth, found = 1 - reference[inside], 1 - prediction[inside]
    assert rest["dice"] == pytest.approx(sklearn.f1_score(truth, found))
    assert vessel["dice"] == pytest.approx(sklearn.f1_score(1 - truth, 1 - found))
    flipped = ((1 - each) * inside for each in (prediction, reference))
    (expected,) = score_case(*flipped, PICTURE, VESSEL, ("hd", "components"))
    assert (rest["hd"], rest["components"]) == (expected["hd"], expected["components"])


def test_without_a_mask_all_counts():
    prediction, reference, probabilities, _ = noise(VOLUME)
    everywhere = np.ones(VOLUME.shape, bool)
    rows = [score_case(prediction, reference, VOLUME, VESSEL, tuple(METRICS), 1.0, probabilities, inside)
            for inside in (None, everywhere)]  # fmt: skip
    assert rows[0] == rows[1]


@pytest.mark.parametrize(("inside", "words"), [(np.ones((40, 30), bool), "shapes differ"),
                                               (np.ones((40, 30, 1), np.uint8), "boolean")])  # fmt: skip
def test_masks_that_are_none_are_refused(inside, words):
    prediction, reference, *_ = noise(PICTURE)
    with pytest.raises(ValueError, match=words):
        score_case(prediction, reference, PICTURE, VESSEL, ("dice",), inside=inside)


def columns(first, last):
    mask = np.zeros((256, 256, 1), bool)  # as many points as the common grid has: each pixel is one
    mask[first:last] = True
    return mask


def baselines(samples):
    return {(row["case"], row["baseline"]): row["dice"] for row in baseline_rows(samples, VESSEL)}


def test_baselines_know_only_the_inside():
    """A is drawn in columns 0 to 99 and counts whole; B in 0 to 49, of which 0 to 79 count."""
    grid = Geometry(np.eye(4), (256, 256, 1), "px")
    a, b = (columns(0, last).astype(np.uint8) for last in (100, 50))
    whole, part = (sample_reference("b", "b", b, grid, VESSEL, inside) for inside in (None, columns(0, 80)))
    first = sample_reference("a", "a", a, grid, VESSEL)
    assert baselines([first, whole])["b", "constant"] == pytest.approx(2 * 50 / (50 + 256))
    assert baselines([first, part])["b", "constant"] == pytest.approx(2 * 50 / (50 + 80))
    assert baselines([first, whole])["b", "mean shape"] == pytest.approx(2 * 50 / (50 + 100))
    assert baselines([first, part])["b", "mean shape"] == pytest.approx(2 * 50 / (50 + 80))
    outside = sample_reference("b", "b", b, grid, VESSEL, columns(50, 256))
    assert math.isnan(baselines([first, outside])["b", "all background"])  # nothing of it is drawn inside
