"""Affines that cannot be trusted, whatever the file they stand in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from medseg.errors import DataError, Fault

SMALLEST_MM = 1e-6  # no voxel is smaller
SINGULAR = 1e-6  # of the product of the axes' lengths: no usable affine has so small a determinant


def refuse_unusable(path: Path, affine: npt.NDArray[np.float64]) -> None:
    """Refuse a (4, 4) affine in millimetres that cannot be inverted.

    Raises:
        DataError: E209, a number that is none, an axis without length, or axes that lie in one plane.
    """
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    volume = abs(np.linalg.det(affine[:3, :3])) if np.all(np.isfinite(affine)) else 0.0
    if not (min(lengths) > SMALLEST_MM and volume > SINGULAR * np.prod(lengths)):
        fix = "correct the header"
        raise DataError(Fault("E209", "the affine cannot be inverted", fix, found=str(affine.tolist()), file=path))
