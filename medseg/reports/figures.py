"""The figures of scores: a box a label and a dot a case."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medseg.metrics.catalogue import METRICS
from medseg.metrics.summary import unit, value
from medseg.reports.captions import BY_LABEL
from medseg.reports.figure_style import GRID, INK, MUTED, SMALL, as_png, colour, name_text, new_figure, titled
from medseg.reports.metric_text import title as title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]

LOG_DISTANCES_FROM = 10.0  # the largest distance over the median
DISTANCE_TICKS = (1, 3, 10, 30, 100, 300, 1000, 3000)
GOLDEN_RATIO = 0.6180339887498949


def draw_headlines(rows: Sequence[Row], labels: Sequence[str], metrics: Sequence[str]) -> dict[str, bytes]:
    """A figure a metric, as `draw_scores` draws it, by file name; of distances in mm and in px one each."""
    units = list(dict.fromkeys(unit(row) for row in rows))
    drawn: dict[str, bytes] = {}
    for metric in metrics:
        apart = METRICS[metric].kind == "distance" and len(units) > 1
        for one in units if apart else units[:1]:
            members = [row for row in rows if unit(row) == one] if apart else rows
            png = draw_scores(members, labels, metric, title_of(metric, one))
            drawn |= {f"{metric}{BY_LABEL}{f'_{one}' if apart else ''}.png": png} if png else {}
    return drawn


def draw_scores(rows: Sequence[Row], labels: Sequence[str], metric: str, title: str) -> bytes | None:
    """A box and a dot a case for every label; crosses are structures missed or invented. None without values."""
    shown = [(label, [r for r in rows if r["label"] == label and value(r, metric) is not None]) for label in labels]
    shown = [(label, members) for label, members in shown if members]
    if not shown:
        return None
    figure = new_figure(1.1 + 0.65 * len(shown))
    axes = titled(figure.add_subplot(), title)
    for place, (label, members) in enumerate(shown):
        _draw_distribution(axes, place, colour(labels.index(label)), members, metric)
    if METRICS[metric].kind == "distance":
        scale_distances(axes, [v for _, members in shown for row in members if (v := value(row, metric)) is not None])
    axes.set_yticks(range(len(shown)), [f"{name_text(label)}\nn = {len(members)}" for label, members in shown])
    axes.tick_params(axis="y", labelsize=SMALL, labelcolor=INK)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    return as_png(figure)


def _draw_distribution(axes: Axes, place: int, colour: Any, rows: Sequence[Row], metric: str) -> None:
    found = [(v, row.get("empties") in ("missed", "invented")) for row in rows if (v := value(row, metric)) is not None]
    line, beside = {"color": INK, "linewidth": 1.1}, jitter(len(found))
    axes.boxplot(
        [v for v, _ in found], positions=[place], orientation="horizontal", widths=0.55, showfliers=False,
        patch_artist=True, boxprops={"facecolor": (*colour, 0.18), "edgecolor": INK, "linewidth": 1.1},
        medianprops={**line, "linewidth": 2}, whiskerprops=line, capprops=line, manage_ticks=False,
    )  # fmt: skip
    for one_empty, marker in ((False, "o"), (True, "x")):
        dots = [(v, place + beside[i]) for i, (v, e) in enumerate(found) if e is one_empty]
        if dots:
            across, down = zip(*dots, strict=True)
            edge: dict[str, Any] = {"linewidths": 1.5} if one_empty else {"edgecolors": "white", "linewidths": 0.4}
            axes.scatter(across, down, s=22, marker=marker, color=[colour], zorder=3, **edge)


def jitter(n: int, width: float = 0.4) -> list[float]:
    """So many places around a line, spread evenly over a width and always alike, so that equal values stay apart."""
    return [width * ((i * GOLDEN_RATIO) % 1 - 0.5) for i in range(n)]


def scale_distances(axes: Axes, distances: Sequence[float]) -> None:
    """From 0; logarithmic above 1 where a few distances (structures missed) would squeeze all others into a line."""
    if max(distances) > LOG_DISTANCES_FROM * max(1.0, statistics.median(distances)):
        axes.set_xscale("symlog", linthresh=1.0)
        axes.set_xlim(0, 1.3 * max(distances))
        axes.set_xticks([0, *(t for t in DISTANCE_TICKS if t <= 1.3 * max(distances))])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.set_xlabel("logarithmic above 1", fontsize=SMALL, color=MUTED)
    else:
        axes.set_xlim(left=0)
