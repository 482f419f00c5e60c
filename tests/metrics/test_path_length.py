import math

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from medseg.geometry import Geometry
from medseg.metrics.path_length import added_path_length


def grid(shape, spacing=(1.0, 1.0, 1.0), unit="mm"):
    return Geometry(np.diag([*spacing, 1.0]), shape, unit)


def square(shape, x, y, side, z=0):
    mask = np.zeros(shape, bool)
    mask[x : x + side, y : y + side, z] = True
    return mask


SHAPE = (8, 8, 1)
REFERENCE, SHIFTED = square(SHAPE, 1, 1, 4), square(SHAPE, 2, 1, 4)
# Outlines of 12 pixels each. Drawn afresh is the side of the reference that sticks out (4 pixels) and the two pixels of
# its opposite side that now lie inside the prediction; of its other two sides three pixels each lie on the outline.


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.5, 3.0)])
def test_a_square_moved_by_a_pixel(spacing):
    geometry = grid(SHAPE, spacing)
    assert added_path_length(SHIFTED, REFERENCE, geometry) == pytest.approx(6 * spacing[0])
    assert added_path_length(SHIFTED, REFERENCE, geometry, 0.99 * spacing[0]) == pytest.approx(6 * spacing[0])
    assert added_path_length(SHIFTED, REFERENCE, geometry, spacing[0]) == 0


def test_a_pixel_that_is_not_square_counts_as_the_mean_of_its_sides():
    geometry = grid(SHAPE, (1.0, 4.0, 1.0))
    assert added_path_length(SHIFTED, REFERENCE, geometry) == pytest.approx(6 * 2.5)
    assert added_path_length(SHIFTED, REFERENCE, geometry, 1.0) == 0  # moved along the short side
    along_the_long_side = square(SHAPE, 1, 2, 4)
    assert added_path_length(along_the_long_side, REFERENCE, geometry, 0.9) == pytest.approx(6 * 2.5)
    # the two pixels inside the prediction lie 1 from its other sides, the four that stick out 4 from it
    assert added_path_length(along_the_long_side, REFERENCE, geometry, 3.9) == pytest.approx(4 * 2.5)
    assert added_path_length(along_the_long_side, REFERENCE, geometry, 4.0) == 0


def test_a_distance_equal_to_the_tolerance_is_within_it_whatever_the_rounding():
    reference, moved = square((12, 8, 1), 1, 1, 4), square((12, 8, 1), 4, 1, 4)
    assert 3 * 0.1 > 0.3
    assert added_path_length(moved, reference, grid((12, 8, 1), (0.1, 0.1, 1.0)), 0.3) == 0


def test_deleting_is_not_drawing():
    nothing = np.zeros(SHAPE, bool)
    assert added_path_length(REFERENCE | square(SHAPE, 6, 6, 2), REFERENCE, grid(SHAPE)) == 0
    assert added_path_length(nothing, REFERENCE, grid(SHAPE)) == 12
    assert added_path_length(nothing, REFERENCE, grid(SHAPE), 50.0) == 12
    assert math.isnan(added_path_length(REFERENCE, nothing, grid(SHAPE)))
    assert math.isnan(added_path_length(nothing, nothing, grid(SHAPE)))


def test_an_outline_in_the_next_slice_does_not_help():
    shape = (8, 8, 3)
    reference, above = square(shape, 1, 1, 4, z=1), square(shape, 1, 1, 4, z=2)
    assert added_path_length(above, reference, grid(shape, (1.0, 1.0, 0.1)), 5.0) == 12
    assert added_path_length(above | reference, reference, grid(shape), 0.0) == 0


def test_the_border_of_the_image_is_part_of_the_outline():
    everything, shape = np.ones((5, 4, 1), bool), (5, 4, 1)
    assert added_path_length(np.zeros(shape, bool), everything, grid(shape)) == 2 * 5 + 2 * 4 - 4


def test_slices_are_axial_however_the_volume_is_stored():
    rng = np.random.default_rng(0)
    shape = (9, 10, 11)
    prediction, reference = rng.random((2, *shape)) < 0.4
    stored = grid(shape, (0.7, 0.7, 2.0))  # right, anterior, superior
    expected = added_path_length(prediction, reference, stored, 0.7)
    affine = np.zeros((4, 4))
    affine[[2, 0, 1, 3], [0, 1, 2, 3]] = [-2.0, 0.7, 0.7, 1.0]  # inferior, right, anterior
    turned = [mask.transpose(2, 0, 1)[::-1] for mask in (prediction, reference)]
    assert added_path_length(*turned, Geometry(affine, turned[0].shape), 0.7) == pytest.approx(expected)
    sagittal = [mask.transpose(2, 0, 1) for mask in (prediction, reference)]
    assert added_path_length(*sagittal, grid(sagittal[0].shape, (2.0, 0.7, 0.7)), 0.7) != pytest.approx(expected)


def test_one_slice_of_any_direction_and_a_picture_are_planes():
    flat = REFERENCE[..., 0], SHIFTED[..., 0]
    sagittal = [mask[None] for mask in flat]
    assert added_path_length(sagittal[1], sagittal[0], grid((1, 8, 8))) == 6
    pages = [np.stack([mask, mask], axis=-1) for mask in flat]
    assert added_path_length(pages[1], pages[0], grid((8, 8, 2), unit="px")) == 12


def by_loops(prediction, reference, spacing, tolerance):
    """Every pixel of the one outline against every pixel of the other, slice by slice."""
    n_far = 0
    for z in range(reference.shape[2]):
        outlines = []
        for mask in (reference[..., z], prediction[..., z]):
            padded = np.pad(mask, 1)
            outlines.append([(x, y) for x, y in np.argwhere(mask)
                             if not (padded[x, y + 1] and padded[x + 2, y + 1]
                                     and padded[x + 1, y] and padded[x + 1, y + 2])])  # fmt: skip
        for x, y in outlines[0]:
            distances = [math.hypot((x - u) * spacing[0], (y - v) * spacing[1]) for u, v in outlines[1]]
            n_far += not any(distance <= tolerance + 1e-9 for distance in distances)
    return n_far * (spacing[0] + spacing[1]) / 2


@pytest.mark.parametrize("tolerance", [0.0, 0.6, 1.4, 2.5])
@pytest.mark.parametrize("seed", range(5))
def test_against_loops(seed, tolerance):
    rng = np.random.default_rng(seed)
    spacing = tuple(rng.choice([0.5, 0.7, 1.0, 1.5], 3))
    prediction, reference = rng.random((2, 8, 9, 3)) < rng.uniform(0.05, 0.9, (2, 1, 1, 1))
    expected = by_loops(prediction, reference, spacing, tolerance)
    found = added_path_length(prediction, reference, grid(reference.shape, spacing), tolerance)
    assert found == pytest.approx(expected)


def test_without_tolerance_as_simpleitk_draws_outlines():
    rng = np.random.default_rng(6)
    prediction, reference = (np.pad(ndimage.gaussian_filter(rng.random((20, 22, 4)), (2, 2, 0)) > 0.5,
                                    ((1, 1), (1, 1), (0, 0))) for _ in range(2))  # fmt: skip
    to_draw = 0
    for z in range(4):
        drawn, predicted = (sitk.GetArrayFromImage(sitk.LabelContour(sitk.GetImageFromArray(
            mask[..., z].astype(np.uint8)))) for mask in (reference, prediction))  # fmt: skip
        to_draw += np.sum((drawn > 0) & (predicted == 0))
    assert added_path_length(prediction, reference, grid(reference.shape)) == to_draw > 100


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="shapes differ"):
        added_path_length(REFERENCE[:-1], REFERENCE, grid(SHAPE))
    with pytest.raises(ValueError, match="shapes differ"):
        added_path_length(REFERENCE, REFERENCE, grid((8, 8, 2)))
    for tolerance in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="tolerance_mm"):
            added_path_length(REFERENCE, REFERENCE, grid(SHAPE), tolerance)
