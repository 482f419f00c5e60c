import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from medseg.errors import DataError
from medseg.transforms import ToGrayd

PICTURE = np.random.default_rng(0).integers(0, 256, (3, 7, 5), dtype=np.uint8)


def test_the_grey_of_a_picture_is_pillows():
    """Pillow's mode L has the weights of ITU-R BT.601 too, and drops the fraction or rounds it."""
    grey = ToGrayd("image")({"image": torch.from_numpy(PICTURE)})["image"]
    expected = np.asarray(Image.fromarray(np.moveaxis(PICTURE, 0, -1)).convert("L"))
    assert grey.shape == (1, 7, 5)
    assert grey.dtype == torch.float32
    assert np.abs(grey[0].numpy() - expected).max() < 1


def test_each_colour_weighs_what_the_standard_says():
    for colour, weight in zip(np.eye(3), (0.299, 0.587, 0.114), strict=True):
        pixel = torch.tensor(colour).reshape(3, 1, 1, 1)
        assert ToGrayd("image")({"image": pixel})["image"].item() == pytest.approx(weight)


def test_a_grey_image_in_colours_keeps_its_values():
    ramp = torch.linspace(0, 1, 60).reshape(1, 5, 4, 3)
    assert torch.allclose(ToGrayd("image")({"image": ramp.expand(3, -1, -1, -1)})["image"], ramp)


def test_affine_and_meta_data_stay():
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    image = MetaTensor(PICTURE[..., None], affine, {"filename_or_obj": "a.png"}, applied_operations=[{"class": "Any"}])
    grey = ToGrayd("image")({"image": image})["image"]
    assert torch.equal(grey.affine, affine)
    assert grey.meta["filename_or_obj"] == "a.png"
    assert grey.applied_operations == [{"class": "Any"}]


def test_an_image_of_one_channel_is_refused_by_name():
    image = MetaTensor(torch.zeros(1, 4, 4), meta={"filename_or_obj": "grey.png"})
    with pytest.raises(DataError, match=r"E205.*grey\.png: image is not in colours.*shape \(1, 4, 4\)"):
        ToGrayd("image")({"image": image})


def test_an_image_of_one_channel_is_kept_on_request():
    image = MetaTensor(torch.arange(16).reshape(1, 4, 4), meta={"filename_or_obj": "grey.png"})
    grey = ToGrayd("image", keep_grey=True)({"image": image})["image"]
    assert torch.equal(grey.as_tensor(), image.as_tensor().float()) and grey.meta["filename_or_obj"] == "grey.png"
    with pytest.raises(DataError, match="E205"):
        ToGrayd("image", keep_grey=True)({"image": torch.zeros(2, 4, 4)})
