import numpy as np
import pytest
from scipy import ndimage

from medseg.classical.holes import fill_holes


def drawing(*rows):
    return np.array([[int(mark) if mark != "." else 0 for mark in row] for row in rows], np.uint8)


def test_holes_of_each_label_are_filled_and_open_ones_are_not():
    before = drawing("1112223.3.",
                     "1.12..3.3.",
                     "11122233..")  # fmt: skip
    after = drawing("1112223.3.",
                    "1112..3.3.",
                    "11122233..")  # fmt: skip
    assert np.array_equal(fill_holes(before), after)


def test_a_ring_that_is_closed_by_corners_alone_is_closed():
    """Foreground hangs together over corners (so the largest component counts it), so background does not."""
    before = drawing(".....",
                     "..1..",
                     ".1.1.",
                     "..1..",
                     ".....")  # fmt: skip
    assert np.array_equal(np.argwhere(fill_holes(before) != before), [[2, 2]])


def test_labels_within_stay_and_the_innermost_label_gets_the_hole():
    """A tumour 2 with a hole in a liver 1 with another; a third touches both; 3 lies within and has none."""
    before = drawing("..........",
                     ".11111111.",
                     ".1.112221.",
                     ".11112.21.",
                     ".13112221.",
                     ".1111..11.",
                     ".11111111.",
                     "..........")  # fmt: skip
    after = drawing("..........",
                    ".11111111.",
                    ".11112221.",
                    ".11112221.",
                    ".13112221.",
                    ".11111111.",
                    ".11111111.",
                    "..........")  # fmt: skip
    assert np.array_equal(fill_holes(before), after)
    assert np.array_equal(fill_holes(np.where(before > 0, 3 - before % 3, 0)), np.where(after > 0, 3 - after % 3, 0))


def test_what_two_labels_enclose_together_stays_open():
    before = drawing("1122",
                     "1..2",
                     "1122")  # fmt: skip
    assert np.array_equal(fill_holes(before), before)


def test_the_labels_that_are_asked_for():
    before = drawing("111.222",
                     "1.1.2.2",
                     "111.222")  # fmt: skip
    found = fill_holes(before, [2, 7])
    assert np.array_equal(np.argwhere(found != before), [[1, 5]])
    assert found[1, 5] == 2
    assert np.array_equal(fill_holes(before, []), before)


@pytest.mark.parametrize("shape", [(40, 40), (14, 14, 14), (40, 40, 1), (1, 40, 40), (40, 1, 40)])
def test_of_a_mask_it_is_scipys(shape):
    """Random masks with holes within holes; an axis of one voxel is none."""
    draw = np.random.default_rng(0)
    share = 0.42 if shape == (14, 14, 14) else 0.65
    wide = [n for n in shape if n > 1]
    for _ in range(5):
        mask = draw.random(wide) < share
        mask[tuple(slice(2, 9) for _ in wide)] = True
        mask[tuple(slice(4, 7) for _ in wide)] = False
        expected = ndimage.binary_fill_holes(mask)
        assert expected.sum() > mask.sum() + 8
        found = fill_holes(mask.astype(np.uint8).reshape(shape))
        assert found.dtype == np.uint8 and found.shape == shape
        assert np.array_equal(found.reshape(wide), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_the_input_stays_and_so_does_its_type(dtype):
    before = drawing("111", "1.1", "111").astype(dtype) * (300 if dtype != np.uint8 else 1)
    found = fill_holes(before)
    assert found.dtype == dtype
    assert before[1, 1] == 0 and found[1, 1] == before[0, 0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (5, 1, 1), (6, 5, 4)])
def test_nothing_to_fill(shape):
    for value in (0, 2):
        label_map = np.full(shape, value, np.uint8)
        assert np.array_equal(fill_holes(label_map), label_map)
