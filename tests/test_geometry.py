import math

import nibabel as nib
import numpy as np
import pytest

from medseg.geometry import Geometry

SHAPE = (11, 21, 31)


def rotation(axis, degrees):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.eye(4)
    first, second = (k for k in range(3) if k != axis)
    turn[[first, first, second, second], [first, second, first, second]] = cos, -sin, sin, cos
    return turn


def random_affine(rng, degrees=25):
    """Axes in any order and direction, turned by up to `degrees` about each, of any spacing, anywhere."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)
    for axis in range(3):
        affine = rotation(axis, rng.uniform(-degrees, degrees)) @ affine
    affine[:3, :3] *= rng.uniform(0.2, 6.0, 3)
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    return affine


@pytest.mark.parametrize(
    ("diagonal", "expected"), [((1, 1, 1), "RAS"), ((-1, -1, 1), "LPS"), ((-2, 3, -0.5), "LAI"), ((1, -1, -1), "RPI")]
)
def test_orientation_of_diagonal_affines(diagonal, expected):
    assert Geometry(np.diag([*diagonal, 1.0]), SHAPE).orientation == expected


def test_orientation_of_permuted_axes():
    affine = np.eye(4)[:, [2, 0, 1, 3]] @ np.diag([-1.0, 2.0, 3.0, 1.0])
    assert Geometry(affine, SHAPE).orientation == "IRA"


def test_orientation_agrees_with_nibabel():
    rng = np.random.default_rng(0)
    found = set()
    for _ in range(300):
        affine = random_affine(rng)
        found.add(Geometry(affine, SHAPE).orientation)
        assert Geometry(affine, SHAPE).orientation == "".join(nib.aff2axcodes(affine))
    assert len(found) > 40  # of 48


def test_spacing_of_a_turned_grid():
    affine = rotation(2, 30) @ rotation(0, 10) @ np.diag([0.7, 1.5, 3.0, 1.0])
    assert Geometry(affine, SHAPE).spacing_mm == pytest.approx((0.7, 1.5, 3.0))


def test_displacement_of_a_shift():
    shifted = np.eye(4)
    shifted[:3, 3] = (3, 4, 12)
    assert Geometry(np.eye(4), SHAPE).displacement_mm(Geometry(shifted, SHAPE)) == pytest.approx(13)


def test_displacement_of_one_degree():
    """About the z axis through voxel 0: the far corner (10, 20) moves along a chord of 2 r sin(1°/2)."""
    turned = Geometry(rotation(2, 1), SHAPE)
    chord = 2 * math.hypot(10, 20) * math.sin(math.radians(0.5))
    assert Geometry(np.eye(4), SHAPE).displacement_mm(turned) == pytest.approx(chord)


def test_displacement_needs_one_shape():
    with pytest.raises(ValueError, match="different shapes"):
        Geometry(np.eye(4), SHAPE).displacement_mm(Geometry(np.eye(4), (11, 21, 30)))


def test_same_grid_but_for_rounding():
    grid = Geometry(np.diag([1.0, 2.0, 0.5, 1.0]), SHAPE)
    shifted = grid.affine.copy()
    shifted[0, 3] = 0.0049
    assert grid.is_same_grid(Geometry(shifted, SHAPE))
    shifted[0, 3] = 0.0051
    assert not grid.is_same_grid(Geometry(shifted, SHAPE))
    assert not grid.is_same_grid(Geometry(grid.affine, (11, 21, 30)))


def test_diagonal():
    assert Geometry(np.diag([0.5, 2.0, 1.0, 1.0]), (6, 2, 12)).diagonal_mm() == pytest.approx(13)


def test_index_in_another_grid():
    rng = np.random.default_rng(1)
    here, there = Geometry(random_affine(rng), SHAPE), Geometry(random_affine(rng), SHAPE)
    voxel = np.array([3.0, -2.0, 7.5, 1.0])
    assert there.affine @ (here.index_in(there) @ voxel) == pytest.approx(here.affine @ voxel)


def test_a_geometry_keeps_a_copy():
    affine = np.eye(4)
    grid = Geometry(affine, SHAPE)
    affine[0, 0] = 9
    assert grid.spacing_mm == (1, 1, 1)


@pytest.mark.parametrize(("affine", "shape"), [(np.eye(3), SHAPE), (np.eye(4), (2, 2))])
def test_what_is_no_grid(affine, shape):
    with pytest.raises(ValueError, match="expected"):
        Geometry(affine, shape)


def test_slices_follow_one_another_along_the_axis_that_they_have():
    turned = np.eye(4)[[1, 2, 0, 3]]  # superior first
    assert Geometry(np.eye(4), (4, 5, 6)).slice_axis == 2
    assert Geometry(turned, (4, 5, 6)).slice_axis == 0
    assert Geometry(np.eye(4), (1, 5, 6)).slice_axis == 0  # one sagittal slice
    assert Geometry(turned, (4, 5, 6), unit="px").slice_axis == 2
