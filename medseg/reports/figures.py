"""The figures of a run, as PNG. matplotlib is loaded where a figure is drawn, without its global state."""

from __future__ import annotations

import io
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medseg.labels import PALETTE
from medseg.metrics.catalogue import METRICS
from medseg.metrics.summary import number, unit, value
from medseg.reports.metric_text import title as title_of
from medseg.reports.text_table import plain, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]

WIDTH_INCHES, DOTS_AN_INCH = 5.2, 160
INK, MUTED, GRID = "#1d2329", "#626c76", "#e4e7ea"
SMALL = 9
BY_LABEL = "_by_label"  # in the names of figures of scores
LONGEST_NAME = 24
LOG_SCALE_FROM = 100.0  # a learning rate that spans more than this factor is drawn on a logarithmic axis
LOG_DISTANCES_FROM = 10.0  # the largest distance over the median
DISTANCE_TICKS = (1, 3, 10, 30, 100, 300, 1000, 3000)
GOLDEN_RATIO = 0.6180339887498949


def draw_training(log: Sequence[Row]) -> bytes | None:
    """Training loss above, learning rate below, over epochs; None where the log holds no loss."""
    losses = [name for name in (log[0] if log else ()) if name == "loss" or name.startswith("loss_")]
    lines = [(name, line) for name in losses if (line := _column(log, name))]
    if not lines:
        return None
    rates = _column(log, "learning_rate")
    figure = _figure(3.6)
    grid = figure.add_gridspec(2 if rates else 1, 1, height_ratios=(2.4, 1) if rates else (1,))
    upper = _style(figure.add_subplot(grid[0]), "Training loss")
    for i, (name, line) in enumerate(lines):
        upper.plot(*zip(*line, strict=True), color=INK if i == 0 else _colour(i - 1), label=_text(name), **_marks(line))
    if len(lines) > 1:
        upper.legend(frameon=False, fontsize=SMALL)
    lowest = upper
    if rates:
        upper.tick_params(labelbottom=False)
        lowest = _style(figure.add_subplot(grid[1], sharex=upper), "Learning rate")
        lowest.plot(*zip(*rates, strict=True), color=MUTED, **_marks(rates))
        _scale_rate(lowest, [rate for _, rate in rates])
    lowest.set_xlabel("epoch", fontsize=SMALL, color=MUTED)
    return _png(figure)


def draw_validation(log: Sequence[Row], labels: Sequence[str]) -> bytes | None:
    """Validation Dice over epochs, a line a label and the mean, its best epoch marked; None without validation."""
    lines = [(label, line) for label in labels if (line := _column(log, f"val_dice_{label}"))]
    means = _column(log, "val_mean_dice")
    if not lines and not means:
        return None
    figure = _figure(3.6)
    axes = _style(figure.add_subplot(), "Validation Dice")
    for label, line in lines:
        colour = _colour(labels.index(label))
        axes.plot(*zip(*line, strict=True), color=colour, label=_text(label), **_marks(line))
    if means:
        axes.plot(*zip(*means, strict=True), color=INK, label="mean", linewidth=2)
        epoch, best = max(means, key=lambda point: point[1])
        axes.plot([epoch], [best], "o", color=INK, markersize=6, label=f"best mean {best:.3f} (epoch {epoch:g})")
    axes.set_xlabel("epoch", fontsize=SMALL, color=MUTED)
    axes.set_ylim(top=min(1.0, axes.get_ylim()[1]))
    axes.legend(frameon=False, fontsize=SMALL, loc="lower right")
    return _png(figure)


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
    figure = _figure(1.1 + 0.65 * len(shown))
    axes = _style(figure.add_subplot(), title)
    for place, (label, members) in enumerate(shown):
        _draw_distribution(axes, place, _colour(labels.index(label)), members, metric)
    if METRICS[metric].kind == "distance":
        _scale_distances(axes, [v for _, members in shown for row in members if (v := value(row, metric)) is not None])
    axes.set_yticks(range(len(shown)), [f"{_text(label)}\nn = {len(members)}" for label, members in shown])
    axes.tick_params(axis="y", labelsize=SMALL, labelcolor=INK)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    return _png(figure)


def _draw_distribution(axes: Axes, place: int, colour: Any, rows: Sequence[Row], metric: str) -> None:
    found = [(v, row.get("empties") in ("missed", "invented")) for row in rows if (v := value(row, metric)) is not None]
    line = {"color": INK, "linewidth": 1.1}
    axes.boxplot(
        [v for v, _ in found], positions=[place], orientation="horizontal", widths=0.55, showfliers=False,
        patch_artist=True, boxprops={"facecolor": (*colour, 0.18), "edgecolor": INK, "linewidth": 1.1},
        medianprops={**line, "linewidth": 2}, whiskerprops=line, capprops=line, manage_ticks=False,
    )  # fmt: skip
    for one_empty, marker in ((False, "o"), (True, "x")):
        dots = [(v, place + 0.4 * ((i * GOLDEN_RATIO) % 1 - 0.5)) for i, (v, e) in enumerate(found) if e is one_empty]
        if dots:
            across, down = zip(*dots, strict=True)
            edge: dict[str, Any] = {"linewidths": 1.5} if one_empty else {"edgecolors": "white", "linewidths": 0.4}
            axes.scatter(across, down, s=22, marker=marker, color=[colour], zorder=3, **edge)


def _column(log: Sequence[Row], name: str) -> list[tuple[float, float]]:
    """(epoch, value) wherever the column holds a finite number."""
    points = ((number(row.get("epoch")), number(row.get(name))) for row in log)
    return [(epoch, found) for epoch, found in points if epoch is not None and found is not None]


def _figure(height_inches: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH_INCHES, height_inches), dpi=DOTS_AN_INCH, layout="constrained", facecolor="white")


def _style(axes: Axes, title: str) -> Axes:
    axes.set_title(_text(title), loc="left", fontsize=10.5, color=INK, fontweight="bold")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(labelsize=SMALL, labelcolor=MUTED, color=GRID, length=3)
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _scale_rate(axes: Axes, rates: Sequence[float]) -> None:
    if min(rates) > 0 and max(rates) / min(rates) > LOG_SCALE_FROM:
        axes.set_yscale("log")
        axes.minorticks_off()
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:g}")


def _scale_distances(axes: Axes, distances: Sequence[float]) -> None:
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


def _marks(line: Sequence[Any]) -> dict[str, Any]:
    """Dots as well as a line where there are few points."""
    return {"linewidth": 1.6, "marker": "o" if len(line) <= 20 else None, "markersize": 3}


def _colour(index: int) -> tuple[float, float, float]:
    red, green, blue = PALETTE[index % len(PALETTE)]
    return red / 255, green / 255, blue / 255


def _text(name: str) -> str:
    """A user's name as plain text: one short line, no formulas, and no leading ``_`` (which hides it in a legend)."""
    short = shorten(plain(name), LONGEST_NAME)
    return (f" {short}" if short.startswith("_") else short).replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
