"""Where an array lies in the patient: one class that travels with every array."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SAME_GRID_VOXELS = 0.01
AXES = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True, eq=False)
class Geometry:
    """The grid of a volume.

    Attributes:
        affine: (4, 4) float64, voxel index to millimetres in RAS+ (NIfTI's and nibabel's convention).
        shape: voxels along each of the three axes.
        unit: ``mm``; ``px`` for a picture or an array without a header, whose pixels count as 1 below.
    """

    affine: npt.NDArray[np.float64]
    shape: tuple[int, int, int]
    unit: str = "mm"

    def __post_init__(self) -> None:
        object.__setattr__(self, "affine", np.array(self.affine, dtype=np.float64))
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if self.affine.shape != (4, 4) or len(self.shape) != 3:
            raise ValueError(f"expected a (4, 4) affine and three sizes, found {self.affine.shape} and {self.shape}")

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Millimetres between neighbouring voxels along each axis."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def orientation(self) -> str:
        """Three letters, the patient direction in which each axis increases, e.g. ``RAS`` or ``LPS``."""
        directions = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        best = max(
            itertools.permutations(range(3)),
            key=lambda order: sum(abs(directions[world, axis]) for axis, world in enumerate(order)),
        )
        return "".join(AXES[world][int(directions[world, axis] > 0)] for axis, world in enumerate(best))

    @property
    def slice_axis(self) -> int:
        """The axis along which slices follow one another: pages of a picture, the one slice, else the axial slices."""
        if self.unit == "px":
            return 2
        if self.shape.count(1) == 1:
            return self.shape.index(1)
        return next(axis for axis, letter in enumerate(self.orientation) if letter in "IS")

    def corners_mm(self) -> npt.NDArray[np.float64]:
        """(8, 3) positions of the centres of the corner voxels."""
        indices = np.array(list(itertools.product(*((0, n - 1) for n in self.shape))), dtype=np.float64)
        return indices @ self.affine[:3, :3].T + self.affine[:3, 3]

    def displacement_mm(self, other: Geometry) -> float:
        """How far apart two grids of the same shape lie: the largest displacement of their eight corners, in mm."""
        if self.shape != other.shape:
            raise ValueError(f"grids of different shapes have no displacement: {self.shape} and {other.shape}")
        return float(np.linalg.norm(self.corners_mm() - other.corners_mm(), axis=1).max())

    def is_same_grid(self, other: Geometry) -> bool:
        """Whether two grids differ by rounding only: one shape, and corners within 0.01 of the smallest spacing."""
        limit = SAME_GRID_VOXELS * min(self.spacing_mm)
        return self.shape == other.shape and self.displacement_mm(other) <= limit

    def diagonal_mm(self) -> float:
        """Length of the volume's diagonal, in mm: the distance that stands for a structure that was missed."""
        extent = np.array(self.shape) * np.array(self.spacing_mm)
        return float(np.linalg.norm(extent))

    def index_in(self, other: Geometry) -> npt.NDArray[np.float64]:
        """(4, 4) matrix from this grid's voxel indices to `other`'s."""
        return np.asarray(np.linalg.solve(other.affine, self.affine), dtype=np.float64)
