from pathlib import Path

import numpy as np
import pytest

from medseg.errors import DataError
from medseg.volumes.affine import refuse_unusable


@pytest.mark.parametrize(
    "axes",
    [
        [[1, 0, 0], [0, 0, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 1e-9, 0], [0, 0, 1]],
        [[1, 1, 0], [0, 0, 0], [0, 0, 1]],
        [[1, 0, 0], [0, np.nan, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 1, 0], [0, 0, np.inf]],
    ],
)
def test_axes_that_span_no_volume_are_refused(axes):
    affine = np.eye(4)
    affine[:3, :3] = axes
    with pytest.raises(DataError, match=r"E209.*a\.nii"):
        refuse_unusable(Path("a.nii"), affine)


def test_a_position_that_is_no_number_is_refused():
    affine = np.eye(4)
    affine[0, 3] = np.nan
    with pytest.raises(DataError, match="E209"):
        refuse_unusable(Path("a.nii"), affine)


def test_small_mirrored_and_sheared_voxels_are_usable():
    for axes in (np.diag([-0.01, 0.01, 0.5]), [[0.6, -0.3, 0.1], [0.25, 0.8, -0.2], [-0.05, 0.2, 2.4]]):
        affine = np.eye(4)
        affine[:3, :3] = axes
        refuse_unusable(Path("a.nii"), affine)
