"""A slice as pixels: its window, its labels drawn over it, and the words around it."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFont

from medseg.labels import Labels

TEXT, SWATCH, LINE = 16, 20, 26  # pixels: of letters, of a colour of the legend with its gap, and of a line of it
FILL_OPACITY, CONTOUR_PIXELS = 0.30, 2
WINDOW_PERCENTILES = (1.0, 99.0)
WINDOW_SAMPLE = 200_000
LONGEST_NAME = 40

LabelMap = npt.NDArray[np.integer]
Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]


def intensity_window(channels: Sequence[npt.NDArray]) -> tuple[float, float]:
    """From the 1st to the 99th percentile of all channels (X, Y, Z); of colours, all of them."""
    if len(channels) > 1 and channels[0].dtype == np.uint8:
        return 0.0, 255.0  # colours as they are
    step = math.ceil((channels[0].size / WINDOW_SAMPLE) ** (1 / 3))
    sample = np.stack([channel[::step, ::step, ::step] for channel in channels])
    sample = sample[np.isfinite(sample)]
    low, high = (float(value) for value in np.percentile(sample, WINDOW_PERCENTILES)) if sample.size else (0.0, 0.0)
    if high <= low:
        finite = np.concatenate([channel[np.isfinite(channel)] for channel in channels])
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return low, high if high > low else low + 1.0


def cut_slice(array: npt.NDArray, axis: int, index: int) -> npt.NDArray:
    """The slice as seen: column 0 is the patient's right (or anterior), row 0 is anterior (or superior)."""
    return array.take(index, axis)[::-1, ::-1].T


def slice_pixels(channels: Sequence[npt.NDArray], low: float, high: float, size: tuple[int, int]) -> Pixels:
    """(rows, columns, 3) pixels of a slice: grey from one channel, colours from three."""
    scaled = []
    for values in channels:
        shown = np.clip((np.nan_to_num(values.astype(np.float32), nan=low) - low) / (high - low), 0, 1)
        grey = Image.fromarray((shown * 255).round().astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
        scaled.append(np.asarray(grey))
    return np.stack(scaled * (3 // len(scaled)), axis=2)


def with_labels(plain: Pixels, label_map: LabelMap, labels: Labels, fill: bool = True, outline: bool = True) -> Pixels:
    """Pixels (rows, columns, 3) with each label of a slice's map, of any size, filled thinly and outlined."""
    pixels = plain.copy()
    for name in labels.foreground:
        mask = labels.mask(label_map, name)
        if not mask.any():
            continue
        large = _resize(mask, plain.shape[:2])
        inner = large
        for _ in range(CONTOUR_PIXELS if outline else 0):
            inner = _erode(inner)
        colour = np.array(labels.colour(name), dtype=np.float32)
        if fill:
            pixels[inner] = (1 - FILL_OPACITY) * plain[inner] + FILL_OPACITY * colour
        pixels[large & ~inner] = colour.astype(np.uint8)
    return pixels


def _resize(mask: Mask, shape: Sequence[int]) -> Mask:
    """Scale a mask with smooth edges. Where voxels are smaller than pixels, a lone voxel still shows."""
    smooth = Image.fromarray(mask.astype(np.float32)).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    threshold = 0.5
    for pixels, voxels in zip(shape, mask.shape, strict=True):
        threshold *= pixels / voxels / 2 if pixels < voxels else 1.0
    return np.asarray(smooth) >= threshold


def _erode(mask: Mask) -> Mask:
    padded = np.pad(mask, 1)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def place_legend(labels: Labels, width: int) -> tuple[list[tuple[str, str, int, int]], int]:
    """For each foreground name: itself, its text, its left edge in pixels and its line; and the legend's height."""
    places, x, line = [], 0, 0
    for name in labels.foreground:
        text = printable(name, LONGEST_NAME)
        needed = SWATCH + math.ceil(font(TEXT).getlength(text))
        if x and x + needed > width:
            x, line = 0, line + 1
        places.append((name, text, x, line))
        x += needed + SWATCH
    return places, (line + 1) * LINE + 2 if places else 0


def printable(text: str, longest: int) -> str:
    """One line of printable characters: names come from the user."""
    kept = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * longest]).split())
    return kept if len(kept) <= longest else f"{kept[: longest - 1]}…"


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The typeface that comes with Pillow."""
    return ImageFont.load_default(size)
