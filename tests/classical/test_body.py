import numpy as np
import pytest

from medseg.classical.body import find_body

Z = 3


def slices():
    """A body of tissue with two lungs in it, and a couch under it, in Hounsfield units."""
    x, y = np.mgrid[:40, :40]
    image = np.full((40, 40), -1000.0)
    body = (x - 20) ** 2 / 18**2 + (y - 18) ** 2 / 14**2 < 1
    image[body] = 40
    for centre in (13, 27):
        image[(x - centre) ** 2 / 5**2 + (y - 18) ** 2 / 8**2 < 1] = -850
    image[5:35, 36:38] = 100
    return np.repeat(image[..., None], Z, axis=2), np.repeat(body[..., None], Z, axis=2)


@pytest.mark.parametrize("scale", [lambda hu: hu, lambda hu: (hu + 1000) / 1100, lambda hu: hu.astype(np.int16)])
def test_lungs_are_in_the_body_and_the_couch_is_not(scale):
    image, body = slices()
    assert np.array_equal(find_body(scale(image)), body)


def test_an_image_of_one_intensity_has_no_body():
    assert not find_body(np.full((4, 5, 2), 7.0)).any()


def test_each_slice_has_its_own():
    image, body = slices()
    image[..., 1] = -1000
    found = find_body(image)
    assert not found[..., 1].any() and np.array_equal(found[..., 2], body[..., 2])
