"""The figures of a comparison: every case's score by method, who wins against whom, how firm the order is, volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medseg.metrics.catalogue import METRICS
from medseg.reports.comparison.results import Comparison, case_scores
from medseg.reports.comparison.volume_figure import draw_volumes
from medseg.reports.comparison.words import label_text, leading_metrics
from medseg.reports.figure_style import GRID, INK, MUTED, SMALL, TITLE, as_png, colour, name_text, new_figure, titled
from medseg.reports.figures import jitter, scale_distances
from medseg.reports.metric_text import title
from medseg.reports.text_table import told_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORES, WINS, RANKS, VOLUMES = "scores_", "wins_", "ranks_", "volumes.png"  # in front of the metric's name
IN_A_ROW = 3  # labels, or methods
PANEL_INCHES = 3.4
LINES_UP_TO = 240  # dots joined by lines; more would be a grey area
LONGEST_METHOD, LONGEST_LABEL = 16, 24
ROW_INCHES, FEW_METHODS = (0.6, 0.34), 4  # of a method, where they are few, and where they are many
BOX = 0.64  # of a row
SHADES = 0.75  # of the darkest rank
PALE_FROM = -0.6  # where the colours of a share would begin: its figures stay readable

Array = npt.NDArray[np.float64]


def draw_comparison(found: Comparison) -> dict[str, bytes]:
    """All figures by file name: the scores for each metric, wins and ranks for the leading ones, and the volumes."""
    drawn = {f"{SCORES}{metric}.png": _draw_scores(found, metric) for metric in found.directed}
    for metric in leading_metrics(found):
        drawn |= {f"{WINS}{metric}.png": _draw_wins(found, metric)}
        drawn |= (
            {f"{RANKS}{metric}.png": _draw_ranks(found, metric)} if (metric, found.labels[0]) in found.ranks else {}
        )
    return drawn | ({VOLUMES: draw_volumes(found)} if found.agreement else {})


def short_names(names: Sequence[str]) -> list[str]:
    """Names as figures show them: short, and none like another."""
    return [name_text(name, LONGEST_METHOD) for name in told_apart(names, LONGEST_METHOD)]


def _draw_scores(found: Comparison, metric: str) -> bytes:
    """A panel a label: a box a method, a dot a case, and thin lines that join a case's dots."""
    names = short_names(found.methods)
    figure, grid = _panels(len(found.labels), 0.75 + ROW_INCHES[len(names) > FEW_METHODS] * len(names))
    shown = told_apart([label_text(label) for label in found.labels], LONGEST_LABEL)
    for place, label in enumerate(found.labels):
        axes = titled(grid[place], shown[place])
        values = case_scores(found.data, label, metric)
        shade = (0.38, 0.43, 0.48) if label is None else colour(found.data.labels.index(label))
        _boxes(axes, values, shade)
        known = values[np.isfinite(values)]
        if METRICS[metric].kind == "distance" and len(known):
            scale_distances(axes, known.tolist())
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", labelcolor=INK, labelleft=place % IN_A_ROW == 0)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    figure.suptitle(title(metric, found.data.unit), x=0.01, ha="left", fontsize=11.5, color=INK, fontweight="bold")
    _fit_titles(figure)
    return as_png(figure)


def _fit_titles(figure: Figure) -> None:
    """Make titles that are wider than their axes smaller: so many letters can be narrow or wide."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        shown = axes.set_title(axes.get_title("left"), loc="left", fontsize=TITLE, color=INK, fontweight="bold")
        width = shown.get_window_extent().width
        if width > axes.bbox.width:
            shown.set_fontsize(0.95 * TITLE * axes.bbox.width / width)  # glyphs are hinted anew


def _boxes(axes: Axes, values: Array, shade: tuple[float, float, float]) -> None:
    """Values (methods, cases), NaN where there is none."""
    beside = np.array(jitter(values.shape[1], BOX))  # a case's dots have one place in all methods
    if values.size <= LINES_UP_TO:
        axes.plot(values, np.arange(len(values))[:, None] + beside, color=MUTED, alpha=0.22, linewidth=0.6, zorder=1)
    line = {"color": INK, "linewidth": 1.0}
    for place, row in enumerate(values):
        found = np.isfinite(row)
        known = row[found]
        if not len(known):
            continue
        axes.boxplot(
            [known], positions=[place], orientation="horizontal", widths=BOX, showfliers=False, patch_artist=True,
            boxprops={"facecolor": (*shade, 0.22), "edgecolor": INK, "linewidth": 1.0},
            medianprops={**line, "linewidth": 2}, whiskerprops=line, capprops=line, manage_ticks=False,
        )  # fmt: skip
        axes.scatter(known, place + beside[found], s=11, color=[shade], edgecolors="white", linewidths=0.3, zorder=3)


def win_shares(found: Comparison, metric: str) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Share of cases in which the row's method is better than the column's, and where either one was found to lead."""
    shape = len(found.methods), len(found.methods)
    shares, leads = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    for pair in found.pairs[metric, found.labels[0]]:
        one, two = found.methods.index(pair.a), found.methods.index(pair.b)
        if pair.found.wins is not None:
            shares[one, two], shares[two, one] = pair.found.wins, 1 - pair.found.wins
            leads[one, two] = leads[two, one] = pair.has_leader
    return shares, leads


def rank_shares(found: Comparison, metric: str) -> dict[str, Array]:
    """How often each method has rank 1, 2 and so on where patients are drawn again, the best method first."""
    stability, _ = found.ranks[metric, found.labels[0]]
    return {found.methods[place]: stability.shares[place] for place in np.argsort(stability.ranks, kind="stable")}


def _draw_wins(found: Comparison, metric: str) -> bytes:
    """A matrix of `win_shares`; bold where one of the two leads."""
    names = short_names(found.methods)
    shares, bold = win_shares(found, metric)
    side = 1.6 + 0.52 * len(names)
    figure = new_figure(side, side + 1.4)
    axes = titled(figure.add_subplot(), f"{title(metric, found.data.unit)}: wins, %")
    axes.imshow(shares, cmap="RdBu", vmin=PALE_FROM, vmax=1 - PALE_FROM)
    for row, column in zip(*np.nonzero(np.isfinite(shares)), strict=True):
        weight = "bold" if bold[row, column] else "normal"
        axes.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", fontsize=SMALL, color=INK,
                  fontweight=weight)  # fmt: skip
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(labelcolor=INK, length=0)
    axes.spines["bottom"].set_visible(False)
    axes.grid(visible=False)
    return as_png(figure)


def _draw_ranks(found: Comparison, metric: str) -> bytes:
    """Bars of `rank_shares`, the best method on top."""
    short = dict(zip(found.methods, short_names(found.methods), strict=True))
    bars = rank_shares(found, metric)
    names, of_methods = [short[name] for name in bars], np.stack(list(bars.values()))
    figure = new_figure(1.2 + 0.36 * len(names))
    axes = titled(figure.add_subplot(), f"{title(metric, found.data.unit)}: ranks, % of samples")
    left = np.zeros(len(names))
    for rank in range(len(names)):
        shares = 100 * of_methods[:, rank]
        grey = SHADES * rank / max(1, len(names) - 1)
        red, green, blue = (0.04 + grey * 0.95, 0.36 + grey * 0.62, 0.68 + grey * 0.31)
        axes.barh(range(len(names)), shares, left=left, color=(red, green, blue), height=0.72, edgecolor="white",
                  linewidth=0.6)  # fmt: skip
        for place, (share, start) in enumerate(zip(shares, left, strict=True)):
            if share >= 6:
                axes.text(start + share / 2, place, f"{rank + 1}", ha="center", va="center", fontsize=SMALL,
                          color="white" if grey < SHADES / 2 else INK)  # fmt: skip
        left += shares
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.grid(visible=False)
    axes.set_xlabel("numbers in the bars are ranks", fontsize=SMALL, color=MUTED)
    return as_png(figure)


def _panels(n: int, height_inches: float) -> tuple[Figure, list[Any]]:
    """A figure of n axes, three in a row, which share their vertical scale."""
    columns = min(IN_A_ROW, n)
    rows = math.ceil(n / columns)
    figure = new_figure(0.4 + rows * height_inches, max(5.2, columns * PANEL_INCHES))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True, sharex=False).ravel()
    for spare in grid[n:]:
        spare.set_visible(False)
    return figure, list(grid[:n])
