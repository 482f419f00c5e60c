"""Slices of cases in rows of panels, with their labels drawn over them."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from medseg.labels import Labels
from medseg.volumes.overlay import PICTURE, PLANES, Plane, fullest_slices
from medseg.volumes.slice_pixels import (
    LINE,
    SWATCH,
    Pixels,
    cut_slice,
    font,
    intensity_window,
    place_legend,
    printable,
    slice_pixels,
    with_labels,
)
from medseg.volumes.stack import Stack, coarsest_axis

Place = tuple[int, int]

PANEL_PIXELS = 200  # the longer side of a panel
GAP, HEAD, TEXT = 4, 24, 16  # pixels
THIN = 1 / 8  # of its length is the width of a plane in which nothing is seen
LONGEST_TITLE = 60
INK, MUTED, PAPER, EMPTY, WHITE = (29, 35, 41), (98, 108, 118), (255, 255, 255), (232, 234, 237), (255, 255, 255)


@dataclass(frozen=True)
class Panel:
    """A slice as drawn.

    Attributes:
        pixels: uint8 (rows, columns, 3).
        labels: what its colours stand for.
        note: a few letters in its lower left corner.
        plane: whose letters stand at its edges.
        below: a few words under it.
    """

    pixels: Pixels
    labels: Labels
    note: str = ""
    plane: Plane = PICTURE
    below: str = ""


def fullest_slice(stack: Stack, masks: Sequence[str] = ("reference", "prediction")) -> Place:
    """The slice (axis, index) with most foreground of the first of these masks that has any; else the middle one.

    Slices are axial, unless those of the image lie further apart along another axis; of a picture its pages.
    """
    axis = _axis(stack)
    return axis, fullest_slices([stack.masks.get(name) for name in masks], stack.image.shape[:3])[axis]


def planes_through(stack: Stack, masks: Sequence[str] = ("reference", "prediction")) -> list[tuple[str, Place]]:
    """Axial, coronal and sagittal, each through its fullest slice; the plane of `fullest_slice` alone for pictures and
    where others would show a thin strip."""
    main = fullest_slice(stack, masks)
    if stack.unit == "px":
        return [("", main)]
    index = fullest_slices([stack.masks.get(name) for name in masks], stack.image.shape[:3])
    found = []
    for plane in PLANES:
        short, long = sorted(_sides_mm(stack, plane.axis))
        if plane.axis == main[0] or short > THIN * long:
            found.append((plane.name, (plane.axis, index[plane.axis])))
    return found


def longest_side_mm(stack: Stack) -> float:
    """The longest side of a case."""
    return max(max(_sides_mm(stack, axis)) for axis in range(3))


def _sides_mm(stack: Stack, axis: int) -> list[float]:
    """Width and height of the slices across an axis."""
    shape, spacing_mm = stack.image.shape[:3], stack.spacing_mm
    return [n * length for other, (n, length) in enumerate(zip(shape, spacing_mm, strict=True)) if other != axis]


def slices_through(stack: Stack, most: int, masks: Sequence[str] = ("reference", "prediction")) -> list[Place]:
    """At most so many slices, evenly spaced through what these masks hold, lowest first; of nothing, through all."""
    axis = _axis(stack)
    others = tuple(other for other in range(3) if other != axis)
    held = np.zeros(stack.image.shape[axis], bool)
    for name in masks:
        held |= stack.masks[name].any(axis=others) if name in stack.masks else False
    found = np.flatnonzero(held) if held.any() else np.arange(len(held))
    first, last = int(found[0]), int(found[-1])
    chosen = np.unique(np.linspace(first, last, min(most, last - first + 1)).round().astype(int))
    return [(axis, int(index)) for index in chosen]


def slice_panel(
    stack: Stack,
    place: Place,
    filled: str | None = None,
    outlined: str | None = None,
    note: str = "",
    window: tuple[float, float] | None = None,
    extent_mm: float | None = None,
) -> Panel:
    """A slice with one mask filled thinly and one outlined (both may be the same; one that is not there is not drawn).

    Volumes are shown as radiologists see them, with letters at the edges (of an axial slice the patient's right is at
    the left), pictures as they are. Intensities are
    windowed from the 1st to the 99th percentile of the whole stack.

    Args:
        stack: the case.
        place: axis and index of the slice.
        filled, outlined: names of its masks.
        note: for the panel's corner.
        window: the intensities that are black and white, where they are not those percentiles.
        extent_mm: the length that fills a panel; None for the longer side of this slice.
    """
    axis, index = place
    codes = [stack.image] if stack.image.ndim == 3 else list(np.moveaxis(stack.image, -1, 0))
    channels = [_intensities(stack, _seen(stack, each, axis, index)) for each in codes]
    low, high = window or _window(stack)
    sides_mm = _sides_mm(stack, axis)
    width, height = (max(1, round(side * PANEL_PIXELS / (extent_mm or max(sides_mm)))) for side in sides_mm)
    pixels = slice_pixels(channels, low, high, (width, height))
    for name, parts in ((filled, {"outline": filled == outlined}), (outlined, {"fill": False})):
        if name in stack.masks:
            pixels = with_labels(pixels, _seen(stack, stack.masks[name], axis, index), stack.labels, **parts)
    plane = PICTURE if stack.unit == "px" else next(plane for plane in PLANES if plane.axis == axis)
    return Panel(pixels, stack.labels, note, plane)


def draw_panels(rows: Sequence[tuple[str, Sequence[tuple[str, Panel | None]]]]) -> bytes:
    """One PNG: a line of text and a row of panels for each of `rows`, and a legend of all labels below.

    Args:
        rows: the row's title, and its panels, each with a title ("" for none; None leaves the place empty). Titles are
            users' text.

    Raises:
        ValueError: if there is no row.
    """
    if not rows:
        raise ValueError("no row of panels to draw")
    columns = max(len(panels) for _, panels in rows)
    width = max(1, columns) * (PANEL_PIXELS + GAP) - GAP
    heads = [HEAD * bool(title) + HEAD * any(name for name, _ in panels) for title, panels in rows]
    sizes = [max((p.pixels.shape[0] for _, p in panels if p), default=PANEL_PIXELS // 2) for _, panels in rows]
    feet = [HEAD * any(panel.below for _, panel in panels if panel) for _, panels in rows]
    legend, below, colours = _legend(rows, width)
    canvas = Image.new("RGB", (width, sum(heads) + sum(sizes) + sum(feet) + 2 * GAP * len(rows) + below), PAPER)
    draw, y = ImageDraw.Draw(canvas), 0
    for (title, panels), head, size, foot in zip(rows, heads, sizes, feet, strict=True):
        if title:
            draw.text((0, y + 3), _fitting(title, width, TEXT + 1), INK, font(TEXT + 1))
        for column, (name, panel) in enumerate(panels):
            left = column * (PANEL_PIXELS + GAP)
            draw.text((left, y + head - HEAD + 4), _fitting(name, PANEL_PIXELS), MUTED, font(TEXT))
            _paste(canvas, draw, panel, (left, y + head, size))
            if panel and panel.below:
                draw.text((left, y + head + size + 3), _fitting(panel.below, PANEL_PIXELS), MUTED, font(TEXT))
        y += head + size + foot + 2 * GAP
    for place, text, x, line in legend:
        middle = y + line * LINE + LINE // 2
        draw.rectangle((x, middle - 6, x + 12, middle + 6), colours[place])
        draw.text((x + SWATCH, middle), text, INK, font(TEXT + 1), anchor="lm")
    file = io.BytesIO()
    canvas.save(file, "PNG", compress_level=4)
    return file.getvalue()


def _intensities(stack: Stack, codes: npt.NDArray) -> npt.NDArray:
    """What codes of its image stand for; colours stay."""
    return codes if stack.levels is None else stack.levels[codes]


def _window(stack: Stack) -> tuple[float, float]:
    if stack.levels is None:
        return 0.0, 255.0
    first, last = intensity_window([stack.image])  # of codes, which rise as intensities do
    low, high = np.interp((first, last), np.arange(len(stack.levels)), stack.levels)
    return float(low), float(high) if high > low else float(low) + 1.0


def _axis(stack: Stack) -> int:
    """The axis across which slices are looked at: that along which they lie, or along which there is one alone."""
    shape = stack.image.shape[:3]
    thin = [axis for axis in (2, 1, 0) if shape[axis] == 1]
    return thin[0] if thin else coarsest_axis(stack.spacing_mm)


def _seen(stack: Stack, array: npt.NDArray, axis: int, index: int) -> npt.NDArray:
    """(rows, columns) of a slice as it is looked at."""
    return array.take(index, axis).T if stack.unit == "px" else cut_slice(array, axis, index)


def _paste(canvas: Image.Image, draw: ImageDraw.ImageDraw, panel: Panel | None, cell: tuple[int, int, int]) -> None:
    """Put a panel into its cell (left, top, height), centred on black; a grey cell where there is none."""
    left, top, height = cell
    draw.rectangle((left, top, left + PANEL_PIXELS - 1, top + height - 1), (0, 0, 0) if panel else EMPTY)
    if panel is None:
        draw.text((left + PANEL_PIXELS // 2, top + height // 2), "not there", MUTED, font(TEXT), anchor="mm")
        return
    rows, columns = panel.pixels.shape[:2]
    canvas.paste(Image.fromarray(panel.pixels), (left + (PANEL_PIXELS - columns) // 2, top + (height - rows) // 2))
    note = _fitting(panel.note, PANEL_PIXELS - 2 * GAP)
    write = functools.partial(draw.text, fill=WHITE, font=font(TEXT), stroke_width=2, stroke_fill=0)
    write((left + GAP, top + height - GAP), note, anchor="ls")
    write((left + GAP, top + height // 2), panel.plane.left, anchor="lm")
    write((left + PANEL_PIXELS - GAP, top + height // 2), panel.plane.right, anchor="rm")
    write((left + PANEL_PIXELS // 2, top + GAP), panel.plane.top, anchor="ma")


def _legend(
    rows: Sequence[tuple[str, Sequence[tuple[str, Panel | None]]]], width: int
) -> tuple[list[tuple[str, str, int, int]], int, dict[str, tuple[int, int, int]]]:
    """Where each name of any panel's labels stands, the height of all, and their colours."""
    panels = [panel for _, row in rows for _, panel in row if panel is not None]
    colours = {name: panel.labels.colour(name) for panel in panels for name in panel.labels.foreground}
    every = Labels({"background": 0} | {name: i for i, name in enumerate(colours, start=1)}) if colours else None
    places, height = place_legend(every, width) if every else ([], 0)
    return places, height, colours


def _fitting(text: str, width: int, size: int = TEXT) -> str:
    """A name cut to so many pixels."""
    shown = printable(text, LONGEST_TITLE)
    while shown and font(size).getlength(shown) > width:
        shown = f"{shown[:-2].rstrip()}…" if len(shown) > 2 else ""
    return shown
