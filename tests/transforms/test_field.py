import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from medseg.errors import DataError, UsageError
from medseg.transforms import ErodeMaskd, ReadFieldd, ReadImaged

SHAPE = (40, 46)


def round_field(radius=18.0):
    x, y = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot(x - 20, y - 23) < radius


def photograph(folder, inside):
    rows = np.where(inside, 200, 3).astype(np.uint8).T
    Image.fromarray(np.stack([rows, rows // 2, rows // 4], -1)).save(folder / "image.png")
    return str(folder / "image.png")


def mask_file(folder, array, name="mask.gif"):
    Image.fromarray(array.astype(np.uint8).T).save(folder / name)
    return str(folder / name)


def read(item):
    return ReadFieldd("field_of_view")(ReadImaged("image")(item))


@pytest.mark.parametrize("name", ["mask.gif", "mask.png", "mask.jpg"])
def test_a_mask_is_read_from_its_file(tmp_path, name):
    """And is not looked for in the image, which shows a larger field; what a JPEG smears is split at half."""
    drawn = round_field(12.0)
    path = mask_file(tmp_path, drawn * 255, name)
    field = read({"image": photograph(tmp_path, round_field()), "field_of_view": path})["field_of_view"]
    assert field.dtype == torch.uint8 and tuple(field.shape) == (1, *SHAPE, 1)
    assert np.array_equal(field[0, ..., 0].numpy(), drawn)


@pytest.mark.parametrize("absent", [{}, {"field_of_view": ""}, {"field_of_view": None}])
def test_without_a_file_it_is_found_from_the_image(tmp_path, absent):
    inside = round_field()
    found = read({"image": photograph(tmp_path, inside), **absent})
    field = found["field_of_view"][0, ..., 0].numpy()
    ring = ndimage.binary_dilation(inside) & ~ndimage.binary_erosion(inside)
    assert np.array_equal(field[~ring], inside[~ring])
    assert found["field_of_view"].meta["unit"] == found["image"].meta["unit"] == "px"
    assert torch.equal(found["field_of_view"].affine, found["image"].affine)


def test_masks_that_do_not_fit_are_refused(tmp_path):
    image = photograph(tmp_path, round_field())
    other = mask_file(tmp_path, np.ones((40, 40)) * 255, "other.png")
    with pytest.raises(DataError, match=r"E201.*other\.png.*\(40, 46, 1\).*\(40, 40, 1\)"):
        read({"image": image, "field_of_view": other})
    with pytest.raises(DataError, match=r"E302.*empty\.png"):
        read({"image": image, "field_of_view": mask_file(tmp_path, np.zeros(SHAPE), "empty.png")})


@pytest.mark.parametrize("margin", [1.0, 2.0, 5.5])
def test_a_margin_is_a_distance_to_the_nearest_voxel_outside(margin):
    """Against every pair of voxels; what lies beyond the image is outside."""
    draw = np.random.default_rng(0)
    mask = ndimage.binary_dilation(draw.random((30, 26)) < 0.002, iterations=7) | (np.arange(26) > 14)
    outside = np.argwhere(~np.pad(mask, 1)) - 1
    places = np.argwhere(mask)
    nearest = np.linalg.norm(places[:, None] - outside[None], axis=-1).min(axis=1)
    expected = np.zeros_like(mask)
    expected[tuple(places.T)] = nearest >= margin
    found = ErodeMaskd("mask", margin)({"mask": torch.from_numpy(mask[None, ..., None].astype(np.uint8))})["mask"]
    assert found.dtype == torch.uint8 and np.array_equal(found[0, ..., 0].numpy(), expected)


def test_slices_are_made_smaller_one_by_one_and_nothing_without_a_margin():
    mask = torch.zeros(1, 9, 9, 2, dtype=torch.uint8)
    mask[0, 2:7, 2:7, 0] = 255
    mask[0, :, :, 1] = 1
    left = ErodeMaskd("mask", 2)({"mask": mask})["mask"]
    assert left[..., 0].sum() == 3 * 3 and left[..., 1].sum() == 7 * 7
    assert torch.equal(ErodeMaskd("mask", 0)({"mask": mask})["mask"], (mask > 0).to(torch.uint8))


def test_a_margin_that_leaves_nothing_is_refused():
    with pytest.raises(DataError, match=r"E302.*case=01.*margin of 4 voxels leaves nothing of mask"):
        ErodeMaskd("mask", 4)({"mask": torch.ones(1, 6, 6, 1), "case": "01"})


@pytest.mark.parametrize("margin", [-1, True, "2", float("nan")])
def test_margins_that_make_no_sense_are_refused(margin):
    with pytest.raises(UsageError, match=r"E903.*margin"):
        ErodeMaskd("mask", margin)
