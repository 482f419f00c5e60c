import math

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import perimeter_crofton

from medseg.geometry import Geometry
from medseg.metrics.shape import n_components, perimeter_squared_over_area


def grid(shape, spacing=(1.0, 1.0, 1.0), unit="mm"):
    return Geometry(np.diag([*spacing, 1.0]), shape, unit)


def disc(radius, spacing, margin=3):
    """A disc of `radius` mm on pixels of two spacings, off the centre of its middle pixel."""
    half = [int(radius / step) + margin for step in spacing]
    x, y = (np.arange(-n, n + 1) * step for n, step in zip(half, spacing, strict=True))
    return ((x[:, None] - 0.13) ** 2 + (y[None] + 0.21) ** 2 <= radius**2)[..., None]


def score(mask, spacing=(1.0, 1.0, 1.0), unit="mm"):
    return perimeter_squared_over_area(mask, grid(mask.shape, spacing, unit))


def test_components_are_joined_by_corners():
    mask = np.zeros((5, 5, 5), bool)
    assert n_components(mask) == 0
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 3, 3] = True
    assert n_components(mask) == 2
    assert n_components(np.asfortranarray(mask)) == 2
    mask[2, 2, 2] = True
    assert n_components(mask) == 1
    assert n_components(np.eye(4, dtype=bool)[..., None]) == 1
    assert n_components(np.array([[1, 0, 1, 0, 1]], bool)) == 3


@pytest.mark.parametrize("seed", range(4))
def test_square_pixels_as_scikit_image_measures_them(seed):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.random((40, 50)), 2.0) > 0.5
    expected = perimeter_crofton(np.pad(mask, 1), directions=4) ** 2 / mask.sum()
    assert score(mask[..., None]) == pytest.approx(expected)
    assert score(mask[..., None], (0.3, 0.3, 1.0)) == pytest.approx(expected)  # the unit cancels


def test_one_pixel_by_hand():
    """It crosses two edges along each of four directions: lines 1 apart, diagonal ones 1/√2, each for an angle π/4."""
    perimeter = (2 * 1 + 2 * 1 + 2 / math.sqrt(2) + 2 / math.sqrt(2)) * (math.pi / 4) / 2
    assert score(np.ones((1, 1, 1), bool), unit="px") == pytest.approx(perimeter**2)


def test_one_oblong_pixel_by_hand():
    """Sides 3 and 4, so a diagonal of 5, which lies 0.9273 from the side of 3 and 0.6435 from that of 4.

    Lines along the side of 3 are 4 apart and stand for 0.9273, those along the side of 4 are 3 apart and stand for
    0.6435, and those along either diagonal are 12/5 apart and stand for (0.9273 + 0.6435) / 2.
    """
    perimeter = (2 * 4 * 0.927295 + 2 * 3 * 0.643501 + 2 * (2 * 12 / 5 * 0.785398)) / 2
    assert score(np.ones((1, 1, 1), bool), (3.0, 4.0, 1.0)) == pytest.approx(perimeter**2 / 12, rel=1e-5)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.7), (1.0, 2.0), (2.0, 0.8), (0.4, 2.0)])
def test_a_disc_on_pixels_of_any_proportions(spacing):
    assert score(disc(20.0, spacing), (*spacing, 1.0)) == pytest.approx(4 * math.pi, rel=0.02)


def test_holes_and_scattered_pieces_add_to_the_perimeter():
    one = disc(12.0, (1.0, 1.0))
    two = np.concatenate([one, one])
    assert score(two) == pytest.approx(2 * score(one))  # twice the perimeter, twice the area
    ring = one & ~np.pad(disc(6.0, (1.0, 1.0)), ((6, 6), (6, 6), (0, 0)))
    assert score(ring) == pytest.approx((2 * math.pi * 18) ** 2 / (math.pi * (12**2 - 6**2)), rel=0.03)


def test_beyond_the_image_is_background():
    cut = disc(12.0, (1.0, 1.0))[:12]
    padded = np.pad(cut, ((4, 4), (4, 4), (0, 0)))
    assert score(cut) == pytest.approx(score(padded))


def test_a_volume_has_the_mean_of_its_slices():
    small, large, empty = disc(6.0, (1.0, 1.0), margin=9), disc(12.0, (1.0, 1.0)), np.zeros((31, 31, 1), bool)
    volume = np.concatenate([empty, small, empty, large, empty], axis=2)
    assert score(volume) == pytest.approx((score(small) + score(large)) / 2)
    affine = np.zeros((4, 4))
    affine[[2, 0, 1, 3], [0, 1, 2, 3]] = [-5.0, 1.0, -1.0, 1.0]  # inferior, right, posterior
    turned = volume.transpose(2, 0, 1)[::-1, :, ::-1]
    assert perimeter_squared_over_area(turned, Geometry(affine, turned.shape)) == pytest.approx(score(volume))


def test_nothing_has_no_perimeter():
    assert math.isnan(score(np.zeros((4, 5, 6), bool)))


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match="shapes differ"):
        perimeter_squared_over_area(np.ones((2, 2, 2), bool), grid((2, 2, 3)))
