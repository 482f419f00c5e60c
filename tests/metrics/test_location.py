import numpy as np
import pytest

from medseg.geometry import Geometry
from medseg.metrics.location import location

SHAPE = (10, 9, 12)
RAS, LPI = np.diag([1.0, 1, 2, 1]), np.diag([-1.0, -1, -2, 1])


def at(*place, affine=RAS, shape=SHAPE, unit="mm"):
    """Where one voxel lies."""
    mask = np.zeros(shape, bool)
    mask[place] = True
    return location(mask, Geometry(affine, shape, unit))


def test_thirds_from_inferior_to_superior_and_the_patients_side():
    """In RAS x grows to the right and z upwards: of 12 slices 0 to 3 are the lower third, 8 to 11 the upper."""
    assert [at(7, 4, z) for z in (0, 3, 4, 7, 8, 11)] == [
        *["lower right"] * 2, *["middle right"] * 2, *["upper right"] * 2]  # fmt: skip
    assert [at(x, 4, 0) for x in (0, 4, 5, 9)] == ["lower left", "lower left", "lower right", "lower right"]


def test_axes_that_run_the_other_way_or_are_swapped():
    assert at(7, 4, 0, affine=LPI) == "upper left"
    swapped = np.array([[0, 0, 1.0, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]])  # x of the array is superior
    assert at(9, 4, 0, affine=swapped) == "upper left"


def test_the_centroid_counts_and_not_the_extent():
    """Nine voxels at z = 0 and three at z = 11: their mean lies at (9 * 0.5 + 3 * 11.5) / 12 = 3.25 of 12."""
    mask = np.zeros(SHAPE, bool)
    mask[8, :9, 0], mask[8, :3, 11] = True, True
    assert location(mask, Geometry(RAS, SHAPE)) == "lower right"
    mask[8, :9, 11] = True
    assert location(mask, Geometry(RAS, SHAPE)) == "middle right"


def test_on_a_border_it_is_lower_and_right():
    mask = np.zeros(SHAPE, bool)
    mask[4:6, 4, 3:5] = True  # the borders between 4 and 5 of 10, and between 3 and 4 of 12
    assert location(mask, Geometry(RAS, SHAPE)) == "lower right"


def test_a_picture_as_on_the_screen():
    """x runs to the right and y downwards."""
    assert at(1, 1, 0, affine=np.eye(4), shape=(9, 9, 1), unit="px") == "upper left"
    assert at(7, 7, 0, affine=np.eye(4), shape=(9, 9, 1), unit="px") == "lower right"


def test_what_an_image_does_not_say():
    assert at(1, 1, 0, shape=(9, 9, 1)) == "left"  # an axial slice
    assert at(0, 1, 8, shape=(1, 9, 9)) == "upper"  # a sagittal one
    assert location(np.zeros(SHAPE, bool), Geometry(RAS, SHAPE)) == ""
    with pytest.raises(ValueError, match="shapes differ"):
        location(np.zeros((2, 2, 2), bool), Geometry(RAS, SHAPE))
