"""A volume in slabs, so that what is computed of it takes the memory of one slab beside its result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

SLAB_VOXELS = 1 << 22  # 100 MB of coordinates in float64


def slabs(shape: Sequence[int], voxels: int = SLAB_VOXELS) -> Iterator[slice]:
    """Slices of the first axis of `shape` (X, …), in order, of at most `voxels` voxels each and of one plane at least.

    Planes of the first axis lie together in a tensor's memory.
    """
    thickness = max(1, voxels // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], thickness):
        yield slice(start, min(start + thickness, shape[0]))
