import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd, Spacingd
from scipy import ndimage

from medseg.transforms import ReadImaged, SlabSpacingd, spacing
from medseg.volumes.slabs import slabs

SHAPE = (23, 17, 12)
PHANTOM = np.random.default_rng(0).normal(0, 300, SHAPE).astype(np.float32)
TURN, _ = np.linalg.qr(np.array([[1.0, 0.3, -0.2], [-0.25, 1.0, 0.15], [0.2, -0.1, 1.0]]))


@pytest.fixture(autouse=True)
def thin_slabs(monkeypatch):
    """Slabs of a few planes, so that small volumes have many."""
    monkeypatch.setattr(spacing, "slabs", lambda shape: slabs(shape, 500))


def grid(matrix, spacing_mm):
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(matrix) * spacing_mm
    affine[:3, 3] = (-20.5, 31.25, 7.0)
    return affine


GRIDS = {
    "finer": grid(np.eye(3), (0.8, 1.0, 2.5)),
    "coarser": grid(np.diag([-1, -1, 1]), (0.3, 0.4, 0.35)),
    "permuted": grid(np.eye(3)[[2, 0, 1]], (0.9, 1.7, 0.6)),
    "oblique": grid(TURN * np.sign(np.diag(TURN)), (0.7, 0.7, 1.25)),
    "one slice": grid(np.eye(3), (0.8, 0.9, 5.0)),
}


def image(name):
    values = PHANTOM[..., :1] if name == "one slice" else PHANTOM
    return MetaTensor(torch.from_numpy(np.stack([values, 2 - values])), torch.from_numpy(GRIDS[name]), {"kept": 1})


@pytest.mark.parametrize("between", [[], [Orientationd("image", axcodes="RAS", labels=None)]], ids=["stored", "RAS"])
@pytest.mark.parametrize("name", GRIDS)
def test_the_same_as_monai(name, between):
    found, expected = (
        Compose([*between, resample("image", (0.8, 0.8, 1.0), mode="bilinear")])({"image": image(name)})["image"]
        for resample in (SlabSpacingd, Spacingd)
    )
    assert found.shape == expected.shape and found.shape[1:] != image(name).shape[1:]
    assert np.allclose(found.affine, expected.affine, rtol=0, atol=1e-12)
    assert found.dtype == expected.dtype == torch.float32 and found.meta["kept"] == 1
    assert torch.allclose(found.as_tensor(), expected.as_tensor(), rtol=3e-7, atol=3e-5)  # rounding of float32


@pytest.mark.parametrize("name", GRIDS)
def test_labels_take_the_nearest_voxel(name):
    """On spacings that put no voxel half-way between two: there either is nearest, and rounding decides."""
    label = (image(name)[:1] > 0).to(torch.uint8)
    found, expected = (
        resample("label", (0.771, 0.831, 1.093), mode="nearest")({"label": label})["label"]
        for resample in (SlabSpacingd, Spacingd)
    )
    assert found.dtype == expected.dtype and torch.equal(found.as_tensor(), expected.as_tensor())


def test_an_independent_interpolation():
    before = image("finer")
    found = SlabSpacingd("image", (1.1, 0.7, 1.3))({"image": before})["image"]
    index = np.linalg.solve(before.affine.numpy(), found.affine.numpy())
    expected = ndimage.affine_transform(before[0].numpy().astype(np.float64), index[:3, :3], index[:3, 3],
                                        tuple(found.shape[1:]), order=1, mode="nearest")  # fmt: skip
    assert np.allclose(found[0].numpy(), expected, atol=1e-3)


def test_a_grid_that_has_the_spacing_is_left_as_it_is():
    before = image("finer")
    found = SlabSpacingd("image", (0.8, 1.0, 2.5))({"image": before})["image"]
    assert found.data_ptr() == before.data_ptr()
    assert torch.equal(found.affine, before.affine)


def test_one_mode_a_key_and_missing_keys(tmp_path, save):
    path = save(tmp_path / "a.nii", PHANTOM, GRIDS["finer"])
    step = SlabSpacingd(["image", "label"], (1.0, 1.0, 1.0), ["bilinear", "nearest"], allow_missing_keys=True)
    item = ReadImaged("image")({"image": str(path)})
    assert set(step(item)) == {"image"}
    item["label"] = MetaTensor(torch.randint(0, 3, (1, *SHAPE), dtype=torch.uint8), item["image"].affine)
    found = step(item)
    assert found["label"].shape == found["image"].shape
    assert set(found["label"].unique().tolist()) == {0, 1, 2}  # of means there would be fractions
    with pytest.raises(KeyError):
        SlabSpacingd("label", (1.0, 1.0, 1.0))(ReadImaged("image")({"image": str(path)}))
