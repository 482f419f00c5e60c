import re

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientationd, Spacingd
from PIL import Image

from medseg.errors import DataError
from medseg.transforms import ReadImaged, ReadLabeld
from medseg.transforms.read import native_geometry

SHAPE = (5, 6, 7)
LPS = np.array([[-0.5, 0, 0, 30], [0, -0.75, 0, 40], [0, 0, 2.0, -50], [0, 0, 0, 1]])
IMAGE = np.arange(210, dtype=np.int16).reshape(SHAPE)


@pytest.fixture
def item(tmp_path, save):
    return {
        "image": str(save(tmp_path / "i.nii.gz", IMAGE, LPS)),
        "label": str(save(tmp_path / "l.nii.gz", (IMAGE > 100) * np.float32(2), LPS)),
        "case": "a",
    }


def test_one_channel(item):
    image = ReadImaged("image")(item)["image"]
    assert image.dtype == torch.float32
    assert image.shape == (1, *SHAPE)
    assert np.array_equal(image[0].numpy(), IMAGE)
    assert np.allclose(image.affine, LPS)
    assert np.allclose(image.meta["original_affine"], LPS)
    assert list(image.meta["spatial_shape"]) == list(SHAPE)
    assert image.meta["filename_or_obj"] == item["image"]


def test_a_channel_a_file(item, tmp_path, save):
    paths = [item["image"], save(tmp_path / "t2.nii", IMAGE * 2, LPS)]  # a string and a Path
    image = ReadImaged("image")({"image": paths})["image"]
    assert np.array_equal(image.numpy(), np.stack([IMAGE, IMAGE * 2]))
    assert np.array_equal(ReadImaged("image")({"image": paths[1]})["image"][0].numpy(), IMAGE * 2)


def test_channels_of_different_shapes(item, tmp_path, save):
    other = str(save(tmp_path / "t2.nii", IMAGE[1:], LPS))
    with pytest.raises(DataError, match=r"E201.*t2\.nii"):
        ReadImaged("image")({"image": [item["image"], other]})


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_intensities_that_are_none(tmp_path, save, value):
    image = IMAGE.astype(np.float32)
    image[0, 0, 0] = value
    with pytest.raises(DataError, match=r"E401.*bad\.nii"):
        ReadImaged("image")({"image": str(save(tmp_path / "bad.nii", image))})


def test_labels(item):
    result = ReadLabeld("label", names="truth")(item)
    assert result["label"] == item["label"]
    label = result["truth"]
    assert label.dtype == torch.uint8
    assert np.array_equal(label[0].numpy(), (IMAGE > 100) * 2)
    assert np.allclose(label.affine, LPS)


def test_missing_keys(item):
    del item["label"]
    assert ReadLabeld("label", allow_missing_keys=True)(item) == item
    with pytest.raises(KeyError):
        ReadLabeld("label")(item)


def test_no_label_is_background(item):
    result = ReadLabeld("label")(ReadImaged("image")(item | {"label": None}))
    assert result["label"].shape == (1, *SHAPE)
    assert result["label"].dtype == torch.uint8
    assert not result["label"].any()
    assert np.allclose(result["label"].affine, LPS)


def test_a_fractional_label(tmp_path, save):
    with pytest.raises(DataError, match=r"E303.*half\.nii"):
        ReadLabeld("label")({"label": str(save(tmp_path / "half.nii", np.full(SHAPE, 0.5, np.float32)))})


def test_an_affine_that_differs_by_rounding_is_the_images(tmp_path, save):
    """0.7 and 0.70001 mm: resampled to 1 mm by MONAI, 71 voxels and more come out as two different shapes."""
    read = [ReadImaged("image"), ReadLabeld("label")]
    resample = Spacingd(["image", "label"], (1, 1, 1), mode=("bilinear", "nearest"))
    for n in (5, 6, 16, 36):
        item = {
            key: str(save(tmp_path / f"{key}.nii", np.ones((n, 2, 2), np.uint8), np.diag([size, 1, 1, 1])))
            for key, size in (("image", 0.7), ("label", 0.70001))
        }
        for step in read:
            item = step(item)
        assert torch.equal(item["image"].affine, item["label"].affine)
        moved = resample(Orientationd(["image", "label"], "LPS", labels=None)(item))
        assert moved["image"].shape == moved["label"].shape
        assert torch.equal(moved["image"].affine, moved["label"].affine)


def test_an_affine_that_differs_in_earnest_is_the_labels(item, tmp_path, save):
    affine = LPS.copy()
    affine[0, 3] += 0.02
    item["label"] = str(save(tmp_path / "l.nii", (IMAGE > 100).astype(np.uint8), affine))
    label = ReadLabeld("label")(ReadImaged("image")(item))["label"]
    assert isinstance(label, MetaTensor)
    assert np.allclose(label.affine, affine)
    assert not np.allclose(label.affine, LPS)


def test_a_picture_in_colours(tmp_path):
    """Rows of the file are y, columns x; there are no millimetres."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "g.png")
    image = ReadImaged("image")({"image": [str(tmp_path / "p.png"), str(tmp_path / "g.png")]})["image"]
    assert image.shape == (4, 5, 6, 1)
    assert np.array_equal(image[:3, :, :, 0].numpy(), pixels.transpose(2, 1, 0))
    assert np.array_equal(image[3, :, :, 0].numpy(), pixels[..., 0].T)
    assert image.meta["unit"] == "px" and native_geometry(image).unit == "px"


@pytest.mark.parametrize(("colours", "channels"), [(True, 1), (False, 3)])
def test_another_number_of_channels_is_refused_by_name(colours, channels, tmp_path):
    shape = (4, 5, 3) if colours else (4, 5)
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    item = {"image": str(tmp_path / "a.png")}
    grey, red_green_blue = "1 channel (grey)", "3 channels (colours)"
    words = (grey, red_green_blue) if colours else (red_green_blue, grey)
    with pytest.raises(DataError, match=re.escape("expected {}; found {}".format(*words))) as raised:
        ReadImaged("image", channels=channels)(item)
    assert "E205" in str(raised.value) and "a.png" in str(raised.value)
    assert len(ReadImaged("image", channels=4 - channels)(item)["image"]) == 4 - channels


def test_a_label_of_two_files_and_of_0_and_255(tmp_path):
    left, right = np.zeros((6, 5), np.uint8), np.zeros((6, 5), np.uint8)
    left[0, :2], right[5, 1:3] = 255, 255
    for name, mask in (("l", left), ("r", right)):
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
    item = {"label": [str(tmp_path / "l.png"), str(tmp_path / "r.png")]}
    label = ReadLabeld("label", labels={"background": 0, "lung": 1})(item)["label"]
    assert label.dtype == torch.uint8
    assert np.array_equal(label[0, :, :, 0].numpy(), ((left + right) > 0).T)
    assert set(ReadLabeld("label")(item)["label"].unique().tolist()) == {0, 255}
    two = {"background": 0, "lung": 1, "heart": 2}
    assert set(ReadLabeld("label", labels=two)(item)["label"].unique().tolist()) == {0, 255}
