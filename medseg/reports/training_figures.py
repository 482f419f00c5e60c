"""The curves of a training: losses and learning rate over iterations, validation scores over epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medseg.metrics.catalogue import METRICS
from medseg.metrics.summary import number
from medseg.reports.captions import LOSS, VALIDATION, VALIDATION_ERROR, VALIDATION_OF
from medseg.reports.figure_style import (
    GRID,
    INK,
    MUTED,
    SMALL,
    as_png,
    colour,
    label_line,
    legend_inches,
    marks,
    name_text,
    new_figure,
    titled,
)
from medseg.reports.iterations import Iterations
from medseg.reports.metric_text import title as title_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
Line = list[tuple[float, float]]

CRITICS = ("loss_critic", "loss_discriminator")  # what they lose is not what the generator gains: axes of their own
TOTALS = {"loss": "total", "learning_rate": "network"}
HELD_OUT = "val_patch_loss"
PATCHES = {"patch_dice": ("training patches", "-"), "val_patch_dice": ("held-out patches", "--")}
ERRORS = {"val_mae": "network", "val_mae_constant": "each image's median"}
EACH, MEAN = "each iteration", "mean of an epoch"
LOG_SCALE_FROM = 100.0  # what is positive and spans more than this factor is drawn on a logarithmic axis
LOG_RATES_FROM = 10.0  # and rates, whose last ones are often next to nothing, only if their middle half spans this one
BINS = 800  # of a line of more points than twice as many: the lowest and the highest of each are drawn
FAMILIES = {"overlap": "overlaps", "distance": "distances", "plain": "others", "count": "others"}
MOST_TICKS, LONG_TITLE, SMALLEST = 6, 24, 7  # letters from which a title is set in so many points
HEIGHT_INCHES, RATE_INCHES, SMALL_INCHES = 2.4, 1.2, 1.9


def draw_training(log: Sequence[Row], labels: Sequence[str], iterations: Iterations | None = None) -> dict[str, bytes]:
    """The figures of a training by file name, of what ``log.csv`` holds: losses, Dice, and further scores.

    Args:
        log: its rows, as text.
        labels: their order fixes their colours.
        iterations: of ``iterations.csv``; without them losses and learning rates are drawn over epochs.
    """
    scores = validated(log)
    drawn = {LOSS: _draw_losses(log, iterations), VALIDATION: _draw_dice(log, labels, scores.pop("dice", {}))}
    drawn[VALIDATION_ERROR] = _draw_error(log)
    families: dict[str, dict[str, dict[str, Line]]] = {}
    for metric, lines in scores.items():
        families.setdefault(FAMILIES[METRICS[_bare(metric)].kind], {})[metric] = lines
    drawn |= {f"{VALIDATION_OF}{family}.png": _draw_family(log, labels, own) for family, own in families.items()}
    return {name: png for name, png in drawn.items() if png is not None}


def validated(log: Sequence[Row]) -> dict[str, dict[str, Line]]:
    """Metric (of distances with its unit: ``hd95_mm``) to label to its (epoch, value), of ``val_<metric>_<label>``."""
    known = {f"{metric}_{unit}" if described.unit == "mm" else metric
             for metric, described in METRICS.items() for unit in ("mm", "px")}  # fmt: skip
    found: dict[str, dict[str, Line]] = {}
    for column in log[0] if log else ():
        rest = column.removeprefix("val_")
        fitting = [metric for metric in known if rest.startswith(f"{metric}_")] if rest != column else []
        if fitting and (line := _column(log, column)):
            metric = max(fitting, key=len)
            found.setdefault(metric, {})[rest.removeprefix(f"{metric}_")] = line
    return found


def _draw_losses(log: Sequence[Row], iterations: Iterations | None) -> bytes | None:
    """Losses of what is trained, then those of critics, then learning rates, one above the other; None without any."""
    names = [name for name in (log[0] if log else ()) if name in ("loss", HELD_OUT) or name.startswith("loss_")]
    lines = {name: line for name in names if (line := _column(log, name, gaps=True))}
    rates = {name: line for name in (log[0] if log else ()) if name.startswith("learning_rate")
             if (line := _column(log, name))}  # fmt: skip
    ends = dict(_column(log, "iteration"))
    detail = iterations if ends.keys() >= {epoch for line in lines.values() for epoch, _ in line} else None
    if detail is not None:
        middles = _middles(ends)
        lines = {name: [((ends if name == HELD_OUT else middles)[epoch], value) for epoch, value in line]
                 for name, line in lines.items()}  # fmt: skip
        rates = {name: [(ends[epoch], value) for epoch, value in line] for name, line in rates.items()}
        rates |= {"learning_rate": _thinned(detail.number, detail.rate)}
    critics = {name: lines.pop(name) for name in list(lines) if name.startswith(CRITICS)}
    if not lines and not critics:
        return None
    first = "Generator loss" if critics else "Loss" if HELD_OUT in lines else "Training loss"
    parts = [
        (first, lines, HEIGHT_INCHES),
        ("Critic loss", critics, HEIGHT_INCHES),
        ("Learning rate", rates, RATE_INCHES),
    ]
    parts = [part for part in parts if part[1]]
    figure = new_figure(0.6 + sum(height for *_, height in parts))
    grid = figure.add_gridspec(len(parts), 1, height_ratios=[height for *_, height in parts])
    above: Axes | None = None
    for place, (title, own, _) in enumerate(parts):
        axes = titled(figure.add_subplot(grid[place], sharex=above), title)
        raw = _thinned(detail.number, detail.loss) if detail is not None and "loss" in own else []
        _draw_lines(axes, own, is_rate=own is rates, raw=raw)
        axes.tick_params(labelbottom=place == len(parts) - 1)
        above = above or axes
    _label_epochs(figure, log) if detail is None else _label_iterations(figure, ends)
    return as_png(figure)


def _draw_lines(axes: Axes, lines: Mapping[str, Line], is_rate: bool, raw: Line) -> None:
    """The total in ink, what it is the mean of pale, its parts in colours; the learning rate in grey."""
    coloured = 0
    if raw:
        axes.plot(*zip(*raw, strict=True), color=MUTED, alpha=0.45, linewidth=0.6, label=EACH)
    for name, line in lines.items():
        is_first = name in TOTALS
        shown = (MUTED if name == "learning_rate" else INK) if is_first else colour(coloured)
        coloured += not is_first
        said = "held-out patches" if name == HELD_OUT else name.removeprefix("loss_").removeprefix("learning_rate_")
        label = MEAN if raw and is_first else TOTALS.get(name, said)
        axes.plot(*zip(*line, strict=True), color=shown, label=name_text(label), **marks(line))
    if len(lines) > 1 or raw:
        axes.legend(frameon=False, fontsize=SMALL, ncols=2 if len(lines) > 4 else 1)
    values = [v for line in lines.values() for _, v in line if math.isfinite(v)]
    _scale(axes, values, is_rate, positive=all(v > 0 for _, v in raw if math.isfinite(v)))


def _middles(ends: Mapping[float, float]) -> dict[float, float]:
    """The iteration in the middle of each epoch, from those at which epochs end."""
    last, middles = 0.0, {}
    for epoch, end in ends.items():
        middles[epoch], last = (last + 1 + end) / 2, end
    return middles


def _thinned(across: npt.NDArray[np.float64], up: npt.NDArray[np.float64]) -> Line:
    """The points of a line; of very many the lowest and the highest of each of 800 equal parts, in their order."""
    import numpy as np

    places: Sequence[int] = range(len(up))
    if len(up) > 2 * BINS:
        parts = np.array_split(np.arange(len(up)), BINS)
        known = [part[np.isfinite(up[part])] for part in parts]
        ends = [(part[up[part].argmin()], part[up[part].argmax()]) for part in known if len(part)]
        places = sorted({int(place) for pair in ends for place in pair} | {0, len(up) - 1})
    return [(float(across[place]), float(up[place])) for place in places]


def _draw_dice(log: Sequence[Row], labels: Sequence[str], lines: Mapping[str, Line]) -> bytes | None:
    """Dice over epochs, a line a label and the mean, its best epoch marked; None without validation."""
    means = _column(log, "val_mean_dice")
    patches = {column: line for column in PATCHES if (line := _column(log, column))}
    if not lines and not means:
        return None
    figure = new_figure(3.2 + legend_inches(len(lines) + 2 + len(patches)))
    axes = titled(figure.add_subplot(), "Dice" if patches else "Validation Dice")
    _draw_labels(axes, labels, lines)
    for column, line in patches.items():
        said, dashes = PATCHES[column]
        axes.plot(*zip(*line, strict=True), color=MUTED, linestyle=dashes, label=said, **marks(line))
    if means:
        axes.plot(*zip(*means, strict=True), color=INK, label="mean", linewidth=2)
        epoch, best = max(means, key=lambda point: point[1])
        axes.plot([epoch], [best], "o", color=INK, markersize=6, label=f"best mean {best:.3f} (epoch {epoch:g})")
    axes.set_ylim(top=min(1.0, axes.get_ylim()[1]))
    figure.legend(loc="outside lower left", frameon=False, fontsize=SMALL, ncols=2)
    _label_epochs(figure, log)
    return as_png(figure)


def _draw_error(log: Sequence[Row]) -> bytes | None:
    """The mean absolute error of rebuilt images over epochs, beside that of a constant; None without any."""
    lines = {said: line for column, said in ERRORS.items() if (line := _column(log, column))}
    if not lines:
        return None
    figure = new_figure(2.6 + legend_inches(len(lines)))
    axes = titled(figure.add_subplot(), "Validation error (mean absolute)")
    for (said, line), shown in zip(lines.items(), (INK, MUTED), strict=False):
        axes.plot(*zip(*line, strict=True), color=shown, label=said, **marks(line))
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower left", frameon=False, fontsize=SMALL, ncols=2)
    _label_epochs(figure, log)
    return as_png(figure)


def _draw_family(log: Sequence[Row], labels: Sequence[str], scores: Mapping[str, Mapping[str, Line]]) -> bytes:
    """Small axes, one a metric, a line a label; one legend below all."""
    columns = min(2, len(scores))
    rows = math.ceil(len(scores) / columns)
    names = {label for lines in scores.values() for label in lines}
    figure = new_figure(0.7 + SMALL_INCHES * rows + legend_inches(len(names)))
    every = list(figure.subplots(rows, columns, sharex=True, squeeze=False).flat)
    for axes, (metric, lines) in zip(every, scores.items(), strict=False):
        title = title_of(_bare(metric), "px" if metric.endswith("_px") else "mm")
        _draw_labels(titled(axes, title, SMALL if len(title) < LONG_TITLE else SMALLEST), labels, lines)
        _scale(axes, [v for line in lines.values() for _, v in line])
    for place in range(len(scores), len(every)):  # one at most; the axes above it are the lowest of their column then
        every[place].remove()
        every[place - columns].tick_params(labelbottom=True)
        every[place - columns].set_xlabel("epoch", fontsize=SMALL, color=MUTED)
    drawn = {artist.get_label(): artist for axes in figure.axes for artist in axes.get_lines()}
    figure.legend(list(drawn.values()), [str(name) for name in drawn], loc="outside lower left", frameon=False,
                  fontsize=SMALL, ncols=2)  # fmt: skip
    _label_epochs(figure, log, with_iterations=False)
    return as_png(figure)


def _draw_labels(axes: Axes, labels: Sequence[str], lines: Mapping[str, Line]) -> None:
    for label in (*(name for name in labels if name in lines), *(name for name in lines if name not in labels)):
        line = lines[label]
        axes.plot(*zip(*line, strict=True), label=name_text(label), **label_line(label, labels), **marks(line))


def _label_epochs(figure: Figure, log: Sequence[Row], with_iterations: bool = True) -> None:
    """Whole epochs along the lowest axes; above the uppermost the iterations that they end at."""
    from matplotlib.ticker import MaxNLocator

    ends = _column(log, "epoch")
    for axes in figure.axes:
        axes.xaxis.set_major_locator(MaxNLocator(MOST_TICKS if with_iterations else MOST_TICKS - 2, integer=True))
        if len(ends) == 1:
            axes.set_xlim(ends[0][0] - 0.5, ends[0][0] + 0.5)
            axes.set_xticks([ends[0][0]], [f"{ends[0][0]:g}"])
        place = axes.get_subplotspec()
        if place is not None and place.is_last_row():
            axes.set_xlabel("epoch", fontsize=SMALL, color=MUTED)
    iterations = _column(log, "iteration")
    if with_iterations and iterations:
        _add_above(figure.axes[0], iterations, "iteration")


def _label_iterations(figure: Figure, ends: Mapping[float, float]) -> None:
    """Iterations along the lowest axes; above the uppermost the epochs, where they end."""
    from matplotlib.ticker import MaxNLocator

    for axes in figure.axes:
        axes.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
    figure.axes[-1].set_xlabel("iteration", fontsize=SMALL, color=MUTED)
    _add_above(figure.axes[0], [(end, epoch) for epoch, end in ends.items()], "epoch")


def _add_above(axes: Axes, pairs: Line, name: str) -> None:
    """A second axis on top, for what rises with the axis below: pairs of a place there and a whole number."""
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    places, counts = zip(*pairs, strict=True)
    if len(counts) > 1:
        round_counts = MaxNLocator(MOST_TICKS - 1, integer=True).tick_values(counts[0], counts[-1])
        ticks = [int(count) for count in round_counts if counts[0] <= count <= counts[-1]]
    else:
        ticks = [int(counts[0])]
    top = axes.secondary_xaxis("top")
    top.set_xticks([float(np.interp(count, counts, places)) for count in ticks], [f"{count:,}" for count in ticks])
    top.tick_params(labelsize=SMALL, labelcolor=MUTED, color=GRID, length=3)
    top.spines["top"].set_visible(False)
    top.set_xlabel(name, fontsize=SMALL, color=MUTED)


def _scale(axes: Axes, values: Sequence[float], is_rate: bool = False, positive: bool = True) -> None:
    """Logarithmic where positive values span decades: of rates not the last ones alone, but most of the run."""
    spans = bool(values) and positive and min(values) > 0 and max(values) / min(values) > LOG_SCALE_FROM
    if spans and not (is_rate and _middle_half(values) <= LOG_RATES_FROM):
        axes.set_yscale("log")
        axes.minorticks_off()
    elif is_rate:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:g}")


def _middle_half(values: Sequence[float]) -> float:
    """The upper quartile over the lower one."""
    ordered = sorted(values)
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.25, 0.75))
    return high / low


def _column(log: Sequence[Row], name: str, gaps: bool = False) -> Line:
    """(epoch, value) wherever the column holds a number; with `gaps` also NaN where it holds one that is not finite."""
    points: Line = []
    for row in log:
        epoch, found, cell = number(row.get("epoch")), number(row.get(name)), row.get(name)
        if epoch is not None and (found is not None or (gaps and cell)):
            points.append((epoch, math.nan if found is None else found))
    return points if any(math.isfinite(v) for _, v in points) else []


def _bare(metric: str) -> str:
    """A metric without the unit of its distances."""
    return metric if metric in METRICS else metric.rpartition("_")[0]
