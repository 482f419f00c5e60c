"""Patches whose centres lie in a mask: `RandAffinePatchd` with `inside_key`."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medseg.errors import DataError
from medseg.transforms import ErodeMaskd, RandAffinePatchd

SHAPE = (60, 66)


def disc(centre=(26, 34), radius=15.0, shape=SHAPE):
    x, y = np.ogrid[: shape[0], : shape[1]]
    return torch.from_numpy(np.hypot(x - centre[0], y - centre[1]) < radius)[None].to(torch.uint8)


def cut(inside, seed, label=None, image=None, **settings):
    shape = inside.shape[1:]
    image = torch.arange(float(np.prod(shape))).reshape(1, *shape) if image is None else image
    label = torch.zeros(1, *shape, dtype=torch.uint8) if label is None else label
    given = {"foreground": 0.0, "affine_prob": 0.0, "refine": 1, "inside_key": "field"} | settings
    transform = RandAffinePatchd(["image", "label"], "label", **given).set_random_state(seed=seed)
    return transform({"image": MetaTensor(image, torch.eye(len(shape) + 1)), "label": label, "field": inside})


def centre_of(patch):
    """Where in the volume the middle of the patch lies."""
    middle = (np.array(patch.shape[1:]) - 1) / 2
    return np.asarray(patch.affine)[:-1] @ np.append(middle, 1)


def is_inside(inside, centre):
    """Whether the centre is a voxel of the mask, or lies half-way between one and its neighbours."""
    voxels = itertools.product(*({int(np.ceil(at - 0.5 - 1e-6)), int(np.floor(at + 0.5 + 1e-6))} for at in centre))
    return any(
        bool(inside[(0, *voxel)])
        for voxel in voxels
        if all(0 <= at < n for at, n in zip(voxel, inside.shape[1:], strict=True))
    )


SETTINGS = {
    "even": {"patch_size": (16, 16)},
    "odd": {"patch_size": (15, 9)},
    "turned": {"patch_size": (16, 16), "affine_prob": 1.0, "rotate_degrees": 180.0},
    "moved": {"patch_size": (15, 15), "affine_prob": 1.0, "translate": 0.8},
    "foreground": {"patch_size": (15, 15), "foreground": 1.0},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_no_centre_lies_outside_the_mask(name):
    """And without the key many do, of the same draws."""
    inside, settings = disc(), SETTINGS[name]
    label = (torch.arange(np.prod(SHAPE)).reshape(1, *SHAPE) % 5 == 0).to(torch.uint8)
    centres = [centre_of(cut(inside, seed, label, **settings)["image"]) for seed in range(200)]
    assert all(is_inside(inside, centre) for centre in centres)
    assert np.ptp(centres, axis=0).min() > 25  # nearly the whole disc
    anywhere = [centre_of(cut(inside, seed, label, **settings, inside_key=None)["image"]) for seed in range(200)]
    assert sum(not is_inside(inside, centre) for centre in anywhere) > 80


def test_every_voxel_of_the_mask_is_as_likely():
    """Four voxels, 400 draws: each 100 times, with a standard deviation of 8.7."""
    inside = torch.zeros(1, 20, 20, dtype=torch.uint8)
    places = [(4, 5), (4, 6), (11, 13), (15, 2)]
    for place in places:
        inside[(0, *place)] = 1
    found = Counter(tuple(centre_of(cut(inside, seed, patch_size=(5, 5))["image"]).tolist()) for seed in range(400))
    assert set(found) == set(places) and all(65 < count < 135 for count in found.values())


def test_foreground_outside_the_mask_is_not_chosen():
    inside, label = disc(), torch.zeros(1, *SHAPE, dtype=torch.uint8)
    label[0, 26, 30] = 1
    label[0, 50, 50] = 2  # of another value, outside
    for seed in range(30):
        patch = cut(inside, seed, label, patch_size=(15, 15), foreground=1.0)["image"]
        assert centre_of(patch).tolist() == [26, 30]


def test_without_foreground_in_the_mask_it_is_a_random_place_of_it():
    inside, label = disc(), torch.zeros(1, *SHAPE, dtype=torch.uint8)
    label[0, 50, 50] = 1
    centres = {tuple(centre_of(cut(inside, seed, label, patch_size=(15, 15), foreground=1.0)["image"]))
               for seed in range(30)}  # fmt: skip
    assert len(centres) > 20 and all(is_inside(inside, centre) for centre in centres)


def test_patches_stay_within_the_volume_too():
    """The mask reaches the border; patches do not reach over it."""
    inside = torch.ones(1, 20, 18, dtype=torch.uint8)
    for seed in range(100):
        patch = cut(inside, seed, patch_size=(8, 7))["image"]
        start, shape = np.asarray(patch.affine)[:2, 2], np.array(patch.shape[1:])
        assert (start >= 0).all() and (start + shape <= (20, 18)).all()


def test_an_axis_that_the_patch_covers_has_its_middle_for_centre():
    inside = disc(centre=(26, 10), radius=6)
    for seed in range(20):
        centre = centre_of(cut(inside, seed, patch_size=(15, 66))["image"])
        assert centre[1] == 32.5 and 20 < centre[0] < 32


@pytest.mark.parametrize("radius", [0.0, 1.0])
def test_a_mask_without_a_place_for_a_patch_is_refused(radius):
    """An empty one, or one that lies within half a patch of the image's edge."""
    with pytest.raises(DataError, match=r"E302.*no place for a patch in field"):
        cut(disc(centre=(3, 3), radius=radius), 0, patch_size=(15, 15))


def test_a_margin_of_half_the_diagonal_keeps_turned_patches_within_the_mask():
    """8 sqrt(2) for 16 voxels; with half of it some patches reach over. The mask is cut as a label, voxel by voxel."""
    inside = disc(centre=(29, 33), radius=24)
    settings = {"patch_size": (16, 16), "affine_prob": 1.0, "scale": (1, 1), "label_mode": "nearest"}
    whole = {}
    for share in (0.5, 1.0):
        field = ErodeMaskd("field", share * 8 * 2**0.5)({"field": inside})["field"]
        patches = [cut(field, seed, inside, rotate_degrees=180.0, **settings)["label"] for seed in range(200)]
        whole[share] = sum(bool((patch == 1).all()) for patch in patches)
    assert whole[1.0] == 200 and whole[0.5] < 190


def test_draws_without_a_mask_are_what_they_were():
    """The key changes nothing where it is not set: earlier runs repeat."""
    image = torch.rand(1, 30, 30, generator=torch.Generator().manual_seed(0))
    label = (image > 0.5).to(torch.uint8)
    transform = RandAffinePatchd(["image", "label"], "label", (9, 9), affine_prob=0.0, foreground=0.0)
    starts = []
    for seed in range(4):
        found = transform.set_random_state(seed=seed)({"image": MetaTensor(image, torch.eye(3)), "label": label})
        starts.append(np.asarray(found["image"].affine)[:2, 2].astype(int).tolist())
    draws = [np.random.RandomState(seed) for seed in range(4)]
    expected = []
    for draw in draws:
        draw.random_sample()  # whether there is an affine map
        expected.append((np.rint(np.clip(draw.uniform(0, [29, 29]), 4, 25) - 4).astype(int)).tolist())
    assert starts == expected


def test_volumes_have_masks_too():
    inside = torch.zeros(1, 12, 13, 14, dtype=torch.uint8)
    inside[0, 4:7, 5:9, 6] = 1
    for seed in range(20):
        centre = centre_of(cut(inside, seed, patch_size=(5, 5, 5))["image"])
        assert is_inside(inside, centre)
