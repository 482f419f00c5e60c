"""Holes in the structures of a label map."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Labels = npt.NDArray[np.integer]


def fill_holes(label_map: Labels, applied_labels: Collection[int] | None = None) -> Labels:
    """A copy of `label_map` in which background that a label encloses has that label.

    Background is enclosed if no path from voxel to neighbour, across their faces, leads to the border of the array
    without a voxel of the label; axes of one voxel are no axes, so that a picture's one page is filled like a picture.
    Other labels within stay what they are. A hole that several labels enclose, one within the other, goes to the
    innermost; one that only two labels side by side enclose, as the chambers of a heart may do, stays open.

    ``scipy.ndimage.binary_fill_holes`` is the same for a mask. MONAI's ``FillHoles`` gives all that a label encloses
    to that label, a tumour within a liver too, and finds every hole in a volume of one slice open.

    Args:
        label_map: (X, Y) or (X, Y, Z) whole numbers, 0 for the background.
        applied_labels: whose holes; None for all labels'.
    """
    filled = label_map.copy()
    flat = filled.reshape([n for n in label_map.shape if n > 1] or [1])
    boxes = ndimage.find_objects(flat)
    chosen = range(1, len(boxes) + 1) if applied_labels is None else applied_labels
    found = [
        (size, label, voxels)
        for label, box in enumerate(boxes, start=1)
        if box is not None and label in chosen
        for size, voxels in _holes(flat[box], label, [side.start for side in box])
    ]
    for _, label, voxels in sorted(found, key=lambda hole: -hole[0]):  # the innermost comes last
        flat[voxels] = label
    return filled


def _holes(part: Labels, label: int, start: list[int]) -> list[tuple[int, tuple[npt.NDArray[np.intp], ...]]]:
    """The regions that `label` encloses within its bounding box: how large, and where their background lies."""
    regions, n = ndimage.label(part != label)
    sizes = np.bincount(regions.ravel(), minlength=n + 1)
    sizes[0] = 0
    for axis in range(part.ndim):
        for end in (0, -1):  # beyond a face of its box the label has no voxel
            sizes[np.take(regions, end, axis)] = 0
    holes = []
    for region, box in enumerate(ndimage.find_objects(regions), start=1):
        if sizes[region]:
            inside = np.nonzero((regions[box] == region) & (part[box] == 0))
            corner = (first + side.start for first, side in zip(start, box, strict=True))
            holes.append((int(sizes[region]), tuple(line + first for line, first in zip(inside, corner, strict=True))))
    return holes
