"""Distances between the surfaces of two masks, in millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

Mask = npt.NDArray[np.bool_]
Distances = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SurfaceDistances:
    """For every surface voxel of one mask, how far the other mask's surface is.

    Surface voxels are those that a 3-D cross erosion removes, voxels on the image's border included; these are
    MONAI's (``get_mask_edges``). Both arrays are empty when a mask is.
    """

    prediction_to_reference_mm: Distances
    reference_to_prediction_mm: Distances

    def hausdorff_mm(self, percentile: float = 100.0) -> float:
        """The larger of the two directed distances at `percentile` (95 gives HD95, as MONAI defines it)."""
        if not self._defined:
            return float("nan")
        directed = (self.prediction_to_reference_mm, self.reference_to_prediction_mm)
        return float(max(np.percentile(distances, percentile) for distances in directed))

    def assd_mm(self) -> float:
        """Average symmetric surface distance: the mean over both surfaces' voxels together."""
        if not self._defined:
            return float("nan")
        both = np.concatenate([self.prediction_to_reference_mm, self.reference_to_prediction_mm])
        return float(both.mean())

    @property
    def _defined(self) -> bool:
        return bool(len(self.prediction_to_reference_mm) and len(self.reference_to_prediction_mm))


def surface_distances(prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """Distances between the surfaces of two masks of shape (X, Y, Z) with `spacing_mm` between voxel centres."""
    points = [_surface(mask) * np.asarray(spacing_mm, dtype=np.float64) for mask in (prediction, reference)]
    if not len(points[0]) or not len(points[1]):
        return SurfaceDistances(np.empty(0), np.empty(0))
    return SurfaceDistances(cKDTree(points[1]).query(points[0])[0], cKDTree(points[0]).query(points[1])[0])


def _surface(mask: Mask) -> npt.NDArray[np.int64]:
    """(n, 3) indices of the voxels that touch the outside by a face."""
    box = ndimage.find_objects(mask.astype(np.uint8))
    if not box:
        return np.empty((0, mask.ndim), dtype=np.int64)
    inside = mask[box[0]]
    edges = inside & ~ndimage.binary_erosion(inside)
    return np.argwhere(edges) + [axis.start for axis in box[0]]
