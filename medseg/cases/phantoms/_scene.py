"""What the phantoms of volumes share: solids that are painted over one another on a grid of points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from medseg.cases.phantoms._grids import PerAxis, positions
from medseg.cases.phantoms._waves import Waves, times
from medseg.geometry import Geometry

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]
Triple = Sequence[float] | Floats  # x, y and z
Box = tuple[slice, slice, slice]

STEPS_PER_MM = 4  # of a tabulated profile


class Scene:
    """The tissue at each point of a grid, painted from the back to the front in the anatomy's own frame.

    Args:
        geometry: the volume's grid.
        per_axis: how many points a voxel has along each of its axes.
        pose: (3, 3) matrix from the anatomy to the patient, whose origins are one.
        deformation: what to add to (3, m) positions in the posed anatomy's frame; a vector is shorter than `slack_mm`.
        slack_mm: how far a solid may be moved by that.

    Attributes:
        at: (3, X, Y, Z) float32, where each point lies in the anatomy, in mm.
        tissue: (X, Y, Z) uint8, 0 at first.
    """

    def __init__(
        self, geometry: Geometry, per_axis: PerAxis, pose: Floats, deformation: Callable[[Floats], Floats],
        slack_mm: float,
    ) -> None:  # fmt: skip
        flat = times(np.linalg.inv(pose), positions(geometry, per_axis))
        shape = tuple(n * k for n, k in zip(geometry.shape, per_axis, strict=True))
        self.at = (flat + deformation(flat)).reshape(3, *shape)
        self.tissue = np.zeros(shape, np.uint8)
        self._per_axis = np.array(per_axis)
        self._to_index = np.linalg.inv(geometry.affine) @ np.block([[pose, np.zeros((3, 1))], [np.zeros((1, 3)), 1]])
        self._slack_mm = slack_mm

    def box(self, low: Triple, high: Triple) -> Box:
        """Slices of the part of the grid that holds all that may lie between two corners of the anatomy."""
        low, high = np.asarray(low), np.asarray(high)
        middle, reach = (low + high) / 2, (high - low) / 2 + self._slack_mm
        centre = (self._to_index[:3, :3] * middle).sum(1) + self._to_index[:3, 3]
        reach = (np.abs(self._to_index[:3, :3]) * reach).sum(1)
        index = (np.stack([centre - reach, centre + reach]) + 0.5) * self._per_axis
        first = np.clip(np.floor(index[0]), 0, self.tissue.shape).astype(int)
        last = np.clip(np.ceil(index[1]), 0, self.tissue.shape).astype(int)
        return tuple(slice(a, b) for a, b in zip(first, last, strict=True))  # type: ignore[return-value]

    def field(self, waves: Waves) -> Floats:
        """A smooth field of one channel, (X, Y, Z): the same value for all points of a voxel, since that is cheap."""
        k, m, n = self._per_axis
        at = self.at[:, k // 2 :: k, m // 2 :: m, n // 2 :: n]
        values = waves(at.reshape(3, -1)).reshape(at.shape[1:])
        return values.repeat(k, 0).repeat(m, 1).repeat(n, 2)

    def paint(self, value: int, inside: Mask, box: Box | None = None, over: Sequence[int] | None = None) -> None:
        """Give points a tissue: those of the whole grid, or of a part of it; where told, over some tissues alone."""
        target = self.tissue if box is None else self.tissue[box]
        target[inside if over is None else inside & among(target, over)] = value

    def ellipsoid(
        self, value: int, centre: Triple, half_axes: Triple, over: Sequence[int] | None = None,
        turn: Floats | None = None,
    ) -> None:  # fmt: skip
        """Paint an ellipsoid; `turn`, a (3, 3) rotation, tilts its axes."""
        reach = np.asarray(half_axes) if turn is None else np.full(3, np.max(half_axes))
        box = self.box(np.asarray(centre) - reach, np.asarray(centre) + reach)
        self.paint(value, ellipsoid(self.at[(slice(None), *box)], centre, half_axes, turn) < 1, box, over)

    def tube(
        self, value: int, path: Sequence[Triple] | Floats, radii: Sequence[float], over: Sequence[int] | None = None
    ) -> None:
        """Paint a tube along a polygonal path, with a radius at each corner and round ends."""
        corners = np.asarray(path, float)
        for a, b, r, s in zip(corners[:-1], corners[1:], radii[:-1], radii[1:], strict=True):
            widest = max(r, s)
            box = self.box(np.minimum(a, b) - widest, np.maximum(a, b) + widest)
            self.paint(value, _in_cone(self.at[(slice(None), *box)], a, b, r, s), box, over)


def among(tissue: npt.NDArray[np.uint8], wanted: Sequence[int]) -> Mask:
    """Where the tissue is one of those."""
    table = np.zeros(256, bool)
    table[list(wanted)] = True
    return table[tissue]


def ellipsoid(at: Floats, centre: Triple, half_axes: Triple, turn: Floats | None = None) -> Floats:
    """(3, …) positions to the distance from the centre as a fraction of the surface's: 1 on it, less inside."""
    moved = [row - np.float32(c) for row, c in zip(at, centre, strict=True)]
    if turn is not None:
        moved = [sum(np.float32(turn[k, axis]) * moved[k] for k in range(3)) for axis in range(3)]
    x, y, z = (row / np.float32(r) for row, r in zip(moved, half_axes, strict=True))
    return np.sqrt(x * x + y * y + z * z)


def profile(table: Sequence[Sequence[float]], heights: Floats) -> list[Floats]:
    """Smooth curves through a table, looked up at heights of any shape.

    Args:
        table: rows of a height, ascending, and the value of each curve there; beyond the ends the value is the end's.
        heights: in mm.
    """
    rows = np.asarray(table, float)
    first, last = rows[0, 0], rows[-1, 0]
    dense = PchipInterpolator(rows[:, 0], rows[:, 1:])(np.arange(first, last, 1 / STEPS_PER_MM))
    index = np.clip((heights - np.float32(first)) * STEPS_PER_MM, 0, len(dense) - 1).astype(np.int32)
    return [column.astype(np.float32)[index] for column in dense.T]


def _in_cone(at: Floats, a: Floats, b: Floats, r: float, s: float) -> Mask:
    along = b - a
    length = max(float(np.sum(along * along)), 1e-6)
    x, y, z = (row - np.float32(c) for row, c in zip(at, a, strict=True))
    dx, dy, dz = along.astype(np.float32)
    t = np.clip((x * dx + y * dy + z * dz) / np.float32(length), 0, 1)
    off = (x - t * dx) ** 2 + (y - t * dy) ** 2 + (z - t * dz) ** 2
    return off < (r + t * np.float32(s - r)) ** 2
