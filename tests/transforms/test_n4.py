import pickle

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from medseg.errors import DataError, UsageError
from medseg.transforms import CorrectBiasN4d

SHAPE = (48, 40, 24)
GRID = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
RADIUS = np.linalg.norm(GRID, axis=0)
OUTER, INNER = (RADIUS < 0.9) & (RADIUS > 0.55), RADIUS < 0.45
NOISE = np.random.default_rng(0).normal(1, 0.01, SHAPE)
TISSUES = np.where(RADIUS < 0.5, 200.0, np.where(RADIUS < 0.95, 100.0, 0.0)) * NOISE
FIELD = np.exp(0.35 * GRID[0] - 0.2 * GRID[1] * GRID[2] + 0.15 * GRID[1] ** 2)
AFFINE = torch.diag(torch.tensor([0.9, 0.9, 1.5, 1.0], dtype=torch.float64))


def tensor(array):
    return torch.tensor(np.asarray(array, dtype=np.float32))[None]


def corrected(array, **settings):
    return CorrectBiasN4d("image", **settings)({"image": MetaTensor(tensor(array), AFFINE)})["image"][0].numpy()


def spread(array, tissue):
    return array[tissue].std() / array[tissue].mean()


def test_a_known_field_is_taken_out():
    shaded = TISSUES * FIELD
    found = corrected(shaded)
    for tissue in (OUTER, INNER):
        assert spread(found, tissue) < spread(shaded, tissue) / 2
    inside = RADIUS < 0.9
    estimate = np.log(shaded[inside] / found[inside])
    assert np.corrcoef(estimate, np.log(FIELD[inside]))[0, 1] > 0.99
    assert found[INNER].mean() / found[OUTER].mean() == pytest.approx(2, rel=0.05)


def test_a_picture_in_a_volume_of_one_slice_is_corrected_as_in_the_plane():
    shaded = (TISSUES * FIELD)[:, :, 12]
    volume = CorrectBiasN4d("image")({"image": tensor(shaded[..., None])})["image"]
    plane = CorrectBiasN4d("image")({"image": tensor(shaded)})["image"]
    assert volume.shape == (1, 48, 40, 1)
    assert torch.equal(volume[..., 0], plane)
    tissue = OUTER[:, :, 12]
    assert spread(plane[0].numpy(), tissue) < spread(shaded, tissue) / 2


def test_the_image_keeps_its_brightness():
    shaded, mask = 5 * TISSUES * FIELD, RADIUS < 0.9
    item = {"image": tensor(shaded), "tissue": tensor(mask)}
    found = CorrectBiasN4d("image", mask_key="tissue", shrink=1, iterations=(10,))(item)["image"][0].numpy()
    assert np.log(found[mask] / shaded[mask]).mean() == pytest.approx(0, abs=1e-4)


def test_only_the_masks_voxels_are_looked_at():
    shaded, mask = TISSUES * FIELD, RADIUS < 0.9
    spoilt = np.where(mask, shaded, 1000 * np.abs(GRID[0]))
    results = []
    for array in (shaded, spoilt):
        item = {"image": MetaTensor(tensor(array), AFFINE), "tissue": tensor(mask)}
        results.append(CorrectBiasN4d("image", mask_key="tissue")(item)["image"][0].numpy()[mask])
    assert np.array_equal(*results)
    assert not np.allclose(corrected(spoilt)[mask], results[0], rtol=0.05)


@pytest.mark.parametrize("array", [np.full(SHAPE, 7.0), np.zeros(SHAPE), 90.0 * INNER], ids=["one", "none", "two"])
@pytest.mark.parametrize("mask_key", [None, "tissue"])
def test_an_image_of_one_positive_intensity_stays_as_it_is(array, mask_key):
    found = CorrectBiasN4d("image", mask_key)({"image": tensor(array), "tissue": tensor(RADIUS < 0.9)})
    assert torch.equal(found["image"], tensor(array))


def test_voxels_at_zero_or_a_little_below_are_left_out_of_the_estimate():
    shaded, tissue = TISSUES * FIELD, RADIUS < 0.95
    results = []
    for outside in (0.0, -3.0, -0.001):
        item = {"image": tensor(np.where(tissue, shaded, outside)), "everywhere": tensor(np.ones(SHAPE))}
        found = CorrectBiasN4d("image", mask_key="everywhere")(item)["image"][0].numpy()
        assert (np.sign(found[~tissue]) == np.sign(outside)).all()
        results.append(found[tissue])
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_normalised_intensities_are_refused():
    image = MetaTensor(tensor(TISSUES - 100), meta={"filename_or_obj": "mr.nii.gz"})
    with pytest.raises(DataError, match=r"E402.*mr\.nii\.gz: image has negative intensities.*-100 to"):
        CorrectBiasN4d("image")({"image": image})


@pytest.mark.parametrize(
    ("mask", "message"),
    [(np.zeros(SHAPE), r"E302.*tissue marks nothing above 0"), (np.ones((48, 40, 23)), r"E201.*\(48, 40, 23\)")],
)
def test_masks_that_fit_no_image_are_refused(mask, message):
    with pytest.raises(DataError, match=message):
        CorrectBiasN4d("image", mask_key="tissue")({"image": tensor(TISSUES), "tissue": tensor(mask)})


def test_the_same_bits_however_many_threads():
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    results = []
    for threads in (1, 3, 8):
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        results.append(corrected(TISSUES * FIELD, iterations=(5, 5)))
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_each_channel_has_a_field_of_its_own():
    shaded = [TISSUES * FIELD, TISSUES / FIELD]
    item = {"image": torch.cat([tensor(array) for array in shaded])}
    found = CorrectBiasN4d("image", iterations=(5, 5))(item)["image"].numpy()
    for channel, array in zip(found, shaded, strict=True):
        alone = CorrectBiasN4d("image", iterations=(5, 5))({"image": tensor(array)})["image"][0].numpy()
        assert np.array_equal(channel, alone)


def test_affine_meta_data_and_other_keys_stay():
    image = MetaTensor(tensor(TISSUES).short(), AFFINE, {"filename_or_obj": "mr.nii.gz"}, [{"class": "Any"}])
    transform = pickle.loads(pickle.dumps(CorrectBiasN4d("image", iterations=(2,))))
    found = transform({"image": image, "label": image})
    assert torch.equal(found["image"].affine, AFFINE)
    assert found["image"].meta["filename_or_obj"] == "mr.nii.gz"
    assert found["image"].applied_operations == [{"class": "Any"}]
    assert (found["image"].shape, found["image"].dtype) == (image.shape, torch.float32)
    assert found["label"] is image


@pytest.mark.parametrize("settings", [{"shrink": 0}, {"shrink": 1.5}, {"iterations": (50, 0)}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(UsageError, match=f"E903.*{next(iter(settings))}"):
        CorrectBiasN4d("image", **settings)
