import math

import numpy as np
import pytest
from skimage.measure import label

from medseg.metrics.detection import Detection, match_lesions


def drawn(*rows):
    return np.array([[letter == "#" for letter in row] for row in rows])


def test_a_lesion_found_in_three_pieces_is_one_and_the_pieces_are_no_false_positives():
    reference = drawn("#######", ".......")
    prediction = drawn("#.#.#..", ".......")
    found = match_lesions(prediction, reference)
    assert (found.n_reference, found.n_predicted, found.n_found, found.false_positives) == (1, 3, 1, 0)
    assert found.precision == found.recall == found.f1 == 1


def test_two_lesions_below_one_component_are_two():
    found = match_lesions(drawn("#####"), drawn("#.#.."))
    assert (found.n_reference, found.n_predicted, found.n_found, found.false_positives) == (2, 1, 2, 0)
    assert found.precision == found.recall == found.f1 == 1


def test_what_was_missed_and_invented_is_counted():
    reference = drawn("##..#..", ".......", "....###")
    prediction = drawn(
        "#......", "......#", "###...."
    )  # the pixel at the right joins a lesion by its corners? no: below
    found = match_lesions(prediction, reference)
    # Lesions of 2, 1 and 3 pixels: the first is found. The predicted pixel beside the third shares none with it, so
    # that both it and the run of three are false positives.
    assert (found.n_found, found.false_positives) == (1, 2)
    assert sorted(found.missed_sizes) == [1, 3] and found.missed_voxels == 4
    assert found.precision == pytest.approx(1 / 3)
    assert found.recall == pytest.approx(1 / 3)
    assert found.f1 == pytest.approx(2 / (2 + 2 + 2))


def test_corners_join_a_lesion():
    diagonal = np.eye(4, dtype=bool)
    assert match_lesions(diagonal, diagonal).n_reference == 1
    corner = np.zeros((2, 2, 2), bool)
    corner[0, 0, 0] = corner[1, 1, 1] = True
    assert match_lesions(corner, corner).n_reference == 1


@pytest.mark.parametrize(("least", "n_found", "false_positives"), [(0.0, 1, 0), (0.57, 1, 0), (0.58, 0, 2)])
def test_pieces_count_together_towards_the_overlap(least, n_found, false_positives):
    reference = drawn("######...", ".........")
    prediction = drawn("##..###..", ".........")  # 4 pixels shared, 6 drawn, 5 predicted: IoU 4/7 = 0.571
    found = match_lesions(prediction, reference, least)
    assert (found.n_found, found.false_positives) == (n_found, false_positives)


def test_an_iou_of_just_the_least_overlap_is_not_enough():
    assert match_lesions(drawn("##.."), drawn(".##."), 1 / 3).n_found == 0  # 1 of 3
    assert match_lesions(drawn("##.."), drawn(".##."), 1 / 3 - 1e-9).n_found == 1


def test_what_cannot_be_said_is_nan():
    empty, one = np.zeros((3, 3, 1), bool), np.zeros((3, 3, 1), bool)
    one[1, 1] = True
    nothing, invented, missed = match_lesions(empty, empty), match_lesions(one, empty), match_lesions(empty, one)
    assert nothing == Detection(0, 0, 0, ())
    assert all(math.isnan(value) for value in (nothing.precision, nothing.recall, nothing.f1))
    assert (invented.precision, invented.f1) == (0, 0) and math.isnan(invented.recall)
    assert (missed.recall, missed.f1) == (0, 0) and math.isnan(missed.precision)


def by_loops(prediction, reference, least):
    """Component after component, with scikit-image's components."""
    lesions, components = (label(mask, connectivity=mask.ndim) for mask in (reference, prediction))
    found, right, missed = 0, set(), []
    for number in range(1, lesions.max() + 1):
        lesion = lesions == number
        touching = set(np.unique(components[lesion])) - {0}
        pieces = np.isin(components, list(touching))
        if (lesion & pieces).sum() / (lesion | pieces).sum() > least:
            found += 1
            right |= touching
        else:
            missed.append(int(lesion.sum()))
    return found, components.max() - len(right), missed


@pytest.mark.parametrize("least", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("shape", [(14, 15), (14, 15, 1), (1, 14, 15), (7, 8, 9)])
def test_against_loops(shape, least):
    rng = np.random.default_rng(len(shape))
    for density in (0.04, 0.1, 0.3):
        reference = rng.random(shape) < density
        prediction = (reference & (rng.random(shape) < 0.7)) | (rng.random(shape) < density / 3)
        result = match_lesions(prediction, reference, least)
        n_found, false_positives, missed = by_loops(prediction, reference, least)
        assert (result.n_found, result.false_positives) == (n_found, false_positives)
        assert sorted(result.missed_sizes) == sorted(missed)


def test_any_overlap_looks_the_same_from_both_sides():
    rng = np.random.default_rng(3)
    one, other = rng.random((2, 12, 12, 12)) < 0.05
    there, back = match_lesions(one, other), match_lesions(other, one)
    assert there.false_positives == len(back.missed_sizes) > 0
    assert there.n_predicted == back.n_reference


def test_the_order_in_memory_changes_nothing():
    rng = np.random.default_rng(4)
    one, other = rng.random((2, 9, 10, 11)) < 0.08
    expected = match_lesions(one, other)
    for pair in ((np.asfortranarray(one), np.asfortranarray(other)), (np.asfortranarray(one), other)):
        found = match_lesions(*pair)
        assert sorted(found.missed_sizes) == sorted(expected.missed_sizes)
        assert (found.n_found, found.false_positives) == (expected.n_found, expected.false_positives)


def test_noise_of_a_hundred_thousand_components():
    rng = np.random.default_rng(5)
    one, other = rng.random((2, 160, 160, 160)) < 0.05
    found = match_lesions(one, other)
    assert found.n_reference == label(other, connectivity=3).max() > 90_000
    assert found.n_predicted == label(one, connectivity=3).max()


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="shapes differ"):
        match_lesions(np.zeros((2, 3), bool), np.zeros((3, 2), bool))
    for least in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="least_overlap"):
            match_lesions(np.ones((2, 2), bool), np.ones((2, 2), bool), least)
