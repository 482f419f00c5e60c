"""Odd pictures: colours where grey is set, masks of 255 or with a palette, sizes that no stride divides."""

import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from runs import outcome, run

from medseg.cli import main
from medseg.volumes import read_volume

BUNDLE = "chest_xray_lungs"


@pytest.fixture
def folder(phantoms, tmp_path):
    """X-rays of one's own, to be changed."""
    return shutil.copytree(phantoms(BUNDLE), tmp_path / "data")


def pictures(folder, masks=False):
    return sorted(path for path in folder.rglob("*.png") if (path.parent.name == "masks") == masks)


def change(path, how):
    how(Image.open(path)).save(path)


def tinted(picture):
    """In colours whose red is half the grey."""
    red, green, blue = picture.convert("RGB").split()
    return Image.merge("RGB", (red.point(lambda value: value // 2), green, blue))


def with_palette(mask):
    """Index 1 is white, as drawing programs store a mask of two colours."""
    indexed = Image.fromarray((np.asarray(mask) > 0).astype(np.uint8), "P")
    indexed.putpalette([0, 0, 0, 255, 255, 255])
    return indexed


def zero_and_one(mask):
    return Image.fromarray((np.asarray(mask) > 0).astype(np.uint8))


def refused(monkeypatch, capfd, folder, out, *settings, bundle=BUNDLE):
    words = ["medseg", "run", bundle, "train", "--data", folder, "--out", out, "epochs=1", *settings]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    with pytest.raises(SystemExit) as stop:
        main()
    (message,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("medseg: ")]
    assert stop.value.code in (2, 3) and "fix:" in message and not out.exists()
    return message


def test_grey_pictures_in_three_equal_colours_are_grey(folder, phantoms, tmp_path):
    """JPEGs of X-rays often are: the run is the one of the grey files, to the last bit."""
    for path in pictures(folder):
        change(path, lambda picture: picture.convert("RGB"))
    ours, theirs = (run(BUNDLE, "train", tmp_path / name, data, workers=0)
                    for name, data in (("rgb", folder), ("grey", phantoms(BUNDLE))))  # fmt: skip
    assert outcome(ours) == outcome(theirs)


def test_one_picture_in_colours_among_grey_ones_is_refused_by_name(folder, tmp_path, monkeypatch, capfd):
    odd = pictures(folder)[1]
    change(odd, tinted)
    message = refused(monkeypatch, capfd, folder, tmp_path / "out")
    assert "[E206]" in message and odd.name in message and "expected 1; found 3" in message


def test_pictures_in_colours_are_refused_where_intensities_mean_something(folder, tmp_path, monkeypatch, capfd):
    """X-rays in colours are made grey (tests/transforms/test_gray.py); of Hounsfield units there are no colours."""
    for path in pictures(folder):
        change(path, tinted)
    message = refused(monkeypatch, capfd, folder, tmp_path / "out", bundle="lung_ct")
    assert "[E205]" in message and ".png" in message and "found 3" in message
    log = (run(BUNDLE, "train", tmp_path / "run", folder) / "log.csv").read_text()
    assert len(log.splitlines()) == 2


def test_masks_of_255_of_1_and_with_a_palette_are_one_mask(folder, phantoms, tmp_path):
    hows = (with_palette, zero_and_one, lambda mask: mask.convert("RGB"), lambda mask: mask.convert("1"))
    for number, path in enumerate(pictures(folder, masks=True)):
        change(path, hows[number % len(hows)])
    ours, theirs = (run(BUNDLE, "train", tmp_path / name, data, workers=0)
                    for name, data in (("odd", folder), ("plain", phantoms(BUNDLE))))  # fmt: skip
    assert outcome(ours) == outcome(theirs)


@pytest.mark.parametrize("method", [None, "map_net"])
def test_sizes_that_no_stride_divides(folder, tmp_path, method):
    """Pictures of a size each, brought to one that is odd: predictions have each picture's own."""
    for number, path in enumerate(pictures(folder)):
        size = (203 + 10 * number, 187 - number)
        change(path, lambda picture, size=size: picture.resize(size))
        (mask,) = [each for each in pictures(folder, masks=True) if each.stem.removesuffix("_mask") == path.stem]
        change(mask, lambda picture, size=size: picture.resize(size, Image.Resampling.NEAREST))
    out = run(BUNDLE, "train", tmp_path / "run", folder, method, image_size=[71, 53])
    run(BUNDLE, "evaluate", out, folder, method, image_size=[71, 53], subset="test")
    predicted = sorted((out / "predictions").glob("*.png"))
    sizes = {path.stem: read_volume(path).geometry.shape for path in pictures(folder)}
    assert predicted and all(read_volume(path).geometry.shape == sizes[path.stem] for path in predicted)


def test_a_network_that_takes_no_such_size_says_so(folder, tmp_path, monkeypatch, capfd):
    message = refused(monkeypatch, capfd, folder, tmp_path / "out", "--method", "recommended", "image_size=[71,53]")
    assert "[E903]" in message and "[71, 53]" in message and "strides divide" in message
