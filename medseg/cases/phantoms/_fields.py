"""What the phantoms of pictures share: smooth random fields, and shapes painted on a fine grid.

Pixels are (X, Y), x to the right and y downwards; a position in pixels is (n, 2), and (0, 0) is the picture's corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy.interpolate import CubicSpline
from scipy.ndimage import binary_fill_holes, label

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]
Shape = tuple[int, int]
Range = tuple[float, float]

FINENESS = 4  # fine pixels along each side of a pixel
NODES_PER_LENGTH = 2  # of the coarse grid that a smooth field is drawn on


@dataclass(frozen=True)
class Pose:
    """Takes (n, 2) positions in an atlas to pixels.

    Attributes:
        middle: (2,) where the atlas' origin lies, in pixels.
        unit: pixels to the atlas' unit.
        angle_deg: by which it is turned, clockwise on the screen.
        stretch: of the atlas' axes, before it is turned; a negative one mirrors.
    """

    middle: Floats
    unit: float
    angle_deg: float = 0.0
    stretch: Range = (1.0, 1.0)

    def __call__(self, points: Sequence[Range] | Floats) -> Floats:
        """(n, 2) in the atlas to (n, 2) in pixels."""
        x, y = np.asarray(points, float).T * np.array(self.stretch)[:, None] * self.unit
        cos, sin = np.cos(np.deg2rad(self.angle_deg)), np.sin(np.deg2rad(self.angle_deg))
        return np.stack([cos * x - sin * y, sin * x + cos * y], 1) + self.middle


class Canvas:
    """A grey picture that is painted from the back to the front; edges are as smooth as `FINENESS` allows.

    Args:
        shape: (X, Y) in pixels.
        value: what it is painted with at first; values are from 0 to 1.
    """

    def __init__(self, shape: Shape, value: float = 0.0) -> None:
        self._picture = Image.new("L", (shape[0] * FINENESS, shape[1] * FINENESS), _shade(value))
        self._pen = ImageDraw.Draw(self._picture)

    def area(self, points: Floats, value: float = 1.0) -> None:
        """Fill the polygon with the corners `points`, in pixels."""
        self._pen.polygon(_fine(points), fill=_shade(value))

    def disc(self, centre: Floats, radius: float, value: float = 1.0) -> None:
        """Fill a circle; centre and radius in pixels."""
        corners = np.array([centre - radius, centre + radius])
        self._pen.ellipse([value for corner in _fine(corners) for value in corner], fill=_shade(value))

    def stroke(self, points: Floats, width: float | Floats, value: float = 1.0) -> None:
        """Draw a line through `points`, of one width in pixels or of one at each point, with round ends."""
        along = np.gradient(points, axis=0)
        across = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.hypot(*along.T), 1e-6)[:, None]
        half = np.broadcast_to(np.asarray(width) / 2, len(points))
        side = across * half[:, None]
        self.area(np.concatenate([points + side, (points - side)[::-1]]), value)
        for end in (0, -1):
            self.disc(points[end], float(half[end]), value)

    def pixels(self) -> Floats:
        """(X, Y) float32: the mean over each pixel."""
        return np.asarray(self._picture.reduce(FINENESS), np.float32).T / 255


def field(rng: np.random.Generator, shape: Shape, length_px: float) -> Floats:
    """A smooth random field of zero mean and unit deviation, whose features are about `length_px` wide; float32."""
    spacing = length_px / NODES_PER_LENGTH
    nodes = speckle(rng, [int(n / spacing) + 5 for n in shape], 1.0)
    columns = _spline(nodes, np.arange(shape[0]) / spacing + rng.random())
    smooth = _spline(columns.T, np.arange(shape[1]) / spacing + rng.random()).T
    return ((smooth - smooth.mean()) / smooth.std()).astype(np.float32)


def cloud(rng: np.random.Generator, shape: Shape, lengths_px: Sequence[float]) -> Floats:
    """A field of zero mean and unit deviation with features of several sizes, the larger the stronger; float32."""
    total = sum(field(rng, shape, length) * np.sqrt(length) for length in lengths_px)
    return np.asarray(total / np.std(total), np.float32)


def speckle(rng: np.random.Generator, shape: Sequence[int], deviation: float) -> Floats:
    """Noise that is independent in each pixel; float32."""
    return deviation * rng.standard_normal(shape, np.float32)


def within(rng: np.random.Generator, bounds: Range) -> float:
    """A number between the two."""
    return float(rng.uniform(*bounds))


def through(points: Sequence[Range] | Floats, n: int, closed: bool = False) -> Floats:
    """(n, 2) positions on a smooth curve through `points`; a closed one returns to the first."""
    corners = np.asarray(points, float)
    corners = np.concatenate([corners, corners[:1]]) if closed else corners
    place = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    curve = CubicSpline(place, corners, bc_type="periodic" if closed else "natural")
    return curve(np.linspace(0, place[-1], n, endpoint=not closed))


def pebble(rng: np.random.Generator, radius: float) -> Floats:
    """(40, 2) the outline of an irregular spot about the origin, of about that radius."""
    turns = np.linspace(0, 2 * np.pi, 9)[:-1]
    reach = radius * rng.uniform(0.65, 1.25, len(turns))
    return through(np.stack([reach * np.cos(turns), reach * np.sin(turns)], 1), 40, closed=True)


def centres(shape: Shape) -> tuple[Floats, Floats]:
    """x and y in pixels of the middle of every pixel, each (X, Y) float32."""
    x, y = np.indices(shape, np.float32) + 0.5
    return x, y


def one_piece(mask: Mask) -> Mask:
    """The largest connected part, without its holes."""
    parts, _ = label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return binary_fill_holes(parts == sizes.argmax())


def _spline(nodes: Floats, places: Floats) -> Floats:
    """Uniform cubic B-splines along the first axis: (k, …) coefficients to (m, …) values at `places` from 0."""
    first = places.astype(int)
    t = (places - first).astype(np.float32).reshape(-1, *[1] * (nodes.ndim - 1))
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    return np.sum([weight * nodes[first + k] for k, weight in enumerate(weights)], 0) / np.float32(6)


def _fine(points: Floats) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(points) * FINENESS - 0.5]


def _shade(value: float) -> int:
    return round(255 * value)
