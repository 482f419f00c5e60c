import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import AdjustContrastd
from scipy.ndimage import gaussian_filter

from medseg.errors import UsageError
from medseg.transforms import Clahed


def fundus(shape=(256, 240), seed=0):
    """A bright disc with dark vessels, darker towards its edge, as 8-bit grey values."""
    draw = np.random.default_rng(seed)
    x, y = (grid - n / 2 for grid, n in zip(np.ogrid[: shape[0], : shape[1]], shape, strict=True))
    radius = np.hypot(x, y) / (min(shape) / 2)
    smooth = gaussian_filter(draw.normal(size=shape), 2)
    vessels = gaussian_filter((smooth > np.quantile(smooth, 0.9)).astype(float), 0.7)
    grey = 60 + 90 * np.exp(-((radius - 0.3) ** 2)) - 30 * vessels + draw.normal(0, 3, shape)
    return np.where(radius < 0.95, grey, 0).clip(0, 255).round()


def opencvs(picture, clip_limit, tiles):
    """OpenCV's CLAHE of 8-bit grey values, written down from its description."""
    shape = picture.shape
    extra = [0 if not any(n % tiles for n in shape) else tiles - n % tiles for n in shape]
    whole = np.pad(picture, [(0, n) for n in extra], mode="reflect").astype(int)
    sides = [n // tiles for n in whole.shape]
    limit = max(int(clip_limit * np.prod(sides) / 256), 1)
    maps = np.empty((tiles, tiles, 256))
    for i, j in np.ndindex(tiles, tiles):
        tile = whole[i * sides[0] : (i + 1) * sides[0], j * sides[1] : (j + 1) * sides[1]]
        counts = np.bincount(tile.ravel(), minlength=256)
        batch, rest = divmod(np.maximum(counts - limit, 0).sum(), 256)
        counts = np.minimum(counts, limit) + batch
        counts[np.arange(0, 256, max(256 // max(rest, 1), 1))[:rest]] += 1
        maps[i, j] = np.rint(counts.cumsum() * 255 / tile.size)
    places = [np.arange(n) / side - 0.5 for n, side in zip(shape, sides, strict=True)]
    total = np.zeros(shape)
    for up, right in np.ndindex(2, 2):
        (i, share_i), (j, share_j) = (
            ((np.floor(place) + step).astype(int).clip(0, tiles - 1), np.abs(1 - step - place + np.floor(place)))
            for place, step in zip(places, (up, right), strict=True)
        )
        total += np.outer(share_i, share_j) * maps[i[:, None], j[None], picture.astype(int)]
    return np.rint(total)


def equalised(picture, **settings):
    image = torch.tensor(np.asarray(picture, dtype=np.float32))[None]
    return Clahed("image", **settings)({"image": image})["image"][0].numpy()


@pytest.mark.parametrize("shape", [(288, 280), (292, 283)])
@pytest.mark.parametrize("clip_limit", [2.0, 4.0])
def test_it_is_close_to_opencvs(shape, clip_limit):
    picture = fundus(shape)
    expected = opencvs(picture * 255 / picture.max(), clip_limit, tiles=8) / 255
    found = equalised(picture, clip_limit=clip_limit)
    apart, untreated = (np.abs(other - expected).mean() for other in (found, picture / picture.max()))
    assert apart < 0.02
    assert apart < 0.7 * untreated
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.998


def test_one_tile_without_a_limit_equalises_the_histogram():
    picture = np.random.default_rng(0).gamma(3, size=(120, 110))
    below = np.searchsorted(np.sort(picture.ravel()), picture, side="right") / picture.size
    found = equalised(picture, clip_limit=1000, tiles=1)
    assert np.abs(found - below).max() < 0.03  # a bin of 1/256 of the range holds up to 0.025 of these pixels


def test_a_limit_of_one_leaves_the_picture_nearly_as_it_is():
    picture = fundus((512, 512))
    assert np.abs(equalised(picture, clip_limit=1) - picture / picture.max()).mean() < 0.01


@pytest.mark.parametrize("clip_limit", [1.5, 2.0, 3.0])
def test_faint_contrast_rises_by_the_limit(clip_limit):
    """Half of the picture is faint; the other gives the range. Away from the border the slope is the limit."""
    draw = np.random.default_rng(0)
    picture = np.where(np.arange(512)[:, None] < 256, draw.normal(0.3, 0.01, (512, 512)), draw.random((512, 512)))
    faint = np.s_[32:200, 32:-32]
    found = equalised(picture.clip(0, 1), clip_limit=clip_limit)
    assert found[faint].std() / picture[faint].std() == pytest.approx(clip_limit, rel=0.1)


def test_the_range_of_the_intensities_does_not_matter():
    picture = fundus()
    expected = equalised(picture)
    assert (expected.min(), expected.max()) == (0, 1)
    assert np.allclose(equalised(picture * 8 - 1024), expected, atol=1e-4)


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_every_channel_and_slice_is_a_picture_by_itself(depth):
    """Three or four slices are no colours, which scikit-image would take them for."""
    pictures = np.stack([[fundus((40, 30), seed=10 * c + z) for z in range(depth)] for c in range(2)])
    volume = torch.from_numpy(pictures).movedim(1, -1)
    found = Clahed("image")({"image": volume})["image"]
    assert (found.shape, found.dtype) == ((2, 40, 30, depth), torch.float32)
    for c, z in np.ndindex(2, depth):
        assert np.array_equal(found[c, ..., z].numpy(), equalised(pictures[c, z]))


@pytest.mark.parametrize("value", [-1000.0, 0.0, 0.7])
def test_a_picture_of_one_intensity_becomes_zero(value):
    assert not equalised(np.full((9, 9), value)).any()


def test_gamma_is_monais_afterwards():
    """MONAI's gamma works on the image's own range; that is [0, 1] here, so the report's x^(1/1.2) comes out."""
    image = {"image": torch.from_numpy(fundus())[None]}
    plain = Clahed("image")(image)
    found = AdjustContrastd("image", gamma=1 / 1.2)(plain)["image"]
    assert np.allclose(found, plain["image"].numpy() ** (1 / 1.2), atol=1e-6)


def test_affine_meta_data_and_other_keys_stay():
    affine = torch.diag(torch.tensor([0.9, 0.9, 1.5, 1.0], dtype=torch.float64))
    image = MetaTensor(torch.rand(1, 20, 20, 2), affine, {"filename_or_obj": "a.png"}, [{"class": "Any"}])
    transform = pickle.loads(pickle.dumps(Clahed("image")))
    found = transform({"image": image, "label": image})
    assert torch.equal(found["image"].affine, affine)
    assert found["image"].meta["filename_or_obj"] == "a.png"
    assert found["image"].applied_operations == [{"class": "Any"}]
    assert found["label"] is image


@pytest.mark.parametrize("settings", [{"clip_limit": 0}, {"clip_limit": -2.0}, {"tiles": 0}, {"tiles": 2.5}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(UsageError, match=f"E903.*{next(iter(settings))}"):
        Clahed("image", **settings)
