"""What the phantoms of volumes share: the points that a voxel's value is the mean of, poses, and voxel values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from medseg.cases.phantoms._waves import times
from medseg.geometry import Geometry

Floats = npt.NDArray[np.floating]
PerAxis = tuple[int, int, int]


def positions(geometry: Geometry, per_axis: PerAxis) -> Floats:
    """(3, m) float32 positions in mm of points spread evenly in the voxels, so many along each axis of a voxel."""
    axes = [(np.arange(n * k, dtype=np.float32) + 0.5) / k - 0.5 for n, k in zip(geometry.shape, per_axis, strict=True)]
    index = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    return times(geometry.affine[:3, :3], index) + geometry.affine[:3, 3:].astype(np.float32)


def pooled(values: npt.NDArray, geometry: Geometry, per_axis: PerAxis) -> Floats:
    """The mean in each voxel of values at its `positions`, in their order or on their grid."""
    pairs = [size for n, k in zip(geometry.shape, per_axis, strict=True) for size in (n, k)]
    return values.reshape(pairs).mean((1, 3, 5))


def rotation(rng: np.random.Generator, angle_deg: tuple[float, float]) -> Floats:
    """(3, 3) rotation about a random axis by an angle between the two."""
    axis = rng.normal(size=3)
    return Rotation.from_rotvec(axis / np.linalg.norm(axis) * rng.uniform(*angle_deg), degrees=True).as_matrix()
