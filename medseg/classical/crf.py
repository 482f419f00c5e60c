"""A conditional random field that moves the borders of a segmentation to the edges of its image."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medseg.errors import DataError, Fault, UsageError
from medseg.settings import number, whole_number

LEAST = 1e-5  # a probability below counts as this one: no network is surer, and what is impossible could never change
ROUNDING = 1e-2  # by which probabilities of half precision may miss a sum of 1
AT_ONCE = 1 << 15  # voxels: what is worked on at a time stays within a core's cache

Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Parameters:
    """The kernels of `refine`, by the names of the paper.

    The defaults are usual ones for colours of 0 to 255, for intensities from 0 to 1. Lengths are in mm, or in pixels of
    a grid without millimetres.

    Attributes:
        w1: weight of the appearance kernel; 0 leaves it out.
        theta_alpha: its length: how far apart voxels of one intensity pull at each other.
        theta_beta: its difference of intensities (Euclidean, over the channels), in the image's own unit.
        w2: weight of the smoothness kernel; 0 leaves it out.
        theta_gamma: its length.
        iterations: updates of the mean field.
        radius: voxels along the finest axis that the window reaches to each side; along a coarser axis it has those
            voxels that are no farther away, which in thick slices may be none.

    Raises:
        UsageError: E903, a weight below 0, a theta that is not above 0, or counts that are no whole numbers.
    """

    w1: float = 10.0
    theta_alpha: float = 80.0
    theta_beta: float = 13 / 255
    w2: float = 3.0
    theta_gamma: float = 3.0
    iterations: int = 5
    radius: int = 5

    def __post_init__(self) -> None:
        for name in ("theta_alpha", "theta_beta", "theta_gamma"):
            number(name, getattr(self, name), 0, float("inf"))
        for name in ("w1", "w2"):
            _weight(name, getattr(self, name))
        whole_number("iterations", self.iterations)
        whole_number("radius", self.radius)


def refine(
    probabilities: npt.ArrayLike,
    image: npt.ArrayLike,
    spacing_mm: Sequence[float] | None = None,
    parameters: Parameters | None = None,
) -> Array:
    """The mean field of a conditional random field with `probabilities` as its unary term.

    P. Krähenbühl and V. Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials", NIPS 24
    (2011), https://doi.org/10.48550/arXiv.1210.5644. One update of the marginals Q of voxel i and label l is, with the
    unary term -log p and Potts compatibility (equation 4 and algorithm 1)::

        Q_i(l) ~ p_i(l) exp(w1 sum_j k1(i, j) Q_j(l) + w2 sum_j k2(i, j) Q_j(l)),   j other than i, in its window
        k1 = exp(-|position|² / 2 theta_alpha² - |intensity|² / 2 theta_beta²)
        k2 = exp(-|position|² / 2 theta_gamma²)

    of the differences between i and j. The sums go over a window, not over the whole image. As in the authors' code,
    though not in the paper, each kernel is normalised symmetrically: k(i, j) / sqrt(n_i n_j), with n the sum of the
    kernel over the window, its centre included. A message then comes to about the share of a voxel's like neighbours
    that have the label, and the weights say by how much it moves the log-odds, whatever the window's size; without this
    the window of 121 pixels would give the default weights a hundredfold force and the network no say. Because the
    centre counts in n, a voxel that is like none of its neighbours hears little of them.

    Args:
        probabilities: (C, X, Y) or (C, X, Y, Z), 0 to 1, with a sum of 1 over two or more labels.
        image: (C', X, Y[, Z]) intensities of any number of channels, in the unit of `theta_beta`.
        spacing_mm: of the axes; None counts in pixels.
        parameters: the kernels; None for the defaults.

    Returns:
        Probabilities of the same shape, of float32, or float64 where `probabilities` are.

    Raises:
        DataError: E204, no picture or volume; E201, an image of another shape; E404, no probabilities; E401, an image
            that is not finite.
        UsageError: E903, a spacing that is not one length above 0 for each axis.
    """
    chosen = Parameters() if parameters is None else parameters
    given = np.asarray(probabilities)
    dtype = np.result_type(given.dtype, np.float32)
    features = np.asarray(image, dtype)
    _refuse_probabilities(given)
    _refuse_image(features, given.shape)
    spacing = _spacing(spacing_mm, given.ndim - 1)
    reach = window_reach(given.shape[1:], spacing, chosen.radius)
    kernels: list[tuple[float, _Appearance | _Smoothness]] = []
    if chosen.w1:
        kernels.append((chosen.w1, _Appearance(features, spacing, reach, chosen)))
    if chosen.w2:
        kernels.append((chosen.w2, _Smoothness(given.shape[1:], spacing, reach, chosen.theta_gamma, dtype)))
    unary = np.log(np.maximum(given, LEAST, dtype=dtype))
    marginals = _softmax(unary.copy())
    for _ in range(chosen.iterations):
        logits = unary.copy()
        for weight, kernel in kernels:
            logits += weight * kernel.message(marginals)
        marginals = _softmax(logits)
    return marginals


def window_reach(shape: Sequence[int], spacing: Sequence[float], radius: int) -> tuple[int, ...]:
    """Voxels to each side in the window: `radius` along the finest axis, no farther along the others."""
    wide = [length for length, n in zip(spacing, shape, strict=True) if n > 1]
    finest = min(wide, default=1.0)
    return tuple(min(int(radius * finest / length + 1e-6), n - 1) for length, n in zip(spacing, shape, strict=True))


class _Appearance:
    """The kernel of positions and intensities, evaluated offset by offset: it takes no more memory than the image.

    The arrays are laid out in one row, with zeros behind each row and slice as wide as the window reaches: an offset in
    space is then one shift, and what it finds beyond the border is a zero. Each pair of voxels is looked at once.
    """

    def __init__(self, image: Array, spacing: Sequence[float], reach: tuple[int, ...], chosen: Parameters) -> None:
        first, *others = image.shape[1:]
        self.inside = (slice(None), *(slice(n) for n in (first, *others)))
        self.shape = (first, *(n + r for n, r in zip(others, reach[1:], strict=True)))
        strides = [int(np.prod(self.shape[axis + 1 :])) for axis in range(len(self.shape))]
        self.offsets = []  # (shift, exponent of the distance)
        for offset in itertools.product(*(range(-r, r + 1) for r in reach)):
            if offset > (0,) * len(offset):
                away = sum((step * length) ** 2 for step, length in zip(offset, spacing, strict=True))
                shift = sum(step * stride for step, stride in zip(offset, strides, strict=True))
                self.offsets.append((shift, away / (2 * chosen.theta_alpha**2)))
        self.features = self._in_a_row(image / np.asarray(np.sqrt(2) * chosen.theta_beta, image.dtype))
        here = self._in_a_row(np.ones((1, *image.shape[1:]), image.dtype))
        self.share = here / np.sqrt(1 + self._sums(here))

    def message(self, marginals: Array) -> Array:
        """(C, X, Y[, Z]) the normalised kernel times `marginals`, over the window without its centre."""
        sums = self._sums(self._in_a_row(marginals) * self.share) * self.share
        return sums.reshape(-1, *self.shape)[self.inside]

    def _in_a_row(self, array: Array) -> Array:
        row = np.zeros((len(array), *self.shape), array.dtype)
        row[self.inside] = array
        return row.reshape(len(array), -1)

    def _sums(self, values: Array) -> Array:
        """The kernel times `values` (C, voxels), over the window without its centre."""
        total = np.zeros_like(values)
        products, differences = (np.empty((len(rows), AT_ONCE), values.dtype) for rows in (values, self.features))
        voxels = values.shape[1]
        for start in range(0, voxels, AT_ONCE):
            for shift, exponent in self.offsets:
                stop = min(start + AT_ONCE, voxels - shift)
                if stop <= start:
                    continue
                here, there = slice(start, stop), slice(start + shift, stop + shift)
                kernel = self._kernel(here, there, exponent, differences[:, : stop - start])
                product = products[:, : stop - start]
                total[:, here] += np.multiply(values[:, there], kernel, out=product)
                total[:, there] += np.multiply(values[:, here], kernel, out=product)
        return total

    def _kernel(self, here: slice, there: slice, exponent: float, room: Array) -> Array:
        np.subtract(self.features[:, here], self.features[:, there], out=room)
        np.multiply(room, room, out=room)
        kernel = room[0]
        for channel in room[1:]:
            kernel += channel
        np.subtract(-exponent, kernel, out=kernel)
        return np.exp(kernel, out=kernel)


class _Smoothness:
    """The kernel of positions alone, one axis after the other."""

    def __init__(
        self, shape: Sequence[int], spacing: Sequence[float], reach: Sequence[int], theta: float, dtype: Any
    ) -> None:
        steps = [np.arange(-r, r + 1) * length for r, length in zip(reach, spacing, strict=True)]
        self.rows = [np.exp(-((step / theta) ** 2) / 2) for step in steps]
        self.share = 1 / np.sqrt(self._sums(np.ones((1, *shape), dtype)))

    def message(self, marginals: Array) -> Array:
        """(C, X, Y[, Z]) the normalised kernel times `marginals`, over the window without its centre."""
        values = marginals * self.share
        return (self._sums(values) - values) * self.share

    def _sums(self, values: Array) -> Array:
        for axis, row in enumerate(self.rows, start=1):
            values = ndimage.correlate1d(values, row, axis, mode="constant")
        return values


def _softmax(logits: Array) -> Array:
    """Over the first axis, in place."""
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=0)
    return logits


def _weight(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        what, fix = f"the setting {name} has no such value", f"set {name} to 0 or more"
        raise UsageError(Fault("E903", what, fix, "a number, 0 or more", repr(value)))


def _spacing(spacing_mm: Sequence[float] | None, axes: int) -> list[float]:
    if spacing_mm is None:
        return [1.0] * axes
    spacing = [float(length) for length in spacing_mm]
    if len(spacing) != axes or not all(0 < length < float("inf") for length in spacing):
        what, fix = "the setting spacing_mm has no such value", "give the spacing of the image's axes, or None"
        raise UsageError(Fault("E903", what, fix, f"{axes} lengths above 0", str(spacing)))
    return spacing


def _refuse_probabilities(given: npt.NDArray) -> None:
    if given.ndim not in (3, 4) or given.size == 0:
        fix = "give one picture (C, X, Y) or volume (C, X, Y, Z)"
        raise DataError(Fault("E204", "not one picture or volume", fix, "3 or 4 axes", str(given.shape)))
    fix = "give the softmax of the network's scores, the background's too"
    if len(given) < 2:
        raise DataError(Fault("E404", "not the labels' probabilities", fix, "2 labels or more", f"{len(given)}"))
    sums = given.sum(axis=0, dtype=np.float64)
    off = np.abs(sums - 1).max()
    if not (given.min() >= 0 and off < ROUNDING):  # NaN is refused too
        found = f"values from {given.min():g} to {given.max():g}, sums from {sums.min():g} to {sums.max():g}"
        raise DataError(Fault("E404", "not the labels' probabilities", fix, "0 to 1, with a sum of 1", found))


def _refuse_image(image: Array, shape: tuple[int, ...]) -> None:
    if image.ndim != len(shape) or image.shape[1:] != shape[1:] or len(image) == 0:
        fix = "give the image on the grid of the probabilities, channels first"
        expected, found = f"(channels, {', '.join(str(n) for n in shape[1:])})", str(image.shape)
        raise DataError(Fault("E201", "the image has another shape than the probabilities", fix, expected, found))
    if not np.all(np.isfinite(image)):
        raise DataError(Fault("E401", "NaN or infinity in the image", "replace them", "finite intensities"))
