"""Pictures with a palette: indices for labels, colours for images."""

import numpy as np
import pytest
from PIL import Image

from medseg.errors import DataError
from medseg.volumes import read_volume

WIDTH, HEIGHT = 7, 5


def grey(high):
    return np.random.default_rng(0).integers(0, high, (HEIGHT, WIDTH)).astype(np.uint8)


def xy(rows):
    """Rows of a picture as medseg orders them: x, y, pages."""
    return np.swapaxes(rows, 0, 1)[..., None]


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.tif", "a.bmp"])
def test_a_palette_gives_indices_for_labels_and_colours_for_images(tmp_path, name):
    picture = Image.fromarray(grey(high=3), "P")
    picture.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 250] + [0] * 759)
    picture.save(tmp_path / name)
    assert np.array_equal(read_volume(tmp_path / name, label=True).array, xy(grey(high=3)))
    expected = np.array([[10, 20, 30], [200, 0, 0], [0, 0, 250]])[grey(high=3)]
    assert np.array_equal(read_volume(tmp_path / name).array[..., 0].T, expected)


def test_a_grey_palette_gives_indices_for_labels_and_grey_for_images(tmp_path):
    """As the masks of DRIVE are."""
    picture = Image.fromarray(grey(high=2), "P")
    picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(tmp_path / "a.gif")
    assert np.array_equal(read_volume(tmp_path / "a.gif", label=True).array, xy(grey(high=2)))
    assert np.array_equal(read_volume(tmp_path / "a.gif").array, xy(grey(high=2)) * 255)


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.tif"])
def test_a_palette_of_white_before_black_is_refused_for_labels(tmp_path, name):
    """As Pillow's quantize makes it of a white structure on black: by its indices the mask would be its complement."""
    Image.fromarray((grey(high=2) * 255).astype(np.uint8)).convert("RGB").quantize(2).save(tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        backwards = picture.getpalette()[:3] == [255, 255, 255]
    assert backwards
    with pytest.raises(DataError, match=r"E205.*palette runs backwards"):
        read_volume(tmp_path / name, label=True)
    assert np.array_equal(read_volume(tmp_path / name).array, xy(grey(high=2)) * 255)
    picture = Image.fromarray(grey(high=2), "P")
    picture.putpalette([255, 255, 255, 200, 0, 0])  # a label drawn red on white
    picture.save(tmp_path / "red.png")
    assert np.array_equal(read_volume(tmp_path / "red.png", label=True).array, xy(grey(high=2)))


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.tif"])
def test_a_palette_of_one_colour(tmp_path, name):
    """Of an empty mask it is black; a mask that is white throughout may be all structure or all background."""
    for value in (0, 255):
        Image.fromarray(np.full((HEIGHT, WIDTH), value, np.uint8)).convert("RGB").quantize(2).save(tmp_path / name)
        if value:
            with pytest.raises(DataError, match=r"E205.*palette runs backwards"):
                read_volume(tmp_path / name, label=True)
        else:
            assert not read_volume(tmp_path / name, label=True).array.any()


def test_a_transparent_palette_makes_no_noise(tmp_path, recwarn):
    picture = Image.fromarray(grey(high=3), "P")
    picture.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 250])
    picture.save(tmp_path / "a.png", transparency=bytes([0, 128, 255]))
    assert read_volume(tmp_path / "a.png").array[:, 0, 0, 0].tolist() in ([10, 20, 30], [200, 0, 0], [0, 0, 250])
    assert not recwarn.list
