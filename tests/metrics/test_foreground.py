import numpy as np
import pytest

from medseg.metrics.foreground import along_memory, foreground_box, whole


@pytest.mark.parametrize("shape", [(6, 7, 8), (6, 7), (6,)])
@pytest.mark.parametrize("seed", range(5))
def test_the_box_holds_every_foreground_voxel_of_both_and_no_more(seed, shape):
    rng = np.random.default_rng(seed)
    prediction, reference = np.zeros((2, *shape), np.uint8)
    for label_map in (prediction, reference):
        label_map[tuple(int(rng.integers(n)) for n in shape)] = 3
    places = np.argwhere((prediction > 0) | (reference > 0))
    box = foreground_box(prediction, reference)
    assert [(each.start, each.stop) for each in box] == list(zip(places.min(0), places.max(0) + 1, strict=True))


def test_without_a_foreground_the_box_is_empty():
    assert np.zeros((4, 5, 6))[foreground_box(*np.zeros((2, 4, 5, 6), np.uint8))].size == 0


def test_axes_follow_memory_and_those_of_length_one_are_left_out():
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert along_memory(array, array)[2] == [0, 1, 2]
    ordered, other, axes = along_memory(array.T, array.T)
    assert axes == [2, 1, 0] and np.array_equal(ordered, array) and np.array_equal(other, array)
    picture = array[:, :, :1]
    ordered, other, axes = along_memory(picture, picture + 1)
    assert axes == [0, 1] and np.array_equal(ordered, picture[..., 0]) and np.array_equal(other, picture[..., 0] + 1)


def test_a_single_voxel_has_an_axis():
    ordered, other, axes = along_memory(np.full((1, 1, 1), True), np.zeros((1, 1, 1), bool))
    assert (ordered.tolist(), other.tolist(), axes) == ([1], [0], [])
    assert ordered.dtype == np.uint8
    assert foreground_box(ordered, other) == whole(ordered) == (slice(0, 1),)
