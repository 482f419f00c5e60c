import numpy as np
import pytest
import torch
from monai.transforms import BorderPadd, Compose, Orientationd, Spacingd, SpatialCropd
from scipy import ndimage

from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.metrics.overlap import count
from medseg.transforms import ReadImaged, ToNativeGridd, native_grid
from medseg.transforms.native_grid import onto_grid, probabilities_onto_grid
from medseg.volumes.slabs import slabs

SHAPE = (9, 7, 8)
PHANTOM = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)
TURN, _ = np.linalg.qr(np.array([[1.0, 0.3, -0.2], [-0.25, 1.0, 0.15], [0.2, -0.1, 1.0]]))


def affine(matrix, spacing=(0.8, 1.0, 1.3), origin=(-20.5, 31.25, 7.0)):
    found = np.eye(4)
    found[:3, :3] = np.asarray(matrix, dtype=float) * spacing
    found[:3, 3] = origin
    return found


GRIDS = {
    "RAS": affine(np.eye(3)),
    "LPS": affine(np.diag([-1, -1, 1])),
    "flipped": affine(np.diag([1, -1, -1])),
    "permuted": affine(np.eye(3)[[2, 0, 1]]),
    "permuted and flipped": affine(np.diag([-1, 1, -1]) @ np.eye(3)[[1, 2, 0]]),
    "oblique": affine(TURN * np.sign(np.diag(TURN))),
    "oblique and permuted": affine((TURN * np.sign(np.diag(TURN)))[:, [1, 2, 0]] * [-1, 1, 1]),
}


def carried(path, *between):
    """The phantom's file read, taken to RAS and through further transforms, scored one-hot and brought back."""
    steps = [ReadImaged("image"), Orientationd("image", axcodes="RAS", labels=None), *between]
    item = Compose(steps)({"image": str(path)})
    item["pred"] = torch.nn.functional.one_hot(item["image"][0].as_tensor().round().long(), 4).movedim(-1, 0).float()
    return ToNativeGridd("pred")(item)["pred"]


class SameSpacingd:
    """Spacingd to the spacing that the image has, which resamples nothing."""

    def __call__(self, data):
        return Spacingd("image", data["image"].pixdim.tolist(), mode="bilinear")(data)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("between", [[], [SameSpacingd()]], ids=["orientation", "spacing"])
def test_voxel_for_voxel(tmp_path, save, grid, between):
    found = carried(save(tmp_path / "a.nii", PHANTOM, GRIDS[grid]), *between)
    assert found.shape == (1, *SHAPE)
    assert found.dtype == torch.uint8
    assert np.array_equal(found[0].numpy(), PHANTOM)
    assert np.allclose(found.affine, GRIDS[grid], atol=1e-5)
    assert found.meta["filename_or_obj"] == str(tmp_path / "a.nii")


@pytest.mark.parametrize("grid", ["RAS", "permuted and flipped", "oblique"])
def test_padding_and_cropping(tmp_path, save, grid):
    path = save(tmp_path / "a.nii", PHANTOM, GRIDS[grid])
    assert np.array_equal(carried(path, BorderPadd("image", [1, 2, 3, 0, 2, 5]))[0].numpy(), PHANTOM)
    crop = SpatialCropd("image", roi_start=(2, 1, 3), roi_end=(6, 6, 6))
    found = carried(path, crop)[0].numpy()
    inside = found != 0
    assert np.array_equal(found[inside], PHANTOM[inside])
    kept = Compose([ReadImaged("image"), Orientationd("image", axcodes="RAS", labels=None), crop])({"image": str(path)})
    assert inside.sum() == int((kept["image"] > 0).sum())
    assert np.array_equal(carried(path, crop, BorderPadd("image", 4))[0].numpy(), found)


def halves(grid, centre, radius):
    """Scores of two halves of a ball, labels 1 and 3, from world coordinates; label 2 is nowhere likely."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    place = index @ grid.affine[:3, :3].T + grid.affine[:3, 3] - centre
    depth = radius - np.linalg.norm(place, axis=-1)
    sides = [np.minimum(depth, place[..., 0]), np.minimum(depth, -place[..., 0])]
    return np.stack([np.zeros(grid.shape), sides[0], np.full(grid.shape, -1e-3), sides[1]]).astype(np.float32)


@pytest.mark.parametrize("grid", GRIDS)
def test_resampling(tmp_path, save, grid):
    native = Geometry(GRIDS[grid], (34, 26, 22))
    centre = native.affine[:3, :3] @ [16.3, 12.6, 11.2] + native.affine[:3, 3]
    path = save(tmp_path / "a.nii", np.zeros(native.shape, np.uint8), native.affine)
    steps = [ReadImaged("image"), Orientationd("image", axcodes="RAS", labels=None), Spacingd("image", (1.0, 1.0, 1.0))]
    item = Compose(steps)({"image": str(path)})
    fed = Geometry(item["image"].affine.numpy(), item["image"].shape[1:])
    assert fed.shape != native.shape
    item["pred"] = torch.from_numpy(halves(fed, centre, 9))
    found = ToNativeGridd("pred")(item)["pred"][0].numpy()
    truth = halves(native, centre, 9).argmax(axis=0)
    assert set(np.unique(found)) == {0, 1, 3}
    counts = count(found, truth, Labels({"background": 0, "left": 1, "right": 3}))
    assert min(each.dice for each in counts.values()) > 0.95


def test_no_label_appears_between_two_others():
    """One-hot scores of neighbours 1 and 3, moved by half a voxel: interpolating the label map would give 2."""
    scores = np.zeros((4, 8, 4, 4), np.float32)
    scores[1, :4], scores[3, 4:] = 1, 1
    shifted = np.eye(4)
    shifted[0, 3] = 0.5
    found = onto_grid(scores, Geometry(np.eye(4), (8, 4, 4)), Geometry(shifted, (7, 4, 4)))
    assert found[:3].max() == found[:3].min() == 1
    assert found[4:].max() == found[4:].min() == 3
    assert set(np.unique(found)) == {1, 3}


def test_outside_is_background():
    scores = np.zeros((2, 4, 4, 4), np.float32)
    scores[1] = 1
    target = np.diag([0.4, 1, 1, 1])
    target[0, 3] = -2
    found = onto_grid(scores, Geometry(np.eye(4), (4, 4, 4)), Geometry(target, (16, 4, 4)))
    place = -2 + 0.4 * np.arange(16)
    assert np.array_equal(found[:, 0, 0] == 1, (place > -0.501) & (place < 3.501))


def test_many_classes_need_a_wider_type():
    scores = np.zeros((300, 2, 2, 2), np.float32)
    scores[299] = 1
    grid = Geometry(np.eye(4), (2, 2, 2))
    assert onto_grid(scores, grid, grid).dtype == np.uint16
    assert onto_grid(scores, grid, grid).min() == 299


def test_one_channel_is_refused():
    """Its arg-max would be background everywhere."""
    grid = Geometry(np.eye(4), (2, 2, 2))
    with pytest.raises(ValueError, match="one channel"):
        onto_grid(np.ones((1, 2, 2, 2), np.float32), grid, grid)


@pytest.mark.parametrize("grid", ["LPS", "oblique"])
def test_one_channel_is_the_logit_of_the_only_label(tmp_path, save, grid):
    path = save(tmp_path / "a.nii", PHANTOM, GRIDS[grid])
    item = Compose([ReadImaged("image"), Orientationd("image", axcodes="RAS", labels=None)])({"image": str(path)})
    logit = 2.0 * (item["image"].as_tensor() - 1.5)  # above 0 where the phantom holds 2 or 3
    found = ToNativeGridd("pred", probabilities="prob")(item | {"pred": logit})
    assert np.array_equal(found["pred"][0].numpy(), PHANTOM > 1.5)
    sigmoid = 1 / (1 + np.exp(-2.0 * (PHANTOM - 1.5)))
    assert found["prob"].numpy() == pytest.approx(np.stack([1 - sigmoid, sigmoid]), abs=1e-6)


@pytest.mark.parametrize("grid", ["LPS", "permuted and flipped", "oblique"])
def test_probabilities_go_voxel_for_voxel(tmp_path, save, grid):
    path = save(tmp_path / "a.nii", PHANTOM, GRIDS[grid])
    item = Compose([ReadImaged("image"), Orientationd("image", axcodes="RAS", labels=None)])({"image": str(path)})
    hot = torch.nn.functional.one_hot(item["image"][0].as_tensor().round().long(), 4).movedim(-1, 0).float()
    found = ToNativeGridd("pred", probabilities="prob")(item | {"pred": 3 * hot})
    expected = np.where(np.arange(4)[:, None, None, None] == PHANTOM, np.e**3, 1) / (np.e**3 + 3)
    assert found["prob"].numpy() == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(found["pred"][0].numpy(), PHANTOM) and torch.equal(found["prob"].affine, found["pred"].affine)


def test_probabilities_that_are_resampled_stay_probabilities():
    """Half a voxel between two columns is their mean; beyond the network's grid background is certain."""
    scores = np.zeros((2, 4, 3, 2), np.float32)
    scores[1, 2:] = 50
    shifted = np.eye(4)
    shifted[0, 3] = 0.5
    found = probabilities_onto_grid(scores, Geometry(np.eye(4), (4, 3, 2)), Geometry(shifted, (6, 3, 2)))
    assert found[1, :, 0, 0] == pytest.approx([0.5, 0.75, 1, 1, 0, 0], abs=1e-6)
    assert found.sum(axis=0) == pytest.approx(1, abs=1e-6)


def test_probabilities_of_several_keys_are_refused():
    with pytest.raises(ValueError, match="several keys"):
        ToNativeGridd(["one", "two"], probabilities="prob")


@pytest.fixture
def thin_slabs(monkeypatch):
    """Slabs of one plane, so that small volumes have many."""
    monkeypatch.setattr(native_grid, "slabs", lambda shape: slabs(shape, 1))


SHIFTS = [np.zeros(3), np.array([0.3, -0.4, 1.2]), np.array([5.0, -6.0, 3.0]), np.array([40.0, 0.0, 0.0])]


@pytest.mark.parametrize("shift", SHIFTS, ids=["", "by parts of voxels", "by voxels", "away"])
@pytest.mark.parametrize("grid", GRIDS)
def test_slabs_change_nothing(thin_slabs, grid, shift):
    """Of the whole volume at once, SciPy's interpolation of each channel, which moves whole voxels too."""
    rng = np.random.default_rng(1)
    scores, source = rng.normal(size=(4, 9, 8, 7)).astype(np.float32), Geometry(GRIDS["RAS"], (9, 8, 7))
    moved = GRIDS[grid].copy()
    moved[:3, 3] = GRIDS["RAS"][:3, 3] + GRIDS["RAS"][:3, :3] @ shift
    if grid not in ("RAS", "oblique", "oblique and permuted"):  # turned about its middle, so that the two overlap
        moved[:3, 3] += GRIDS["RAS"][:3, :3] @ [4, 3, 3] - moved[:3, :3] @ [3, 3, 4]
    target = Geometry(moved, (7, 8, 9))
    index = target.index_in(source)

    def interpolated(values):
        return ndimage.affine_transform(values, index[:3, :3], index[:3, 3], target.shape, order=1, mode="nearest")

    places = np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij"), -1) @ index[:3, :3].T + index[:3, 3]
    outside = ((places < -0.501) | (places > np.array(source.shape) - 0.499)).any(axis=-1)
    expected = np.where(outside, 0, np.stack([interpolated(values) for values in scores]).argmax(axis=0))
    assert np.array_equal(onto_grid(scores, source, target), expected)
    shares = torch.from_numpy(scores).softmax(dim=0).numpy()
    certain = np.array([1.0, 0, 0, 0])[:, None, None, None]
    expected = np.where(outside, certain, np.stack([interpolated(values) for values in shares]))
    assert probabilities_onto_grid(scores, source, target) == pytest.approx(expected, abs=1e-6)
