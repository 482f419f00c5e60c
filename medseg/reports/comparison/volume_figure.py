"""Predicted over reference volumes: Bland and Altman's plot, a panel for every label and method."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from medseg.reports.comparison.results import Comparison, volume_points
from medseg.reports.figure_style import INK, MUTED, SMALL, TITLE, as_png, colour, name_text, new_figure, titled
from medseg.reports.text_table import told_apart

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

IN_A_ROW, MOST_PANELS = 3, 24
PANEL_INCHES, ROW_INCHES, HEAD_INCHES = 3.4, 2.1, 0.75
LONGEST_METHOD, LONGEST_LABEL, NAMED = 24, 40, 6


def drawn_labels(found: Comparison) -> list[str]:
    """The labels that have volumes and are drawn: the first ones, as many as give 24 panels, and one at least."""
    known = [label for label in found.data.labels if any((name, label) in found.agreement for name in found.methods)]
    return known[: max(1, MOST_PANELS // len(found.methods))]


def left_out_note(found: Comparison) -> str:
    """Which labels are not drawn, in words; nothing where all are."""
    drawn = drawn_labels(found)
    left = [label for label in found.data.labels
            if label not in drawn and any((name, label) in found.agreement for name in found.methods)]  # fmt: skip
    if not left:
        return ""
    named = ", ".join(left[:NAMED]) + (f" and {len(left) - NAMED} more" if len(left) > NAMED else "")
    return f"Not drawn, but in the table: {named}"


def draw_volumes(found: Comparison) -> bytes:
    """A row of panels a label, a panel a method: predicted minus reference over their mean, a dot a case.

    The line is the bias, the dashed ones are the limits of agreement; panels of a label share their scales.
    """
    labels = drawn_labels(found)
    columns = min(IN_A_ROW, len(found.methods))
    rows = math.ceil(len(found.methods) / columns)
    heights = [HEAD_INCHES + rows * ROW_INCHES] * len(labels)
    figure = new_figure(sum(heights), max(5.2, columns * PANEL_INCHES))
    parts = figure.subfigures(len(labels), 1, squeeze=False)[:, 0]
    for part, label, shown in zip(parts, labels, told_apart(labels, LONGEST_LABEL), strict=True):
        name = name_text(shown, LONGEST_LABEL)
        part.suptitle(name, x=0.01, ha="left", fontsize=TITLE + 1, color=INK, fontweight="bold")
        _draw_label(part, found, label, (rows, columns))
    return as_png(figure)


def _draw_label(part: SubFigure, found: Comparison, label: str, shape: tuple[int, int]) -> None:
    grid = part.subplots(*shape, squeeze=False, sharex=True, sharey=True).ravel()
    shade = colour(found.data.labels.index(label))
    names = told_apart(found.methods, LONGEST_METHOD)
    for place, (axes, method, name) in enumerate(zip(grid, found.data.methods, names, strict=False)):
        titled(axes, name, SMALL)
        axes.axhline(0, color=MUTED, linewidth=0.8, zorder=1)
        points = volume_points(found.data, method, label)
        if points:
            across, up = np.transpose(points)
            axes.scatter(across, up, s=12, color=[shade], edgecolors="white", linewidths=0.3, zorder=3)
            _draw_limits(axes, found.agreement[method.name, label], shade)
        axes.tick_params(labelbottom=place + shape[1] >= len(found.methods))
        if place + shape[1] >= len(found.methods):
            axes.set_xlabel("mean of both volumes, ml", fontsize=SMALL, color=MUTED)
        if place % shape[1] == 0:
            axes.set_ylabel("predicted \u2212 reference, ml", fontsize=SMALL, color=MUTED)
    for spare in grid[len(found.methods) :]:
        spare.set_visible(False)


def _draw_limits(axes: Any, known: Any, shade: tuple[float, float, float]) -> None:
    axes.axhline(known.bias, color=shade, linewidth=1.6)
    for limit in (known.low, known.high):
        if limit is not None:
            axes.axhline(limit, color=shade, linewidth=1, ls="--")
