"""The surface voxels of all labels of a map at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medseg.metrics.layers import Codes

Places = npt.NDArray[np.intp]
AT_ONCE = 1 << 17  # voxels: what is compared stays in the processor's cache


@dataclass(frozen=True)
class Grid:
    """A box with margins, laid out along one line: a step from one voxel to another is one number.

    Attributes:
        inner: voxels of the box along each axis.
        margin: voxels on either side of each axis, 1 or more, that hold nothing.
        spacing_mm: along each axis.
    """

    inner: tuple[int, ...]
    margin: tuple[int, ...]
    spacing_mm: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis, margins included."""
        return tuple(n + 2 * margin for n, margin in zip(self.inner, self.margin, strict=True))

    @property
    def strides(self) -> tuple[int, ...]:
        """How far apart neighbours along each axis lie on the line."""
        return tuple(math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape)))

    def line(self, codes: Codes) -> Codes:
        """A map of the inner shape, laid out on the line."""
        line = np.zeros(math.prod(self.shape), np.uint8)
        inside = tuple(slice(margin, margin + n) for n, margin in zip(self.inner, self.margin, strict=True))
        line.reshape(self.shape)[inside] = codes
        return line

    def positions_mm(self, places: Places) -> npt.NDArray[np.float64]:
        """(n, axes) positions of places on the line."""
        return np.stack(np.unravel_index(places, self.shape), axis=1) * np.array(self.spacing_mm)


def edges(line: Codes, grid: Grid) -> Codes:
    """The code where a voxel has a face neighbour of another code, 0 elsewhere.

    These are MONAI's edges (``get_mask_edges``: a mask without its erosion by a cross), of every code at once. What
    lies beyond the box counts as background, so voxels on the image's border are edges.
    """
    found = np.zeros_like(line)
    reach = grid.strides[0]  # the first and the last layer of the margin have no neighbours and no codes
    for start in range(reach, line.size - reach, AT_ONCE):
        stop = min(start + AT_ONCE, line.size - reach)
        here = line[start:stop]
        differs = np.zeros(here.size, bool)
        for stride in grid.strides:
            differs |= here != line[start - stride : stop - stride]
            differs |= here != line[start + stride : stop + stride]
        np.multiply(here, differs, out=found[start:stop])
    return found
