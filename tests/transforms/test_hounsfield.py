"""CT in other units is refused by name."""

import numpy as np
import pytest
import torch

from medseg.errors import DataError
from medseg.geometry import Geometry
from medseg.transforms import ReadImaged, RequireHounsfieldd
from medseg.volumes import Volume, write_volume

HU = np.random.default_rng(0).normal(0, 200, (6, 5, 4)).astype(np.float32)


@pytest.mark.parametrize("values", [HU, HU.clip(-160, 240), HU[..., :1]], ids=["whole", "clipped", "one slice"])
def test_hounsfield_units_pass_unchanged(values):
    image = torch.from_numpy(values[None])
    assert torch.equal(RequireHounsfieldd("image")({"image": image})["image"], image)


@pytest.mark.parametrize(
    "values",
    [(HU.clip(-160, 240) + 160) / 400, (HU.clip(-160, 240) + 160) * 255 / 400, HU / 200, HU + 1024, HU * 0],
    ids=["0 to 1", "0 to 255", "normalised", "without intercept", "empty"],
)
def test_other_units_are_refused_with_the_file_and_the_range(values, tmp_path):
    path = tmp_path / "liver_0.nii.gz"
    write_volume(path, Volume(values.astype(np.float32), Geometry(np.eye(4), values.shape)))
    read = ReadImaged("image")({"image": str(path)})
    with pytest.raises(
        DataError, match=rf"E405.*liver_0.*found {values.min():g} to {values.max():g}".replace("+", r"\+")
    ):
        RequireHounsfieldd("image")(read)
