"""Added path length: how much of the reference's outline somebody would have to draw who corrects the prediction."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from medseg.geometry import Geometry
from medseg.metrics.foreground import foreground_box

Mask = npt.NDArray[np.bool_]
ROUNDING = 1e-6


def added_path_length(prediction: Mask, reference: Mask, geometry: Geometry, tolerance_mm: float = 0.0) -> float:
    """Added path length in mm (px in a picture), after Vaassen et al. 2020 (doi:10.1016/j.phro.2019.12.001).

    Slice by slice (axial ones, or a picture's pages; `Geometry.slice_axis`), the outline of a mask is its
    pixels that have one of their four neighbours outside it, or outside the image. Counted are the pixels of the
    reference's outline that have no pixel of the prediction's outline of the same slice within `tolerance_mm`, centre
    to centre; with 0, those that are not themselves on the predicted outline, which is Vaassen's count. Each counts as
    one side of a pixel, the mean of its two where they differ. Outlines that were predicted where the reference has
    none add nothing: deleting is not drawing. PlatiPy's ``compute_metric_total_apl`` is the same with a tolerance of 0,
    the image's border apart; otherwise it allows a box of pixels in place of a distance.

    NaN where the reference is empty; its whole outline where the prediction is.

    Args:
        prediction, reference: masks of shape `geometry.shape`.
        geometry: their grid.
        tolerance_mm: how far an outline may lie from the reference's and still be left as it is.

    Raises:
        ValueError: if a shape differs from the geometry's, or the tolerance is negative, infinite or NaN.
    """
    if not prediction.shape == reference.shape == geometry.shape:
        raise ValueError(f"shapes differ: {prediction.shape}, {reference.shape}, grid {geometry.shape}")
    if not 0 <= tolerance_mm < math.inf:
        raise ValueError(f"tolerance_mm is a distance from 0 upwards, found {tolerance_mm}")
    box = foreground_box(prediction.view(np.uint8), reference.view(np.uint8))
    if not reference[box].any():
        return math.nan
    axis = geometry.slice_axis
    in_plane = [spacing for other, spacing in enumerate(geometry.spacing_mm) if other != axis]
    drawn, predicted = (_outline(np.moveaxis(mask[box], axis, 0)) for mask in (reference, prediction))
    to_draw = np.argwhere(drawn & ~predicted)
    if tolerance_mm > 0 and len(to_draw):
        to_draw = to_draw[_is_far(to_draw, np.argwhere(predicted), in_plane, tolerance_mm)]
    return float(len(to_draw) * sum(in_plane) / 2)


def _outline(slices: Mask) -> Mask:
    """Of (n, A, B) slices, the pixels of the mask that have one of four neighbours outside."""
    inner = np.zeros_like(slices)
    inner[:, 1:-1, 1:-1] = slices[:, :-2, 1:-1] & slices[:, 2:, 1:-1] & slices[:, 1:-1, :-2] & slices[:, 1:-1, 2:]
    return slices & ~inner


def _is_far(
    pixels: npt.NDArray[np.int64], others: npt.NDArray[np.int64], in_plane: list[float], tolerance_mm: float
) -> Mask:
    """Which of (n, 3) pixels have none of `others` of their own slice within the tolerance."""
    if not len(others):
        return np.ones(len(pixels), dtype=bool)
    limit = tolerance_mm * (1 + ROUNDING)
    scale = np.array([2 * limit, *in_plane])  # neighbouring slices lie out of reach
    return np.isinf(cKDTree(others * scale).query(pixels * scale, distance_upper_bound=limit)[0])
