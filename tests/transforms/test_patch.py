import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.ndimage import gaussian_filter, map_coordinates

from medseg.errors import UsageError
from medseg.transforms import RandAffinePatchd

SIZE = (12, 10, 9)
RAMP = torch.arange(1.0, 1 + np.prod(SIZE)).reshape(1, *SIZE)
PLAIN = {"keys": ["image", "label"], "label_key": "label", "affine_prob": 0.0}


def cut(image, label=None, seed=0, **settings):
    label = torch.zeros(1, *image.shape[1:], dtype=torch.uint8) if label is None else label
    transform = RandAffinePatchd(**(PLAIN | settings)).set_random_state(seed=seed)
    return transform({"image": image, "label": label})


def start_of(patch):
    """The voxel of RAMP that a patch begins with."""
    return [int(n) for n in np.unravel_index(int(patch.min()) - 1, SIZE)]


def one_voxel(place, shape=SIZE):
    label = torch.zeros(1, *shape, dtype=torch.uint8)
    label[(0, *place)] = 1
    return label


def ball(shape, radius):
    grid = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij"))
    return torch.from_numpy(np.linalg.norm(grid, axis=0) < radius)[None]


def test_the_whole_volume_is_left_as_it_is():
    label = (RAMP % 3).to(torch.uint8)
    for foreground in (0.0, 1.0):
        result = cut(RAMP, label, patch_size=SIZE, foreground=foreground)
        assert torch.equal(torch.as_tensor(result["image"]), RAMP)
        assert torch.equal(torch.as_tensor(result["label"]), label.float())


@pytest.mark.parametrize("size", [(4, 6, 2), (5, 3, 9), (1, 1, 1), (12, 1, 8)])
@pytest.mark.parametrize("foreground", [0.0, 1.0])
def test_without_an_affine_map_a_patch_is_a_crop(size, foreground):
    starts = set()
    for seed in range(20):
        result = cut(RAMP, (RAMP % 3).to(torch.uint8), seed, patch_size=size, foreground=foreground)
        start = start_of(result["image"])
        block = (0, *(slice(begin, begin + length) for begin, length in zip(start, size, strict=True)))
        assert torch.equal(torch.as_tensor(result["image"])[0], RAMP[block])
        assert torch.equal(torch.as_tensor(result["label"])[0], (RAMP % 3)[block])
        starts.add(tuple(start))
    assert len(starts) > 5


def test_the_patch_knows_where_it_lies():
    affine = torch.tensor([[0, 2.0, 0, 5], [-1, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]], dtype=torch.float64)
    image = MetaTensor(RAMP, affine)
    patch = cut(image, patch_size=(4, 4, 4), seed=3)["image"]
    start = torch.tensor([*start_of(patch), 1.0], dtype=torch.float64)
    assert torch.allclose(patch.affine[:, 3], affine @ start)
    turned = cut(image, patch_size=(4, 4, 4), affine_prob=1.0, scale=(2.0, 2.0))["image"]
    assert torch.allclose(torch.linalg.det(turned.affine), torch.linalg.det(affine) / 8)


@pytest.mark.parametrize("size", [(16, 13, 9), (13, 14, 15), (16, 4, 12)])
def test_small_volumes_are_held_whole(size):
    """In the middle; beyond them the edge is repeated. The patch (16, 4, 12) is a crop along y."""
    label = (RAMP % 3).to(torch.uint8)
    result = cut(RAMP, label, patch_size=size)
    start = [int(place) for place in result["image"].affine[:3, 3]]
    places = [np.arange(begin, begin + length) for begin, length in zip(start, size, strict=True)]
    for place, length, n in zip(places, size, SIZE, strict=True):
        before, after = -place[0], place[-1] - (n - 1)
        assert abs(before - after) <= 1 if length >= n else max(before, after) <= 0
    block = np.ix_(*(place.clip(0, n - 1) for place, n in zip(places, SIZE, strict=True)))
    assert np.array_equal(result["image"][0].numpy(), RAMP[0].numpy()[block])
    assert np.array_equal(result["label"][0].numpy(), label[0].numpy()[block])


def test_mirroring_turns_a_crop_over():
    """Centres are drawn before the mirrors, so the mirrored patch is the plain one of the same state."""
    seen = set()
    for seed in range(30):
        patch = torch.as_tensor(cut(RAMP, patch_size=(4, 5, 3), mirror_axes=(0, 2), seed=seed)["image"])[0]
        step = [int(np.sign(value)) for value in np.diff(patch.numpy(), axis=0)[0, 0, :1]]
        last = int(np.sign(np.diff(patch.numpy(), axis=2)[0, 0, 0]))
        axes = [axis for axis, sign in ((0, step[0]), (2, last)) if sign < 0]
        plain = patch.flip(axes)
        begin = start_of(plain)
        block = tuple(slice(a, a + n) for a, n in zip(begin, (4, 5, 3), strict=True))
        assert torch.equal(plain, RAMP[0][block])
        seen.add(tuple(axes))
    assert seen == {(), (0,), (2,), (0, 2)}


def test_foreground_is_in_every_patch():
    rng = np.random.default_rng(0)
    for seed in range(40):
        place = [int(rng.choice([0, n - 1, rng.integers(n)])) for n in SIZE]
        for size in ((3, 4, 5), (1, 2, 9)):
            assert cut(RAMP, one_voxel(place), seed, patch_size=size, foreground=1.0)["label"].any()


def test_foreground_stays_under_affine_maps():
    label = ball((24, 24, 24), 4).to(torch.uint8)
    for seed in range(20):
        result = cut(label.float(), label, seed, patch_size=(8, 8, 8), foreground=1.0, affine_prob=1.0, translate=0.05)
        assert result["label"].any()


def test_rare_labels_are_looked_at_as_often():
    label = torch.ones(1, 16, 16, 16, dtype=torch.uint8)
    label[0, 3, 4, 5] = 2
    label[0, :, :, 10:] = 0
    hits = sum(bool((cut(label.float(), label, seed, patch_size=(3, 3, 3), foreground=1.0)["label"] == 2).any())
               for seed in range(200))  # fmt: skip
    assert 75 < hits < 130


def test_labels_keep_their_values():
    label = (torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(0)) * 3).floor() * 3
    for seed in range(5):
        found = cut(label, label, seed, patch_size=(12, 12, 12), affine_prob=1.0, shear=0.2, scale_axes=0.1)["label"]
        assert set(found.unique().tolist()) == {0, 3, 6}


def test_image_and_label_move_together():
    label = ball((20, 24, 16), 6)
    for seed in range(10):
        result = cut(label.float(), label.to(torch.uint8), seed, patch_size=(16, 16, 16), affine_prob=1.0,
                     rotate_degrees=(40, 40, 40), shear=0.1, translate=0.1, mirror_axes=(0, 1, 2))  # fmt: skip
        image, moved = (torch.as_tensor(result[key]) for key in ("image", "label"))
        sure = (image < 0.01) | (image > 0.99)
        assert sure.float().mean() > 0.6 and moved.any()
        assert torch.equal(image[sure] > 0.5, moved[sure] > 0)


def test_patches_repeat():
    settings = {"patch_size": (6, 6, 6), "affine_prob": 0.8, "mirror_axes": (0,), "shear": 0.1, "translate": 0.1}
    first, again, other = (cut(RAMP, seed=seed, **settings)["image"] for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


class Highest:
    """A random state that always draws the upper end of a range, and 0 for a probability."""

    def random(self):
        return 0.0

    def uniform(self, low, high, size=None):
        return np.broadcast_to(high, np.shape(high) if size is None else size)


def turned(image, label, size, degrees):
    """The patch after exactly these rotations."""
    transform = RandAffinePatchd(
        ["image", "label"], "label", size, foreground=0.0, rotate_degrees=degrees, scale=(1.0, 1.0)
    )
    transform.R = Highest()
    return transform({"image": image, "label": label})


@pytest.mark.parametrize(("axes", "degrees"), [((0, 1), (0, 0, 90)), ((1, 2), (90, 0, 0)), ((2, 0), (0, 90, 0))])
@pytest.mark.parametrize("n", [6, 7])
def test_a_quarter_turn(axes, degrees, n):
    """About x, y or z; the patch shows the volume turned the other way round."""
    image = torch.rand(2, n, n, n, generator=torch.Generator().manual_seed(0))
    label = (image[:1] * 4).to(torch.uint8)
    result = turned(image, label, (n, n, n), degrees)
    there = [axis + 1 for axis in axes]
    assert np.allclose(result["image"].numpy(), np.rot90(image.numpy(), -1, there), atol=1e-5)
    assert np.array_equal(result["label"].numpy(), np.rot90(label.numpy(), -1, there))


def test_a_quarter_turn_of_a_block_that_is_no_cube():
    """The highest centre at which a patch of this size fits is (8.5, 5.5, 6): x runs from 12 down, y and z up."""
    result = turned(RAMP, (RAMP % 3).to(torch.uint8), (6, 8, 5), (0, 0, 90))
    x, y, z = np.arange(12, 4, -1).clip(max=11), np.arange(3, 9), np.arange(4, 9)
    expected = RAMP[0].numpy()[np.ix_(x, y, z)].transpose(1, 0, 2)
    assert np.allclose(result["image"][0].numpy(), expected, rtol=1e-4)
    assert np.array_equal(result["label"][0].numpy(), expected % 3)


def test_magnification():
    """Twice as large: neighbouring voxels of the patch lie half a voxel apart."""
    along = torch.arange(32.0)[None, :, None, None].expand(1, 32, 32, 32)
    settings = {"patch_size": (8, 8, 8), "affine_prob": 1.0, "rotate_degrees": (0, 0, 0), "scale": (2.0, 2.0)}
    patch = cut(along.contiguous(), **settings)["image"]
    assert np.allclose(np.diff(patch[0].numpy(), axis=0), 0.5, atol=1e-4)
    assert np.allclose(np.diff(patch[0].numpy(), axis=1), 0.0, atol=1e-4)


def test_patches_stay_within_the_volume():
    for seed in range(50):
        for foreground in (0.0, 1.0):
            patch = cut(RAMP, one_voxel((0, 9, 4)), seed, patch_size=(5, 4, 3), foreground=foreground)["image"]
            assert patch.min() > 0


def test_a_constant_bend_is_a_shift(monkeypatch):
    """A displacement of (1, -2, 3) voxels everywhere shows the volume that much further on."""
    image = torch.arange(12 * 14 * 16, dtype=torch.float32).reshape(1, 12, 14, 16)
    label = (image % 7 == 0).to(torch.uint8)
    bend = torch.tensor([1.0, -2.0, 3.0]).reshape(1, 3, 1, 1, 1).expand(1, 3, 2, 2, 2)
    transform = RandAffinePatchd(["image", "label"], "label", image.shape[1:], affine_prob=0.0, elastic_voxels=1.0)
    monkeypatch.setattr(transform, "_draw_bend", lambda: bend)
    found = transform({"image": image, "label": label})
    for key, whole in (("image", image), ("label", label)):
        assert torch.allclose(found[key][:, :-1, 2:, :-3], whole[:, 1:, :-2, 3:].float(), atol=1e-2)


def test_elastic_bends_are_smooth_and_bounded_and_the_label_goes_along():
    ramp = torch.arange(40.0).reshape(1, 40, 1, 1).expand(1, 40, 40, 40).contiguous()
    label = (ramp > 19.5).to(torch.uint8)
    transform = RandAffinePatchd(["image", "label"], "label", (40, 40, 40), rotate_degrees=(0, 0, 0), scale=(1, 1),
                                 elastic_voxels=2.0)  # fmt: skip
    moved = 0.0
    for seed in range(5):
        transform.set_random_state(seed)
        found = transform({"image": ramp, "label": label})
        inner = (slice(None), slice(12, 28), slice(8, 32), slice(8, 32))
        shift = torch.as_tensor(found["image"] - ramp)[inner]
        moved = max(moved, shift.abs().max().item())
        assert shift.abs().max() < 4 * 2.0 and shift.diff(dim=2).abs().max() < 1.0
        clear = (torch.as_tensor(found["image"]) - 19.5).abs() > 0.5
        assert torch.equal(
            torch.as_tensor(found["label"])[clear], (torch.as_tensor(found["image"]) > 19.5).float()[clear]
        )
    assert moved > 0.5


def test_an_axis_can_be_left_unbent():
    ramps = torch.stack(torch.meshgrid(*[torch.arange(30.0)] * 3, indexing="ij"))
    transform = RandAffinePatchd(["image", "label"], "label", (30, 30, 30), rotate_degrees=(0, 0, 0), scale=(1, 1),
                                 elastic_voxels=[2.0, 0.0, 1.0])  # fmt: skip
    transform.set_random_state(0)
    found = transform({"image": ramps, "label": torch.zeros(1, 30, 30, 30, dtype=torch.uint8)})["image"] - ramps
    inner = torch.as_tensor(found)[:, 10:20, 10:20, 10:20]
    assert inner[0].abs().max() > 0.3 and inner[2].abs().max() > 0.1 and inner[1].abs().max() < 1e-3


def test_two_dimensions_are_a_slice_of_three():
    """A flat volume through the 3D transform and its slice through the 2D one, with one map for both."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 30, 26, generator=generator)
    label = (image > 0.6).to(torch.uint8)
    flat = RandAffinePatchd(["image", "label"], "label", (20, 16))
    deep = RandAffinePatchd(["image", "label"], "label", (20, 16, 5))
    angle, shift = 0.4, np.array([1.5, -2.0])
    plane = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([0.9, 1.1])
    flat._draw_map = lambda: (plane, shift)
    deep._draw_map = lambda: (np.block([[plane, np.zeros((2, 1))], [np.zeros((1, 2)), 1.0]]), np.append(shift, 0.0))
    flat._draw_centre = lambda label: np.array([14.0, 12.0])
    deep._draw_centre = lambda label: np.array([14.0, 12.0, 2.0])
    one = flat({"image": image, "label": label})
    volume = {"image": image[..., None].repeat(1, 1, 1, 5), "label": label[..., None].repeat(1, 1, 1, 5)}
    other = deep(volume)
    assert one["image"].shape == (1, 20, 16) and one["image"].affine.shape == (3, 3)
    assert torch.allclose(torch.as_tensor(one["image"]), torch.as_tensor(other["image"])[..., 2], atol=1e-5)
    assert torch.equal(torch.as_tensor(one["label"]), torch.as_tensor(other["label"])[..., 2])
    assert np.allclose(one["image"].affine[:2, :2], other["image"].affine[:2, :2])
    assert np.allclose(one["image"].affine[:2, 2], other["image"].affine[:2, 3])


@pytest.mark.parametrize("elastic", [0.0, 2.0])
def test_two_dimensional_draws(elastic):
    image = torch.rand(3, 40, 36, generator=torch.Generator().manual_seed(0))
    label = (image[:1] > 0.5).to(torch.uint8)
    transform = RandAffinePatchd(["image", "label"], "label", (24, 32), rotate_degrees=30, scale_axes=0.1, shear=0.1,
                                 translate=0.1, mirror_axes=[0, 1], elastic_voxels=elastic)  # fmt: skip
    draws = []
    for seed in range(3):
        transform.set_random_state(seed)
        found = transform({"image": image, "label": label})
        assert found["image"].shape == (3, 24, 32) and set(found["label"].unique().tolist()) <= {0.0, 1.0}
        draws.append(torch.as_tensor(found["image"]))
    assert not torch.equal(draws[0], draws[1])


def test_patches_have_two_or_three_sides():
    with pytest.raises(ValueError, match="two or three sides"):
        RandAffinePatchd(["image"], "label", (8,))


@pytest.mark.parametrize("size", [(24, 22, 20), (40, 36)])
def test_refined_interpolation_is_that_of_a_cubic_spline(size):
    """SciPy's spline at the places that the patch's affine names; linear interpolation is far from it."""
    image = torch.from_numpy(gaussian_filter(np.random.default_rng(0).normal(size=size), 0.6)).float()[None]
    errors = {}
    for refine in (1, 2, 8):
        transform = RandAffinePatchd(["image", "label"], "label", [10] * len(size), foreground=0.0, refine=refine,
                                     translate=0.0, scale=(1.0, 1.0), rotate_degrees=30.0)  # fmt: skip
        transform.set_random_state(0)
        transform._draw_centre = lambda label: (np.array(size) - 1) / 2 + 0.3
        patch = transform({"image": image, "label": torch.zeros_like(image, dtype=torch.uint8)})["image"]
        index = np.stack(np.meshgrid(*[np.arange(10.0)] * len(size), indexing="ij"))
        matrix = patch.affine.numpy()
        places = np.tensordot(matrix[:-1, :-1], index, 1) + matrix[:-1, -1].reshape(-1, *[1] * len(size))
        spline = map_coordinates(image[0].numpy().astype(float), places, order=3, mode="mirror")
        errors[refine] = np.sqrt(np.mean((patch[0].numpy() - spline) ** 2)) / spline.std()
    assert errors[1] > 0.2 and errors[2] < errors[1] / 2.5 and errors[8] < 0.01


def test_short_axes_are_refined_too():
    for length in (1, 2, 3, 4):
        line = torch.arange(float(length)).reshape(1, length, 1, 1).expand(1, length, 6, 6).contiguous()
        settings = {"affine_prob": 1.0, "rotate_degrees": 0.0, "scale": (1, 1), "translate": 0.1}
        found = cut(line, patch_size=(8, 4, 4), **settings)["image"]
        expected = np.arange(8) + found.affine[0, 3].item()
        assert np.allclose(found[0, :, 0, 0].numpy(), np.clip(expected, 0, length - 1), atol=1e-4)


@pytest.mark.parametrize("size", [(30, 26), (20, 18, 16)])
def test_the_nearest_voxel_of_a_label_map_is_the_one_that_the_affine_names(size):
    generator = torch.Generator().manual_seed(1)
    label = torch.randint(0, 5, (1, *size), generator=generator).to(torch.uint8)
    patch = tuple(side // 2 for side in size)
    transform = RandAffinePatchd("label", "label", patch, rotate_degrees=40.0, shear=0.2, label_mode="nearest")
    found = transform.set_random_state(3)({"label": label})["label"]
    indices = np.stack(np.meshgrid(*map(np.arange, patch), indexing="ij"), -1)
    affine = found.affine.numpy()
    place = indices @ affine[: len(size), : len(size)].T + affine[: len(size), -1]
    clear = (np.abs(place - np.floor(place) - 0.5) > 1e-3).all(-1)  # no tie between two voxels
    voxels = np.clip(np.rint(place).astype(int), 0, np.array(size) - 1)
    assert clear.mean() > 0.9
    assert (found[0].numpy() == label[0].numpy()[tuple(np.moveaxis(voxels, -1, 0))])[clear].all()


def test_an_unknown_label_mode_is_refused():
    with pytest.raises(UsageError, match="shares, nearest"):
        RandAffinePatchd("label", "label", (4, 4), label_mode="linear")
