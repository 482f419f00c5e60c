"""The scrollable slices of one case: pictures inside the page that hold its voxels, and the numbers to read them by.

The axial slices of the image lie side by side in one PNG (a JPEG where that takes too much of the page), those of each
label map in one PNG whose values are exact. ``viewer.js`` takes them apart in the browser when the case is opened.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from medseg.labels import PALETTE
from medseg.reports import markup
from medseg.volumes.overlay import fullest_slices
from medseg.volumes.slice_pixels import WINDOW_PERCENTILES
from medseg.volumes.stack import Factors, Stack, coarsest_axis, reduce_stack
from medseg.volumes.stack_codes import is_hounsfield

LARGEST = 4096  # pixels along a side that every browser decodes
BLOCK = 8  # pixels; JPEG's blocks then hold one slice each
QUALITIES = (95, 85)  # of JPEG, where a PNG takes too much; the last one also of slices that are reduced
LEAST_BYTES = 0.1  # a voxel of a PNG: it is not tried where not even that fits
REDUCTIONS = ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (2, 4), (3, 4), (4, 4), (4, 6), (4, 8))  # in a slice, of slices
FRAME_BYTES = 250  # of HTML around what a viewer holds, without the name of its case
HOPELESS = 1.3  # times the allowance: not tried
SAMPLE = 200_000
SMALLEST, FEWEST = 32, 8  # pixels along a slice, and slices, that are left
# Level and width in Hounsfield units, as reading rooms set them.
WINDOWS = {"soft tissue": (40, 400), "lung": (-600, 1500), "bone": (400, 1800), "liver": (30, 150), "brain": (40, 80)}
LUNG_BELOW, BONE_ABOVE = -300, 250  # mean HU of a structure that is first seen in that window


@dataclass(frozen=True)
class Viewer:
    """The HTML of one viewer and how coarsely it shows the case.

    Attributes:
        html: one element and what stands below it.
        size: (X, Y, Z) voxels shown.
        wide: whether several planes stand side by side.
        reduced: what was done to the stack so that it fits into the page, in words; nothing, where nothing was.
        quality: of the JPEG that holds the image; None of a PNG, which is exact.
    """

    html: str
    size: tuple[int, int, int]
    wide: bool
    reduced: str
    quality: int | None = None


@functools.cache
def script() -> str:
    """The script that all viewers of a page share."""
    return resources.files("medseg.reports").joinpath("viewer.js").read_text(encoding="utf-8")


def draw_viewer(
    stack: Stack, name: str, labels: Sequence[str], allowance: float = math.inf, bytes_a_voxel: float = 0.0
) -> Viewer:
    """The finest viewer of a case that takes no more than `allowance` bytes of a page; the coarsest, if none does.

    Args:
        stack: the case; slices are made smaller and fewer until it fits.
        name: what the case is called.
        labels: names in the order of their colours on the page.
        allowance: bytes.
        bytes_a_voxel: what similar cases took at the lowest quality, so that hopeless sizes are not tried.
    """
    sizes = {factors: _reduced_size(stack.size, factors) for factors in _reductions(stack)}
    hopeful = [factors for factors, size in sizes.items() if math.prod(size) * bytes_a_voxel <= HOPELESS * allowance]
    for factors in hopeful or [list(sizes)[-1]]:
        small = reduce_stack(stack, factors)
        html, quality = _draw(small, stack.shape, name, labels, allowance, whole=factors == (1, 1, 1))
        if html and len(html) <= allowance:
            break
    wide = small.unit == "mm" and min(small.size) > 1
    return Viewer(html, small.size, wide, _in_words(small, factors, coarsest_axis(stack.spacing_mm)), quality)


def _in_words(small: Stack, factors: Factors, across: int) -> str:
    if factors == (1, 1, 1):
        return ""
    sides = f" {markup.TIMES} ".join(str(n) for axis, n in enumerate(small.size) if axis != across)
    every = f", every {factors[across]} averaged into one" if factors[across] > 1 else ""
    return f"slices of {sides} pixels{every}"


def _reduced_size(size: Sequence[int], factors: Factors) -> list[int]:
    return [math.ceil(n / factor) for n, factor in zip(size, factors, strict=True)]


def _reductions(stack: Stack) -> Iterator[Factors]:
    """What may be done to a stack, the least first."""
    across = coarsest_axis(stack.spacing_mm)
    for within, every in REDUCTIONS:
        fits = True
        factors = [1, 1, 1]
        for axis, n in enumerate(stack.size):
            factors[axis], least = (every, FEWEST) if axis == across else (within, SMALLEST)
            fits = fits and (factors[axis] == 1 or n >= least * factors[axis])
        if fits:
            yield factors[0], factors[1], factors[2]


def _draw(
    small: Stack, shape: Sequence[int], name: str, labels: Sequence[str], allowance: float, whole: bool
) -> tuple[str, int | None]:
    """The viewer, and the quality of its JPEG; nothing, where its slices do not fit into one picture."""
    width, height, depth = small.size
    tile = [math.ceil(n / BLOCK) * BLOCK for n in (width, height)]
    columns = min(max(1, LARGEST // tile[0]), math.ceil(math.sqrt(depth * tile[1] / tile[0])))
    if max(columns * tile[0], math.ceil(depth / columns) * tile[1]) > LARGEST:
        return "", None
    mosaic = functools.partial(_mosaic, tile=tile, columns=columns)
    counts = sum(np.bincount(mask.ravel(), minlength=256) for mask in small.masks.values())
    values = [int(value) for value in np.flatnonzero(counts) if value]
    step = 255 // max(1, len(values))
    codes = np.zeros(256, np.uint8)
    codes[values] = step * np.arange(1, len(values) + 1)
    facts = {"shape": [width, height, depth], "tile": tile, "columns": columns, **_facts(small, labels, values),
             "masks": [{"name": mask, "step": step} for mask in small.masks]}  # fmt: skip
    attributes = {"data-facts": json.dumps(facts, separators=(",", ":"))}
    for number, mask in enumerate(small.masks.values()):
        attributes[f"data-mask-{number}"] = _url(mosaic(codes[mask], mode="constant"), "PNG")
    shown = "".join(f' {key}="{markup.text(value)}"' for key, value in attributes.items())
    head = f'<div class="viewer" role="group" aria-label="{markup.text(name)}: slices"{shown}'
    room = allowance - len(head) - FRAME_BYTES
    url, quality = _image_url(mosaic(small.image, mode="edge"), room, whole)
    notes = []
    if tuple(shape) != small.size:
        sizes = (f" {markup.TIMES} ".join(map(str, size)) for size in (small.size, shape))
        notes = [f"Shown with {' of '.join(sizes)} voxels."]
    notes += [f"Compressed (JPEG of quality {quality}): intensities are not exact."] if quality else []
    note = f'<p class="note">{" ".join(notes)}</p>' if notes else ""
    return f'{head} data-image="{url}"></div>{note}', quality


def _facts(stack: Stack, labels: Sequence[str], values: Sequence[int]) -> dict[str, Any]:
    """What the script knows of a case beside its voxels."""
    names = stack.labels.foreground
    order = {name: labels.index(name) if name in labels else number for number, name in enumerate(names)}
    shown = []
    for name in names:
        codes = [values.index(value) + 1 for value in stack.labels.values[name] if value in values]
        shown += [{"colour": PALETTE[order[name] % len(PALETTE)], "codes": codes}] if codes else []
    windows, chosen = _windows(stack)
    maps = [stack.masks[key] for key in ("reference", *stack.masks) if key in stack.masks]
    return {
        "spacing": [_short(length) for length in stack.spacing_mm],
        "origin": stack.origin_mm and [_short(length) for length in stack.origin_mm],
        "unit": stack.unit,
        "picture": stack.unit == "px",
        "start": fullest_slices(maps, stack.size),
        "levels": None if stack.levels is None else [_short(level) for level in stack.levels],
        "windows": [[name, _short(low), _short(high)] for name, (low, high) in windows.items()],
        "window": chosen,
        "labels": shown,
    }


def _windows(stack: Stack) -> tuple[dict[str, tuple[float, float]], int]:
    """Names of windows with their lowest and highest intensity, and the number of the one to begin with."""
    if stack.levels is None:
        return {}, 0
    intensities = stack.intensities()
    low, high = (float(value) for value in np.percentile(intensities.ravel()[:: max(1, intensities.size // SAMPLE)],
                                                         WINDOW_PERCENTILES))  # fmt: skip
    lowest, highest = float(stack.levels[0]), float(stack.levels[-1])
    found = {"automatic": (low, high) if high > low else (lowest, highest), "full range": (lowest, highest)}
    if not is_hounsfield(intensities, stack.modality):
        return found, 0
    found |= {name: (level - width / 2, level + width / 2) for name, (level, width) in WINDOWS.items()}
    structures = next((mask > 0 for mask in stack.masks.values() if mask.any()), None)
    mean = 0.0 if structures is None else float(intensities[structures].mean())
    first = "lung" if mean < LUNG_BELOW else "bone" if mean > BONE_ABOVE else "soft tissue"
    return found, list(found).index(first)


def _mosaic(array: npt.NDArray[np.uint8], tile: Sequence[int], columns: int, mode: Any) -> npt.NDArray[np.uint8]:
    """Axial slices (X, Y, Z[, 3]) side by side, x to the right and y downwards, each in a tile of its own."""
    slices = np.moveaxis(np.swapaxes(array, 0, 1), 2, 0)  # (Z, Y, X[, 3])
    depth, height, width = slices.shape[:3]
    rows = math.ceil(depth / columns)
    more = [(0, rows * columns - depth), (0, tile[1] - height), (0, tile[0] - width), (0, 0)][: slices.ndim]
    padded = np.pad(slices, more, mode=mode)
    grid = padded.reshape(rows, columns, *padded.shape[1:])
    return np.ascontiguousarray(np.swapaxes(grid, 1, 2)).reshape(rows * tile[1], columns * tile[0], *slices.shape[3:])


def _image_url(mosaic: npt.NDArray[np.uint8], room: float, whole: bool) -> tuple[str, int | None]:
    """The exact picture where it fits into `room` bytes, else the best JPEG that does; and its quality."""
    if whole and mosaic.nbytes * LEAST_BYTES <= room and len(url := _url(mosaic, "PNG")) <= room:
        return url, None
    for quality in QUALITIES if whole else QUALITIES[-1:]:
        url = _url(mosaic, "JPEG", quality)
        if len(url) <= room:
            break
    return url, quality


def _url(mosaic: npt.NDArray[np.uint8], kind: str, quality: int = QUALITIES[0]) -> str:
    file = io.BytesIO()
    Image.fromarray(mosaic).save(file, kind, quality=quality, subsampling=0, compress_level=6)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getbuffer()).decode('ascii')}"


def _short(value: float) -> float:
    """Six digits are more than a screen shows."""
    return float(f"{value:.6g}")
