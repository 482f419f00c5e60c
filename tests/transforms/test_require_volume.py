"""Single slices are refused by name where a method wants volumes."""

import pytest
import torch
from monai.data import MetaTensor

from medseg.errors import DataError
from medseg.transforms import RequireVolumed


def test_volumes_pass_unchanged():
    image = torch.rand(1, 4, 5, 2)
    assert RequireVolumed("image")({"image": image})["image"] is image


@pytest.mark.parametrize("shape", [(1, 4, 5, 1), (1, 1, 4, 5)])
def test_a_slice_is_refused_with_its_file_and_size(shape):
    image = MetaTensor(torch.rand(shape), meta={"filename_or_obj": "slice_3.png"})
    with pytest.raises(DataError, match=r"E204.*slice_3.png.*found " + " x ".join(map(str, shape[1:]))):
        RequireVolumed("image")({"image": image})
