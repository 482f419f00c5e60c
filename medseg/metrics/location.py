"""Where in the image a structure lies, in words: a column to group scores by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medseg.geometry import Geometry

Mask = npt.NDArray[np.bool_]
THIRDS = ("lower", "middle", "upper")
SIDES = ("right", "left")


def location(mask: Mask, geometry: Geometry) -> str:
    """``upper left``: the third of the image from inferior to superior, and the patient's side, of the centroid.

    Thirds and halves are those of the image, along the axes that lie nearest to superior-inferior and left-right; a
    centroid right on a border counts as lower, or as right. An axis of length 1 says nothing and its word is left out.
    In a picture, which has no patient directions, upper and left are as on the screen. Empty where the mask is.

    Args:
        mask: shape `geometry.shape`.
        geometry: its grid.

    Raises:
        ValueError: if the shape differs from the geometry's.
    """
    if mask.shape != geometry.shape:
        raise ValueError(f"shapes differ: {mask.shape}, grid {geometry.shape}")
    if not mask.any():
        return ""
    letters = "RIP" if geometry.unit == "px" else geometry.orientation  # a picture's x runs right and its y down
    words = []
    for positive, negative, names in (("S", "I", THIRDS), ("L", "R", SIDES)):
        axis = next(axis for axis, letter in enumerate(letters) if letter in (positive, negative))
        if mask.shape[axis] > 1:
            along = _centre(mask, axis)
            share = along if letters[axis] == positive else 1.0 - along
            words.append(names[min(int(np.ceil(share * len(names))) - 1, len(names) - 1)])
    return " ".join(words)


def _centre(mask: Mask, axis: int) -> float:
    """The centroid along an axis, from 0 to 1 between the image's two faces."""
    counts = np.count_nonzero(mask, axis=tuple(other for other in range(mask.ndim) if other != axis))
    n = mask.shape[axis]
    return float(np.sum(counts * (np.arange(n) + 0.5)) / counts.sum() / n)
