"""What reading gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt

from medseg.errors import Fault
from medseg.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Volume:
    """An array and where it lies.

    Attributes:
        array: (X, Y, Z), the `geometry.shape`, or (3, X, Y, Z) for a picture in colours.
        geometry: its grid.
        notes: what reading had to decide or to convert, as warnings (``W207``, ``W209``).
    """

    array: npt.NDArray
    geometry: Geometry
    notes: tuple[Fault, ...] = ()
