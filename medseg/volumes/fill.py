"""From the order in which files hold voxels to the order in which networks take them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LINE = 16  # numbers that keep the rows of the buffer out of each other's way in the processor's cache


def fill(target: npt.NDArray, source: npt.NDArray) -> None:
    """``target[...] = source`` for a volume (X, Y, Z), some ten times as fast where their orders in memory differ.

    In a file, and in the array that `medseg.volumes.read_volume` gives, neighbours in x lie side by side; networks want
    neighbours in z so. numpy turns that around number by number, each far from the last; here each plane passes through
    a buffer that the processor's cache holds.
    """
    if not (source.flags.f_contiguous and target.flags.c_contiguous):
        target[...] = source
        return
    n = source.shape[0]
    rows = np.empty((source.shape[2], n + LINE), target.dtype)[:, :n]
    for y in range(source.shape[1]):
        rows[...] = source[:, y].T
        target[:, y] = rows.T
