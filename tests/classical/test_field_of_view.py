import numpy as np
import pytest
from scipy import ndimage

from medseg.classical.field_of_view import field_of_view


def disc(shape, centre, radius):
    x, y = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(x - centre[0], y - centre[1]) < radius


def fundus(shape=(150, 160), radius=70.0, seed=0):
    """Red, green and blue (3, X, Y) of 0 to 255 on a dark surround, dimmer towards the edge, and the true field."""
    draw = np.random.default_rng(seed)
    middle = np.array(shape) / 2
    x, y = np.ogrid[: shape[0], : shape[1]]
    away = np.hypot(x - middle[0], y - middle[1]) / radius
    inside = away < 1
    red = np.where(inside, 210 - 120 * away**2, 4)
    colours = np.stack([red, 0.45 * red, 0.2 * red]) + draw.normal(0, 2, (3, *shape))
    return np.clip(colours, 0, 255).astype(np.uint8), inside


def apart(found, expected):
    """How many pixels differ beyond the ring of two pixels about the true edge."""
    ring = ndimage.binary_dilation(expected, iterations=2) & ~ndimage.binary_erosion(expected, iterations=2)
    return int(np.count_nonzero((found != expected) & ~ring))


@pytest.mark.parametrize("radius", [40.0, 70.0, 90.0])
def test_a_round_field_is_found_to_two_pixels(radius):
    """One of 90 pixels is cut off at the top and at the bottom, as most cameras do."""
    picture, inside = fundus(radius=radius)
    assert apart(field_of_view(picture), inside) == 0


def test_dark_parts_within_belong_to_the_field():
    """A black macula, and a haemorrhage of the surround's own darkness."""
    picture, inside = fundus()
    for centre, radius in (((75, 80), 14), ((50, 60), 6)):
        picture[:, disc(inside.shape, centre, radius)] = 3
    assert apart(field_of_view(picture), inside) == 0


def test_bright_marks_in_the_surround_do_not():
    picture, inside = fundus()
    picture[:, 3:9, 150:158] = 255  # the camera's date
    assert apart(field_of_view(picture), inside) == 0


def test_one_channel_and_any_range_of_intensities():
    picture, inside = fundus()
    grey = picture[:1].astype(np.float32)
    assert apart(field_of_view(grey), inside) == 0
    assert np.array_equal(field_of_view(grey * 256), field_of_view(grey))


@pytest.mark.parametrize("level", [0, 90])
def test_the_whole_picture_where_nothing_dark_surrounds_it(level):
    draw = np.random.default_rng(0)
    picture = np.clip(draw.normal(level, level / 9, (3, 60, 50)), 0, 255)
    assert field_of_view(picture).all()


def test_a_picture_that_is_dimmer_towards_its_corners_is_whole():
    x, y = np.ogrid[:60, :50]
    picture = 200 - 120 * (np.hypot(x - 30, y - 25) / np.hypot(30, 25)) ** 2
    assert picture.min() < 0.45 * picture.max() and field_of_view(picture[None]).all()


def test_the_whole_picture_where_the_bright_part_is_too_small_to_be_a_field():
    picture = np.zeros((1, 100, 100))
    picture[0, 40:60, 40:75] = 200  # 7 %
    assert field_of_view(picture).all()
    picture[0, 40:60, 30:85] = 200  # 11 %
    assert np.count_nonzero(field_of_view(picture)) == pytest.approx(20 * 55, rel=0.01)
