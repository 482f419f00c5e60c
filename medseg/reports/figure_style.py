"""The look that all figures share. matplotlib is loaded where a figure is drawn, without its global state."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medseg.labels import PALETTE
from medseg.reports.text_table import plain, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES, DOTS_AN_INCH = 5.2, 160
INK, MUTED, GRID = "#1d2329", "#626c76", "#e4e7ea"
SMALL, TITLE = 9, 10.5  # points
LONGEST_NAME = 24  # letters
LINE_INCHES = 0.19  # of a legend
FEW_POINTS = 20
DASHES = ("-", "--", ":")


def new_figure(height_inches: float, width_inches: float = WIDTH_INCHES) -> Figure:
    """A white figure that leaves room for all of its texts."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches), dpi=DOTS_AN_INCH, layout="constrained", facecolor="white")


def titled(axes: Axes, title: str, size: float = TITLE) -> Axes:
    """Axes with a title of so many points and quiet lines."""
    axes.set_title(name_text(title, 2 * LONGEST_NAME), loc="left", fontsize=size, color=INK, fontweight="bold")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(labelsize=SMALL, labelcolor=MUTED, color=GRID, length=3)
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def marks(line: Sequence[Any]) -> dict[str, Any]:
    """Dots as well as a line where there are few points."""
    return {"linewidth": 1.6, "marker": "o" if len(line) <= FEW_POINTS else None, "markersize": 3}


def legend_inches(names: int, columns: int = 2) -> float:
    """The height of a legend of so many names."""
    return LINE_INCHES * math.ceil(names / columns)


def colour(index: int) -> tuple[float, float, float]:
    """Of a label by its place, red, green and blue from 0 to 1: that of `medseg.labels.PALETTE`."""
    red, green, blue = PALETTE[index % len(PALETTE)]
    return red / 255, green / 255, blue / 255


def label_line(label: str, labels: Sequence[str]) -> dict[str, Any]:
    """Colour and dashes of a label's line; dashes tell labels apart that share a colour."""
    if label not in labels:
        return {"color": MUTED}
    place = labels.index(label)
    return {"color": colour(place), "linestyle": DASHES[place // len(PALETTE) % len(DASHES)]}


def name_text(name: str, longest: int = LONGEST_NAME) -> str:
    """A user's name as plain text: one short line, no formulas, and no leading ``_`` (which hides it in a legend)."""
    short = shorten(plain(name), longest)
    return (f" {short}" if short.startswith("_") else short).replace("$", r"\$")


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG; the same figure gives the same bytes. Letters that the font lacks are drawn as boxes."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
