"""Histograms of an image's intensities, slice by slice, and tables that are looked up by intensity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medseg.errors import DataError, Fault, UsageError
from medseg.settings import whole_number

MOST_VALUES = 1 << 16  # whole intensities that span more than 16 bits are binned like fractions
EXACT = 1 << 53  # above, floats skip whole numbers
AT_ONCE = 1 << 20  # voxels, so that an image's codes need little memory

Image = npt.NDArray
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bins:
    """Intensities as codes from 0 to `n` - 1.

    Attributes:
        low: the least intensity.
        n: how many codes there are.
        per_unit: codes for each unit of the intensity; None where each whole number has a code of its own.
    """

    low: float
    n: int
    per_unit: float | None = None

    def codes(self, values: Image) -> npt.NDArray[np.intp]:
        """The codes of intensities that are not below `low`; of the shape of `values`."""
        if self.per_unit is None:
            return np.subtract(values, int(self.low), dtype=np.intp, casting="unsafe")
        above = np.subtract(values, self.low, dtype=np.result_type(values.dtype, np.float32))
        above *= self.per_unit
        codes = above.astype(np.intp)
        return np.minimum(codes, self.n - 1, out=codes)

    def values(self) -> Floats:
        """(n,) what each code stands for: its whole number, or its bin's centre."""
        steps = np.arange(self.n, dtype=np.float64)
        if self.per_unit is None or self.n == 1:
            return self.low + steps
        return self.low + (steps + 0.5) / self.per_unit


def find_bins(slices: Image, inside: Mask | None, n_bins: int) -> Bins:
    """A code for each whole number from the least to the greatest intensity inside, or `n_bins` of equal width.

    The latter where intensities are no whole numbers, or span more than 65536.

    Raises:
        DataError: E401, intensities that are not finite.
        UsageError: E903, no number of bins.
    """
    whole_number("n_bins", n_bins)
    low, high, whole = math.inf, -math.inf, True
    for part in parts_of(slices, inside):
        if not part.size:
            continue
        least, greatest = part.min().item(), part.max().item()
        if not (math.isfinite(least) and math.isfinite(greatest)):
            raise DataError(Fault("E401", "NaN or infinity in the image", "replace them", "finite intensities"))
        low, high = min(low, least), max(high, greatest)
        whole = whole and (part.dtype.kind in "iub" or bool((part == np.rint(part)).all()))
    if low > high:  # nothing is inside
        return Bins(0, 1)
    if whole and high - low < MOST_VALUES and max(-low, high) < EXACT:
        return Bins(int(low), int(high - low) + 1)
    return Bins(float(low), n_bins, n_bins / (high - low)) if high > low else Bins(float(low), 1, 0.0)


def histograms(slices: Image, inside: Mask | None, n_bins: int) -> tuple[Whole, Floats]:
    """(S, B) how many voxels of each slice have each of the B intensities that any has, and (B,) those intensities.

    Args:
        slices: (S, ...) images.
        inside: the same shape, which voxels count; None for all.
        n_bins: for intensities that are no whole numbers; a bin's intensity is the mean of its voxels.
    """
    bins = find_bins(slices, inside, n_bins)
    counts, sums = np.zeros((len(slices), bins.n), np.int64), np.zeros(bins.n)
    for row, image in enumerate(slices):
        for part in parts_of(image, None if inside is None else inside[row]):
            codes = bins.codes(part)
            counts[row] += np.bincount(codes, minlength=bins.n)
            if bins.per_unit is not None:
                sums += np.bincount(codes, weights=part, minlength=bins.n)
    used = counts.any(axis=0)
    x = bins.values()[used] if bins.per_unit is None else sums[used] / counts.sum(axis=0)[used]
    return counts[:, used], x


def look_up(table: npt.NDArray, bins: Bins, image: Image, out: npt.NDArray) -> None:
    """`table` at the codes of `image`, written into `out` of its shape."""
    order = np.argsort([-abs(stride) for stride in image.strides], kind="stable")  # as memory runs
    for block in blocks(image):
        np.take(table, bins.codes(image[block].transpose(order)), out=out[block].transpose(order), mode="clip")


def parts_of(image: Image, inside: Mask | None) -> Iterator[Image]:
    """The intensities of what is inside, about `AT_ONCE` at a time, in any order."""
    for block in blocks(image):
        yield image[block].ravel(order="K") if inside is None else image[block][inside[block]]


def blocks(image: Image) -> Iterator[tuple[slice, ...]]:
    """Where the parts of an image lie, each of about `AT_ONCE` voxels that are neighbours in memory."""
    axis = int(np.argmax([abs(stride) for stride in image.strides]))
    length = image.shape[axis]
    rows = max(1, AT_ONCE * length // image.size)
    for start in range(0, length, rows):
        yield (*(slice(None),) * axis, slice(start, start + rows))


def slices_of(images: Image, axis: int | None) -> Image:
    """A view of `images` with its slices along the first axis; without an axis, all of it as one slice.

    Raises:
        DataError: E204, no voxels.
        UsageError: E903, no such axis.
    """
    if images.ndim == 0 or images.size == 0:
        fix = "give a picture or volume"
        raise DataError(Fault("E204", "an image without voxels", fix, "1 axis or more", str(images.shape)))
    if axis is not None and not -images.ndim <= axis < images.ndim:
        fix = "set axis to that of the slices, or None"
        raise UsageError(Fault("E903", "the image has no such axis", fix, f"0 to {images.ndim - 1}", repr(axis)))
    return images[None] if axis is None else np.moveaxis(images, axis, 0)


def mask_of(inside: Mask, images: Image, axis: int | None) -> Mask:
    """`slices_of` a mask; DataError E201 where its shape is not that of `images`."""
    if inside.shape != images.shape:
        fix = "give the mask on the image's grid"
        raise DataError(
            Fault("E201", "the mask has another shape than the image", fix, str(images.shape), str(inside.shape))
        )
    return slices_of(inside.astype(np.bool_, copy=False), axis)
