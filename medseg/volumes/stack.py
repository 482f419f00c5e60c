"""A case as pages show it: a small stack of 8-bit slices with its label maps.

Large volumes are reduced by whole factors, first within slices, then in their number: intensities are averaged over a
block, and a label map takes the value that fills most of it. What such a majority would lose stays: every connected
component of a label keeps at least one voxel, so that a small structure does not vanish from a page.
"""

from __future__ import annotations

import itertools
import json
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg import files
from medseg.errors import DataError, Fault
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.volumes.overlay import upright
from medseg.volumes.stack_codes import CODES, choose_levels, encode
from medseg.volumes.volume import Volume

LONGEST_ALONE = 1024  # voxels along a side of a slice that is alone
FEWEST_SLICES = 16  # before slices are reduced below their longest side
COARSER = 1.5
LARGEST = 1e30  # an intensity; sums of larger ones are more than 32 bits hold

# what damaged bytes make of zipfile's, zlib's, NumPy's and json's reading; NumPy parses headers before they are checked
DAMAGED = (OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, SyntaxError, RuntimeError,
           MemoryError, ArithmeticError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error)  # fmt: skip

LabelMap = npt.NDArray[np.integer]
Factors = tuple[int, int, int]


@dataclass(frozen=True)
class Detail:
    """How much of a volume is kept: its most voxels, and the most along a side of a slice."""

    voxels: int
    longest: int


COARSE = Detail(1 << 22, 256)  # 4 MB a case before they are compressed: of many cases a page shows no more
FINE = Detail(1 << 24, 512)  # of a few cases; no more slices fit into one picture of a page


@dataclass(frozen=True, eq=False)
class Stack:
    """A case as pages show it.

    Attributes:
        image: uint8 (X, Y, Z), or (X, Y, Z, 3) in colours. Axes run to the right, anterior and superior; those of a
            picture are its own (x to the right, y downwards, pages).
        levels: float32 (256,), ascending: the intensity that each code of `image` stands for; None for colours.
        masks: ``reference``, ``prediction``, … to uint8 (X, Y, Z), values as in `labels`.
        labels: names, values and (by their order) colours.
        spacing_mm: millimetres between neighbouring voxels of `image` (pixels where `unit` says so).
        origin_mm: position of the first voxel to the right, anterior and superior of the scanner's origin; None where
            slices are oblique, so that their number does not tell where they are.
        unit: ``mm`` or ``px``.
        shape: (X, Y, Z) of the image before it was reduced.
        modality: as the data set says it; empty where it does not.
    """

    image: npt.NDArray[np.uint8]
    levels: npt.NDArray[np.float32] | None
    masks: dict[str, npt.NDArray[np.uint8]]
    labels: Labels
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float] | None = (0.0, 0.0, 0.0)
    unit: str = "mm"
    shape: tuple[int, int, int] = (0, 0, 0)
    modality: str = ""

    @property
    def size(self) -> tuple[int, int, int]:
        """(X, Y, Z) of the image as it is now."""
        return _three(self.image.shape[:3])

    def intensities(self) -> npt.NDArray[np.float32]:
        """The image in its own unit: float32 (X, Y, Z), or its colours from 0 to 255 (X, Y, Z, 3)."""
        return self.image.astype(np.float32) if self.levels is None else self.levels[self.image]


def make_stack(
    image: Volume,
    masks: Mapping[str, LabelMap | None],
    labels: Labels,
    detail: Detail = COARSE,
    modality: str = "",
) -> Stack:
    """Turn, reduce and code a case.

    256 codes stand for the intensities, from the lowest to the highest (`medseg.volumes.stack_codes.choose_levels`).
    Voxels that are no number take the lowest intensity. Label values above 255 are numbered anew in the stack and its
    labels.

    Args:
        image: as read.
        masks: name to label map (X, Y, Z) on the image's grid, as stored; None leaves it out.
        labels: names of the label values.
        detail: what is reduced; a slice alone may be 1024 wide and high.
        modality: what the data set calls the image: CT is coded in Hounsfield units.

    Raises:
        ValueError: a label map's shape differs from the image's, or the case cannot be shown so: it has neither one
            nor three channels, more than 255 labels, or intensities beyond 1e30.
    """
    grid = image.geometry
    given = {name: label_map for name, label_map in masks.items() if label_map is not None}
    for label_map in given.values():
        if label_map.shape != grid.shape:
            raise ValueError(f"expected label maps of the image's shape {grid.shape}, found {label_map.shape}")
    turn, spacing_mm = ((lambda array: array), grid.spacing_mm) if grid.unit == "px" else upright(grid)
    channels = [turn(channel) for channel in (image.array if image.array.ndim == 4 else image.array[None])]
    if len(channels) not in (1, 3):
        raise ValueError(f"a case for a page has one channel or three (colours), found {len(channels)}")
    small, labels = _in_eight_bits(given, labels)
    factors = _factors(channels[0].shape, spacing_mm, detail)
    shrunk = [_mean(_finite(channel), factors) for channel in channels]
    colours = len(channels) > 1
    levels = None if colours and channels[0].dtype == np.uint8 else choose_levels(shrunk, modality)
    codes = [encode(channel, levels) for channel in shrunk]
    origin_mm = (0.0, 0.0, 0.0) if grid.unit == "px" else _origin(grid, turn, spacing_mm)
    return Stack(
        image=np.stack(codes, axis=-1) if colours else codes[0],
        levels=None if colours else levels,
        masks={name: _majority(turn(label_map), factors) for name, label_map in small.items()},
        labels=labels,
        spacing_mm=_times(spacing_mm, factors),
        origin_mm=_shifted(origin_mm, spacing_mm, factors),
        unit=grid.unit,
        shape=_three(channels[0].shape),
        modality=modality,
    )


def reduce_stack(stack: Stack, factors: Factors) -> Stack:
    """A stack of fewer voxels: blocks of `factors` (x, y, z) voxels become one, as `make_stack` reduces a volume."""
    if factors == (1, 1, 1):
        return stack
    intensities = stack.intensities()
    channels = [intensities] if stack.levels is not None else list(np.moveaxis(intensities, -1, 0))
    codes = [encode(_mean(channel, factors), stack.levels) for channel in channels]
    return replace(
        stack,
        image=codes[0] if stack.levels is not None else np.stack(codes, axis=-1),
        masks={name: _majority(mask, factors) for name, mask in stack.masks.items()},
        spacing_mm=_times(stack.spacing_mm, factors),
        origin_mm=_shifted(stack.origin_mm, stack.spacing_mm, factors),
    )


def write_stack(path: str | Path, stack: Stack) -> Path:
    """Write a stack as compressed ``.npz``, atomically, and return the path."""
    facts = {"spacing_mm": stack.spacing_mm, "origin_mm": stack.origin_mm, "unit": stack.unit, "shape": stack.shape,
             "labels": stack.labels.values, "masks": list(stack.masks), "modality": stack.modality}  # fmt: skip
    arrays: dict[str, npt.NDArray] = {f"mask_{number}": mask for number, mask in enumerate(stack.masks.values())}
    arrays |= {} if stack.levels is None else {"levels": stack.levels}
    text = np.frombuffer(json.dumps(facts).encode("utf-8"), np.uint8)
    with files.atomic(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, image=stack.image, facts=text, **arrays)  # type: ignore[arg-type]
    return Path(path)


def read_stack(path: str | Path) -> Stack:
    """Read what `write_stack` wrote.

    Raises:
        DataError: E101 no such file; E105 a damaged one, or one that holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        facts = json.loads(arrays.pop("facts").tobytes().decode("utf-8"))
        stack = Stack(
            image=arrays["image"],
            levels=arrays.get("levels"),
            masks={str(name): arrays[f"mask_{number}"] for number, name in enumerate(facts["masks"])},
            labels=Labels(facts["labels"]),
            spacing_mm=_three(map(float, facts["spacing_mm"])),
            origin_mm=None if facts["origin_mm"] is None else _three(map(float, facts["origin_mm"])),
            unit=str(facts["unit"]),
            shape=_three(map(int, facts["shape"])),
            modality=str(facts.get("modality", "")),
        )
        _check(stack)
    except FileNotFoundError as error:
        raise DataError(Fault("E101", "no such file", "check the path", file=path)) from error
    except DAMAGED as error:
        fix = "evaluate again, or copy the run's own file here"
        raise DataError(Fault("E105", f"not slices for a page ({error})", fix, file=path)) from error
    return stack


def _check(stack: Stack) -> None:
    """Raise ValueError where the parts do not belong together."""
    colours = stack.levels is None
    if stack.image.dtype != np.uint8 or stack.image.ndim != (4 if colours else 3) or not stack.image.size:
        raise ValueError(f"an image of {stack.image.dtype} {stack.image.shape}")
    if colours and stack.image.shape[3] != 3:
        raise ValueError(f"{stack.image.shape[3]} colours")
    if stack.levels is not None and (stack.levels.shape != (CODES,) or not np.isfinite(stack.levels).all()):
        raise ValueError(f"{stack.levels.shape} levels")
    for mask in stack.masks.values():
        if mask.dtype != np.uint8 or mask.shape != stack.image.shape[:3]:
            raise ValueError(f"a mask of {mask.dtype} {mask.shape} on an image of {stack.image.shape}")
    lengths = (*stack.spacing_mm, *(stack.origin_mm or ()))
    if not all(map(math.isfinite, lengths)) or min(stack.spacing_mm) <= 0 or stack.unit not in ("mm", "px"):
        raise ValueError(f"spacing {stack.spacing_mm}, origin {stack.origin_mm}, unit {stack.unit}")


def coarsest_axis(spacing_mm: Sequence[float]) -> int:
    """The axis across which slices are shown: the third, unless another's voxels are longer by half."""
    coarsest = max(range(3), key=lambda axis: spacing_mm[axis])
    return coarsest if spacing_mm[coarsest] > COARSER * spacing_mm[2] else 2


def _factors(shape: Sequence[int], spacing_mm: Sequence[float], detail: Detail) -> Factors:
    """How many voxels along each axis become one: to the longest side within a slice, then fewer slices."""
    longest = LONGEST_ALONE if min(shape) == 1 else detail.longest
    across = coarsest_axis(spacing_mm)
    within = math.ceil(max(n for axis, n in enumerate(shape) if axis != across) / longest)
    factors = [1 if axis == across else within for axis in range(3)]
    while math.prod(sizes := _reduced(shape, factors)) > detail.voxels:
        thin = sizes[across] > FEWEST_SLICES
        for axis in range(3):
            factors[axis] += (axis == across) == thin
    return _three(factors)


def _reduced(shape: Sequence[int], factors: Sequence[int]) -> tuple[int, int, int]:
    return _three(math.ceil(n / factor) for n, factor in zip(shape, factors, strict=True))


def _origin(
    grid: Geometry, turn: Callable[[npt.NDArray], npt.NDArray], spacing_mm: Sequence[float]
) -> tuple[float, float, float] | None:
    """Where the first slice across each turned axis lies, at its middle; None where that is not so of all of a slice.

    A corner of the volume may lie half a slice off.
    """
    indices = [turn(index) for index in np.broadcast_arrays(*np.ogrid[tuple(map(slice, grid.shape))])]

    def position(place: Sequence[int]) -> npt.NDArray[np.float64]:
        return np.asarray(grid.affine[:3, :3] @ [index[tuple(place)] for index in indices] + grid.affine[:3, 3])

    shape = indices[0].shape
    middle = [n // 2 for n in shape]
    found = [float(position([0 if other == axis else middle[other] for other in range(3)])[axis]) for axis in range(3)]
    for corner in itertools.product(*((0, n - 1) for n in shape)):
        off = np.abs(position(corner) - found - np.multiply(corner, spacing_mm))
        if (off > np.multiply(spacing_mm, 0.5)).any():
            return None
    return _three(found)


def _finite(array: npt.NDArray) -> npt.NDArray:
    """The array, with its lowest value where it holds none."""
    if array.dtype.kind not in "fc":
        return array
    known = np.isfinite(array)
    array = array if known.all() else np.where(known, array, array[known].min() if known.any() else 0.0)
    if max(array.max(), -array.min()) > LARGEST:
        raise ValueError(f"a case for a page has intensities between {-LARGEST:g} and {LARGEST:g}")
    return array


def _mean(array: npt.NDArray, factors: Factors) -> npt.NDArray[np.float32]:
    """Means over blocks; whole numbers stay whole, so that few values stay few."""
    if factors == (1, 1, 1):
        return array.astype(np.float32)
    whole = array.dtype.kind in "iub" or all(bool((part == np.rint(part)).all()) for part in array)
    counts = [_sums(np.ones(n, np.float32), (factor,)) for n, factor in zip(array.shape, factors, strict=True)]
    shrunk = _sums(array, factors, np.float32)
    shrunk /= counts[0][:, None, None] * counts[1][:, None] * counts[2]
    return np.rint(shrunk) if whole else shrunk


def _sums(array: npt.NDArray, factors: Sequence[int], dtype: npt.DTypeLike = np.float32) -> npt.NDArray:
    """Sums over blocks; those at the end may be smaller."""
    for axis, factor in enumerate(factors):
        if factor > 1:
            parts = np.moveaxis(array, axis, 0)
            sums = parts[::factor].astype(dtype)
            for offset in range(1, factor):
                part = parts[offset::factor]
                sums[: len(part)] += part
            array = np.moveaxis(sums, 0, axis)
    return array


def _in_eight_bits(masks: Mapping[str, LabelMap], labels: Labels) -> tuple[dict[str, npt.NDArray[np.uint8]], Labels]:
    """Label maps as uint8; where values exceed 255, they and their names are numbered anew."""
    if all(int(mask.max(initial=0)) < CODES for mask in masks.values()):
        return {name: mask.astype(np.uint8) for name, mask in masks.items()}, labels
    present = np.unique(np.concatenate([[0], *(np.unique(mask) for mask in masks.values())]))
    if len(present) > CODES:
        raise ValueError(f"a case for a page holds at most {CODES - 1} labels, found {len(present) - 1}")
    numbers = {int(value): number for number, value in enumerate(present)}
    known = {name: [numbers.get(value, CODES + value) for value in values] for name, values in labels.values.items()}
    return {name: np.searchsorted(present, mask).astype(np.uint8) for name, mask in masks.items()}, Labels(known)


def _majority(mask: npt.NDArray[np.uint8], factors: Factors) -> npt.NDArray[np.uint8]:
    """The value that fills most of each block, the background where it does; no component of a label is lost."""
    if factors == (1, 1, 1):
        return np.ascontiguousarray(mask)
    from scipy import ndimage  # takes a moment to start

    found = np.zeros(_reduced(mask.shape, factors), np.uint8)
    places = {value: _aligned(box, factors) for value, box in enumerate(ndimage.find_objects(mask), 1) if box}
    most = _sums(mask == 0, factors, np.int32) if places else found
    for value, (blocks, voxels) in places.items():
        count = _sums(mask[voxels] == value, factors, np.int32)
        found[blocks][count > most[blocks]] = value
        most[blocks] = np.maximum(most[blocks], count)
    for value, (blocks, voxels) in places.items():
        _keep_components(found[blocks], mask[voxels], value, factors)
    return found


def _aligned(box: Sequence[slice], factors: Factors) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The blocks that a box of voxels touches, and all of their voxels."""
    blocks = tuple(slice(side.start // f, -(-side.stop // f)) for side, f in zip(box, factors, strict=True))
    return blocks, tuple(slice(side.start * f, side.stop * f) for side, f in zip(blocks, factors, strict=True))


def _keep_components(chosen: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8], value: int, factors: Factors) -> None:
    """Give `value` the fullest block of each of its components in `mask` that no block of `chosen` shows."""
    from scipy import ndimage  # takes a moment to start

    numbers, n = ndimage.label(mask == value)
    voxels = np.argwhere(numbers)
    block = np.ravel_multi_index(tuple((voxels // factors).T), chosen.shape)
    component = numbers[numbers > 0]
    shown = np.zeros(n + 1, bool)
    shown[component[chosen.ravel()[block] == value]] = True
    lost = ~shown[component]
    pairs, counts = np.unique(np.stack([component[lost], block[lost]]), axis=1, return_counts=True)
    order = np.lexsort((counts, pairs[0]))
    last = np.flatnonzero(np.diff(pairs[0][order], append=-1))
    chosen.flat[pairs[1][order][last]] = value  # a view is written through


def _times(spacing_mm: Sequence[float], factors: Factors) -> tuple[float, float, float]:
    return _three(length * factor for length, factor in zip(spacing_mm, factors, strict=True))


def _shifted(
    origin_mm: Sequence[float] | None, spacing_mm: Sequence[float], factors: Factors
) -> tuple[float, float, float] | None:
    """The middle of the first block."""
    if origin_mm is None:
        return None
    return _three(at + (f - 1) / 2 * length for at, length, f in zip(origin_mm, spacing_mm, factors, strict=True))


def _three(values: Iterable[Any]) -> tuple[Any, Any, Any]:
    x, y, z = values
    return x, y, z
