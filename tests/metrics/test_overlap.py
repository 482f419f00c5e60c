import math

import numpy as np
import pytest

from medseg.labels import Labels
from medseg.metrics.overlap import Counts, count

ONE = Labels({"background": 0, "spleen": 1})
LIVER = Labels({"background": 0, "tumour": 2, "liver": [1, 2], "spleen": 7})


def maps(seed=0, shape=(9, 8, 7), dtype=np.uint8, values=9):
    """A block of random values off the corner, in each of two maps."""
    rng = np.random.default_rng(seed)
    pair = np.zeros((2, *shape), dtype)
    pair[:, 2:7, 1:6, 3:] = rng.integers(0, values, (2, 5, 5, shape[2] - 3))
    return pair


def one_by_one(prediction, reference, labels):
    """The definitions, mask by mask."""
    found = {}
    for name in labels.foreground:
        p, r = np.isin(prediction, labels.values[name]), np.isin(reference, labels.values[name])
        found[name] = Counts(*(int(np.sum(each)) for each in (p & r, p & ~r, ~p & r, ~p & ~r)))
    return found


def test_by_hand():
    """Four voxels predicted, three drawn, two of them in common, of ten."""
    prediction, reference = np.zeros((2, 10), np.uint8)
    prediction[:4] = reference[2:5] = 1
    counts = count(prediction, reference, ONE)["spleen"]
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (2, 2, 1, 5)
    assert counts.dice == pytest.approx(4 / 7)
    assert counts.iou == pytest.approx(2 / 5)
    assert counts.sensitivity == pytest.approx(2 / 3)
    assert counts.specificity == pytest.approx(5 / 7)
    assert counts.precision == pytest.approx(2 / 4)
    assert counts.accuracy == pytest.approx(7 / 10)


def test_nothing_over_nothing_is_undefined():
    absent = count(*np.zeros((2, 3), np.uint8), ONE)["spleen"]
    assert (absent.tp, absent.fp, absent.fn, absent.tn) == (0, 0, 0, 3)
    assert all(math.isnan(x) for x in (absent.dice, absent.iou, absent.sensitivity, absent.precision))
    assert absent.specificity == absent.accuracy == 1
    full = count(*np.ones((2, 3), np.uint8), ONE)["spleen"]
    assert math.isnan(full.specificity) and full.dice == full.accuracy == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_unions_share_values_and_values_without_a_name_are_background(dtype):
    prediction, reference = maps(1, dtype=dtype)
    assert list(count(prediction, reference, LIVER)) == ["tumour", "liver", "spleen"]
    assert count(prediction, reference, LIVER) == one_by_one(prediction, reference, LIVER)


def test_booleans_and_two_types():
    prediction, reference = maps(2, values=2)
    assert count(prediction > 0, reference > 0, ONE) == one_by_one(prediction, reference, ONE)
    assert count(prediction, reference.astype(np.uint16), ONE) == one_by_one(prediction, reference, ONE)


@pytest.mark.parametrize(
    "ordered",
    [np.asfortranarray, lambda each: each[::-1, ::2], lambda each: np.moveaxis(each, 0, 1), lambda each: each[:, 2:3]],
    ids=["Fortran", "strided", "turned", "one layer"],
)
def test_any_order_in_memory(ordered):
    prediction, reference = (ordered(each) for each in maps(3))
    assert count(prediction, reference, LIVER) == one_by_one(prediction, reference, LIVER)
    assert count(prediction, np.ascontiguousarray(reference), LIVER) == one_by_one(prediction, reference, LIVER)


def test_more_names_than_a_byte_holds():
    labels = Labels({"background": 0} | {f"cell {value}": value for value in range(1, 600)} | {"even": [2, 4, 70000]})
    prediction, reference = maps(4, dtype=np.int32, values=600)
    prediction[0, 0, 0] = 70000
    assert count(prediction, reference, labels) == one_by_one(prediction, reference, labels)


def test_a_name_may_hold_the_background():
    """Everything outside of the box that holds a foreground belongs to it."""
    labels = Labels({"background": [0, 3], "organ": [1, 2, 4, 5, 6, 7, 8]})
    prediction, reference = maps(5)
    found = count(prediction, reference, labels)
    assert found == one_by_one(prediction, reference, labels)
    assert found["background"].tp > prediction.size / 2


def test_a_large_map_is_counted_in_parts():
    """More voxels than are taken at once: 130 x 130 x 130."""
    prediction, reference = np.random.default_rng(6).integers(0, 9, (2, 130, 130, 130), np.uint8)
    assert count(prediction, reference, LIVER) == one_by_one(prediction, reference, LIVER)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes differ"):
        count(np.zeros((3, 4), np.uint8), np.zeros((4, 3), np.uint8), ONE)
