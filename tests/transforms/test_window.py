import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medseg.errors import UsageError
from medseg.transforms import WindowIntensityd

PRIMAKOV = {"level_hu": -425, "width_hu": 1150, "bins": 46}  # [-1000, 150] HU in steps of 25


def windowed(values, **settings):
    image = torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1)
    return WindowIntensityd("image", **settings)({"image": image})["image"].flatten().tolist()


def test_the_window_goes_onto_zero_to_one_and_the_rest_is_clipped():
    found = windowed([-3024, -1350, -600, -225, 150, 3071], level_hu=-600, width_hu=1500)
    assert found == pytest.approx([0, 0, 0.5, 0.75, 1, 1])


def test_bins_are_those_of_primakov():
    """The authors' code fills closed intervals of 25 HU, one after the other, with 0, 1, …: a border goes up."""
    values = np.arange(-1100, 300)
    clipped, expected = values.clip(-1000, 150), np.zeros(len(values))
    for number, low in enumerate(range(-1000, 150, 25)):
        expected[(clipped >= low) & (clipped <= low + 25)] = number
    found = np.array(windowed(values.tolist(), **PRIMAKOV))
    assert np.allclose(found * 45, expected, atol=1e-5)
    assert len(np.unique(found)) == 46


def test_air_and_all_below_are_zero():
    assert windowed([-1000, -1024, -2000], **PRIMAKOV) == [0, 0, 0]


@pytest.mark.parametrize("bins", [3, 7, 60, 256])
def test_bins_are_equally_wide_and_equally_far_apart(bins):
    values = np.linspace(-100, 100, 60 * bins, endpoint=False) + 100 / (60 * bins)
    found = np.array(windowed(values.tolist(), level_hu=0, width_hu=200, bins=bins))
    assert np.allclose(found, np.repeat(np.linspace(0, 1, bins), 60), atol=1e-6)


def test_a_window_once_made_is_the_same_again():
    image = torch.randint(-1200, 400, (2, 6, 5, 4), generator=torch.Generator().manual_seed(0)).to(torch.int16)
    transform = WindowIntensityd("image", **PRIMAKOV)
    again = pickle.loads(pickle.dumps(transform))
    found = transform({"image": image})["image"]
    assert torch.equal(found, again({"image": image})["image"])
    assert found.dtype == torch.float32


def test_affine_and_meta_data_stay():
    affine = torch.diag(torch.tensor([0.7, 0.7, 5.0, 1.0], dtype=torch.float64))
    image = MetaTensor(torch.zeros(1, 3, 3, 2), affine, {"filename_or_obj": "ct.nii"}, [{"class": "Any"}])
    found = WindowIntensityd("image", **PRIMAKOV)({"image": image, "label": image})
    assert torch.equal(found["image"].affine, affine)
    assert found["image"].meta["filename_or_obj"] == "ct.nii"
    assert found["image"].applied_operations == [{"class": "Any"}]
    assert found["label"] is image


@pytest.mark.parametrize(
    "settings", [{"width_hu": 0}, {"width_hu": -400}, {"bins": 1}, {"bins": 2.5}, {"level_hu": float("nan")}]
)
def test_windows_that_make_no_sense_are_refused(settings):
    with pytest.raises(UsageError, match=f"E903.*{next(iter(settings))}"):
        WindowIntensityd("image", **(PRIMAKOV | settings))
