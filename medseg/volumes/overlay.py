"""One picture a case: the image, and the image with each of its masks, side by side in three planes."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.volumes.slice_pixels import (
    LINE,
    LONGEST_NAME,
    SWATCH,
    TEXT,
    LabelMap,
    Pixels,
    cut_slice,
    font,
    intensity_window,
    place_legend,
    printable,
    slice_pixels,
    with_labels,
)
from medseg.volumes.volume import Volume

Window = tuple[float, float]

PANEL_WIDTH, PANEL_HEIGHT = 260, 300  # pixels; a slice is scaled to the largest size that fits
GAP, HEAD = 4, 26  # pixels between panels and above them; pages show the picture at three quarters of its size
INK, MUTED, PAPER = (29, 35, 41), (98, 108, 118), (255, 255, 255)
LETTER, FAINT = (255, 255, 255), (150, 150, 150)
BAR_LENGTHS_MM = (200, 100, 50, 20, 10, 5, 2, 1)


@dataclass(frozen=True)
class Plane:
    """A viewing plane: the axis it cuts, and which patient direction lies at its left, right and upper edge."""

    name: str
    axis: int
    left: str
    right: str
    top: str


# Radiological convention: the patient is seen from the feet (axial) or from the front (coronal).
PLANES = (
    Plane("axial", 2, "R", "L", "A"),
    Plane("coronal", 1, "R", "L", "S"),
    Plane("sagittal", 0, "A", "P", "S"),
)
PICTURE = Plane("", 2, "", "", "")


@dataclass(frozen=True)
class _Row:
    plane: Plane
    scale: float  # pixels a millimetre
    height: int  # pixels
    panels: tuple[Pixels | None, ...]


def draw_case(image: Volume, masks: Mapping[str, LabelMap | None], labels: Labels, title: str | None = None) -> bytes:
    """Draw a case as one PNG: a row a plane; columns the image, and the image with each of the masks.

    Volumes are shown in radiological convention, whatever the order in which they are stored; a picture (its unit is
    the pixel) is shown as it is, in its colours. Each plane passes through the slice with most foreground of the first
    mask that has any; the middle, where none has. A plane in which the volume is one voxel thick is left out.
    Intensities are windowed from the 1st to the 99th percentile of the whole image.

    Args:
        image: the image as read.
        masks: a column's name to its label map on the image's grid, as stored; None leaves the column black.
        labels: names and colours of the label values; a later name is drawn over an earlier one.
        title: a line above the picture.

    Raises:
        ValueError: if a label map's shape differs from the image's.
    """
    shape = image.geometry.shape
    for label_map in masks.values():
        if label_map is not None and label_map.shape != shape:
            raise ValueError(f"expected label maps of the image's shape {shape}, found {label_map.shape}")
    turn, spacing_mm = upright(image.geometry)
    channels = [turn(channel) for channel in (image.array if image.array.ndim == 4 else image.array[None])]
    maps = [None if label_map is None else turn(label_map) for label_map in masks.values()]
    centre = fullest_slices(maps, channels[0].shape)
    window = intensity_window(channels)
    rows = []
    for plane in [PICTURE] if image.geometry.unit == "px" else _planes(channels[0].shape):
        cut = functools.partial(cut_slice, axis=plane.axis, index=centre[plane.axis])
        sides_mm = [spacing_mm[axis] for axis in range(3) if axis != plane.axis]
        size, scale = _fit(cut(channels[0]).shape, sides_mm)
        plain = slice_pixels([cut(channel) for channel in channels], *window, size)
        drawn = [None if label_map is None else with_labels(plain, cut(label_map), labels) for label_map in maps]
        rows.append(_Row(plane, scale, plain.shape[0], (plain, *drawn)))
    return _compose(rows, ["image", *masks], labels, title)


def draw_beside(
    columns: Mapping[str, tuple[npt.NDArray, Window]], geometry: Geometry, title: str | None = None
) -> bytes:
    """Draw images of one grid side by side as one PNG: a row a plane, each through the middle, as `draw_case` does.

    Args:
        columns: a column's name to its image (X, Y, Z) and to the values that are black and white.
        geometry: the grid of all of them.
        title: a line above the picture.
    """
    turn, spacing_mm = upright(geometry)
    arrays = [(turn(array), window) for array, window in columns.values()]
    rows = []
    for plane in [PICTURE] if geometry.unit == "px" else _planes(arrays[0][0].shape):
        cuts = [cut_slice(array, plane.axis, array.shape[plane.axis] // 2) for array, _ in arrays]
        size, scale = _fit(cuts[0].shape, [spacing_mm[axis] for axis in range(3) if axis != plane.axis])
        panels = tuple(slice_pixels([cut], *window, size) for cut, (_, window) in zip(cuts, arrays, strict=True))
        rows.append(_Row(plane, scale, panels[0].shape[0], panels))
    return _compose(rows, list(columns), Labels({"background": 0}), title)


def draw_rebuilt(image: npt.NDArray, rebuilt: npt.NDArray, geometry: Geometry, title: str | None = None) -> bytes:
    """Draw an image (X, Y, Z), what a network made of it, and how far apart the two are (half a window is white).

    Raises:
        ValueError: if the shapes differ.
    """
    if image.shape != rebuilt.shape:
        raise ValueError(f"expected a reconstruction of the image's shape {image.shape}, found {rebuilt.shape}")
    low, high = window = intensity_window([image])
    difference = np.abs(rebuilt.astype(np.float32) - image)
    columns = {"image": (image, window), "reconstruction": (rebuilt, window),
               "difference": (difference, (0.0, (high - low) / 2))}  # fmt: skip
    return draw_beside(columns, geometry, title)


def upright(geometry: Geometry) -> tuple[Callable[[npt.NDArray], npt.NDArray], tuple[float, float, float]]:
    """What turns an array as stored to axes that run to the right, anterior and superior; and the spacing then.

    A picture is turned so that a cut shows it as it is.
    """
    if geometry.unit == "px":
        return (lambda array: array[::-1, ::-1]), geometry.spacing_mm
    turn = nib.orientations.io_orientation(geometry.affine)
    x, y, z = (geometry.spacing_mm[axis] for axis in np.argsort(turn[:, 0]))
    return (lambda array: np.asarray(nib.orientations.apply_orientation(array, turn))), (x, y, z)


def _planes(shape: Sequence[int]) -> list[Plane]:
    thick = [plane for plane in PLANES if all(n > 1 for axis, n in enumerate(shape) if axis != plane.axis)]
    return thick or [PLANES[0]]


def fullest_slices(label_maps: Sequence[LabelMap | None], shape: Sequence[int]) -> list[int]:
    """For each axis, the index of the slice across it that holds most foreground of the first map that has any."""
    for label_map in label_maps:
        if label_map is not None and label_map.any():
            others = ((1, 2), (0, 2), (0, 1))
            return [_peak(np.count_nonzero(label_map, axis=other)) for other in others]
    return [n // 2 for n in shape]


def _peak(counts: npt.NDArray[np.intp]) -> int:
    """The index of the largest count; of several, the middle one."""
    largest = np.flatnonzero(counts == counts.max())
    return int(largest[len(largest) // 2])


def _fit(shape: tuple[int, ...], spacing_mm: Sequence[float]) -> tuple[tuple[int, int], float]:
    """Size in pixels (width, height) of a slice of `shape` (rows, columns), and its pixels a millimetre."""
    width_mm, height_mm = shape[1] * spacing_mm[0], shape[0] * spacing_mm[1]
    scale = min(PANEL_WIDTH / width_mm, PANEL_HEIGHT / height_mm)
    return (max(1, round(width_mm * scale)), max(1, round(height_mm * scale))), scale


def _compose(rows: Sequence[_Row], columns: Sequence[str], labels: Labels, title: str | None) -> bytes:
    width = len(columns) * (PANEL_WIDTH + GAP) - GAP
    legend, legend_height = place_legend(labels, width)
    y = HEAD * (2 if title else 1)
    canvas = Image.new("RGB", (width, y + sum(row.height + GAP for row in rows) + legend_height), PAPER)
    draw = ImageDraw.Draw(canvas)
    if title:
        draw.text((0, 4), printable(title, 2 * LONGEST_NAME), INK, font(TEXT + 1))
    for column, name in enumerate(columns):
        draw.text((column * (PANEL_WIDTH + GAP), y - HEAD + 5), name, MUTED, font(TEXT))
    for row in rows:
        for column, panel in enumerate(row.panels):
            _paste(canvas, draw, panel, columns[column], (column * (PANEL_WIDTH + GAP), y, row.height))
        _annotate(draw, row, y)
        y += row.height + GAP
    for name, text, x, line in legend:
        middle = y + line * LINE + LINE // 2
        draw.rectangle((x, middle - 6, x + 12, middle + 6), labels.colour(name))
        draw.text((x + SWATCH, middle), text, INK, font(TEXT), anchor="lm")
    file = io.BytesIO()
    canvas.save(file, "PNG", compress_level=4)
    return file.getvalue()


def _paste(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, panel: Pixels | None, name: str, cell: tuple[int, int, int]
) -> None:
    """Put a panel into its cell (left, top, height), centred on black."""
    left, top, height = cell
    draw.rectangle((left, top, left + PANEL_WIDTH - 1, top + height - 1), (0, 0, 0))
    if panel is None:
        middle = (left + PANEL_WIDTH // 2, top + height // 2)
        draw.text(middle, f"no {name}", FAINT, font(TEXT), anchor="mm")
    else:
        canvas.paste(Image.fromarray(panel), (left + (PANEL_WIDTH - panel.shape[1]) // 2, top))


def _annotate(draw: ImageDraw.ImageDraw, row: _Row, top: int) -> None:
    """Orientation letters, the plane's name and a bar of known length, in the first column."""
    plane, scale, height = row.plane, row.scale, row.height
    if plane is PICTURE:
        return
    write = functools.partial(draw.text, fill=LETTER, font=font(TEXT), stroke_width=1, stroke_fill=(0, 0, 0))
    write((6, top + height // 2), plane.left, anchor="lm")
    write((PANEL_WIDTH - 6, top + height // 2), plane.right, anchor="rm")
    write((PANEL_WIDTH // 2, top + 4), plane.top, anchor="ma")
    write((6, top + height - 6), plane.name, anchor="ls")
    length_mm = next((mm for mm in BAR_LENGTHS_MM if mm * scale <= PANEL_WIDTH / 3), None)
    if length_mm is not None:
        right, bottom = PANEL_WIDTH - 8, top + height - 7
        box = (right - round(length_mm * scale), bottom - 2, right, bottom)
        draw.rectangle(box, LETTER, (0, 0, 0))
        write(((box[0] + right) // 2, bottom - 6), f"{length_mm} mm", anchor="ms")
