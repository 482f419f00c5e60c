"""What reading gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt

from medseg.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Volume:
    """An array of shape `geometry.shape` and where it lies."""

    array: npt.NDArray
    geometry: Geometry
