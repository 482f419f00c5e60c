import colorsys

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medseg.errors import DataError, UsageError
from medseg.transforms import RandHued
from medseg.transforms.hue import turn_hue

IMAGE = torch.from_numpy(np.random.default_rng(0).random((3, 9, 8), dtype=np.float32))


def turned_by_colorsys(pixel, degrees):
    hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
    return colorsys.hsv_to_rgb((hue + degrees / 360) % 1, saturation, value)


@pytest.mark.parametrize("degrees", [-170.0, -31.0, 0.0, 12.5, 60.0, 120.0, 359.0])
def test_every_pixel_is_turned_as_colorsys_turns_it(degrees):
    corners = torch.tensor(np.stack(np.meshgrid([0, 0.5, 1], [0, 0.5, 1], [0, 0.5, 1])).reshape(3, 1, -1)).float()
    for image in (IMAGE, corners):
        expected = [turned_by_colorsys(pixel, degrees) for pixel in image.reshape(3, -1).T.tolist()]
        found = turn_hue(image, degrees).reshape(3, -1).T
        assert np.allclose(found.numpy(), expected, atol=2e-6)


def test_a_third_of_a_turn_makes_red_green():
    red = torch.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    assert turn_hue(red, 120.0).flatten().tolist() == [0, 1, 0]


def test_the_range_of_the_image_does_not_matter():
    assert torch.allclose(turn_hue(IMAGE * 255 - 40, 25.0), turn_hue(IMAGE, 25.0) * 255 - 40, atol=1e-3)


def test_grey_pixels_stay_grey():
    grey = torch.rand(1, 5, 5, 2).expand(3, -1, -1, -1)
    assert torch.equal(turn_hue(grey, 77.0), grey)


def test_angles_are_drawn_evenly_from_both_sides():
    red = torch.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    transform = RandHued("image", degrees=30.0).set_random_state(seed=0)
    angles = []
    for _ in range(400):
        pixel = transform({"image": red})["image"].flatten().tolist()
        angles.append(360 * ((colorsys.rgb_to_hsv(*pixel)[0] + 0.5) % 1 - 0.5))
    counts, _ = np.histogram(angles, bins=4, range=(-30, 30))
    assert counts.sum() == 400
    assert counts.min() > 70  # 100 expected, with a standard deviation of 8.7


def test_one_seed_gives_one_angle_for_all_images_of_a_case():
    item = {"image": IMAGE, "again": IMAGE.clone()}
    first = RandHued(["image", "again"], degrees=90.0).set_random_state(seed=3)(item)
    second = RandHued(["image", "again"], degrees=90.0).set_random_state(seed=3)(item)
    assert torch.equal(first["image"], second["image"])
    assert torch.equal(first["image"], first["again"])
    assert not torch.allclose(first["image"], IMAGE, atol=0.01)


def test_masks_are_not_touched():
    label = MetaTensor((IMAGE[:1] > 0.5).to(torch.uint8))
    item = {"image": MetaTensor(IMAGE, torch.eye(4) * 2, {"filename_or_obj": "a.png"}), "label": label}
    result = RandHued("image", degrees=90.0).set_random_state(seed=0)(item)
    assert result["label"] is label
    assert torch.equal(result["image"].affine, item["image"].affine)
    assert result["image"].meta["filename_or_obj"] == "a.png"
    with pytest.raises(DataError, match=r"E205.*label is not in colours.*shape \(1, 9, 8\)"):
        RandHued(["image", "label"], degrees=90.0)(item)


@pytest.mark.parametrize("degrees", [0, -5.0, 360.0, "10", True])
def test_angles_that_make_no_sense_are_refused(degrees):
    with pytest.raises(UsageError, match=r"E903.*degrees"):
        RandHued("image", degrees=degrees)
