"""The curves of probabilities: ROC, precision and recall, and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from medseg.metrics.curves import BINS
from medseg.metrics.summary import mean, value
from medseg.reports.captions import CALIBRATION, PRECISION_RECALL, ROC
from medseg.reports.figure_style import (
    INK,
    MUTED,
    SMALL,
    as_png,
    label_line,
    legend_inches,
    marks,
    name_text,
    new_figure,
    titled,
)
from medseg.reports.metric_text import figure as in_figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
Points = list[dict[str, float]]

HEIGHT_INCHES = 4.3
COUNTED = ("threshold", "tp", "fp", "fn", "tn", "probability_sum")


def draw_probabilities(curves: Sequence[Row], rows: Sequence[Row], labels: Sequence[str]) -> dict[str, bytes]:
    """ROC, precision and recall, and calibration by file name, a line a label; nothing without curves.

    Lines are of the pixels of all cases together; the mean of the areas of single cases stands beside a label where
    ``cases.csv`` has them.

    Args:
        curves: rows of ``curves.csv``.
        rows: of ``cases.csv``.
        labels: their order fixes their colours.
    """
    by_label: dict[str, Points] = {}
    for row in curves:
        by_label.setdefault(str(row["label"]), []).append({name: float(row[name]) for name in COUNTED})
    found = {label: sorted(points, key=lambda point: -point["threshold"]) for label, points in by_label.items()}
    both = {label: points for label, points in found.items() if points[-1]["tp"] and points[-1]["fp"]}
    if not both:
        return {}
    return {
        ROC: _draw(both, labels, rows, "ROC", "roc_auc", _roc, ("false positive rate", "sensitivity")),
        PRECISION_RECALL: _draw(
            both, labels, rows, "Precision and recall", "pr_auc", _precision_recall, ("recall", "precision")
        ),
        CALIBRATION: _draw_calibration(both, labels),
    }


def reliability(points: Sequence[Mapping[str, float]]) -> list[tuple[float, float, int]]:
    """Mean probability, share of the label, and pixels of each bin that holds any, lowest first.

    Bins are of equal width, [0, 1/15), …, [14/15, 1].

    Args:
        points: of one label, highest threshold first, with a threshold at each edge of a bin.
    """
    edges = [i / BINS for i in range(BINS)]
    nearest = [min(points, key=lambda point: abs(point["threshold"] - edge)) for edge in edges]
    nothing = dict.fromkeys(COUNTED, 0.0)
    found = []
    for low, high in pairwise([*nearest, nothing]):
        positives, negatives = low["tp"] - high["tp"], low["fp"] - high["fp"]
        n = positives + negatives
        if n:
            found.append(((low["probability_sum"] - high["probability_sum"]) / n, positives / n, int(n)))
    return found


def _draw(
    found: Mapping[str, Points],
    labels: Sequence[str],
    rows: Sequence[Row],
    title: str,
    metric: str,
    line_of: Any,
    axes_titles: tuple[str, str],
) -> bytes:
    figure = new_figure(HEIGHT_INCHES + legend_inches(len(found), 1))
    axes = _square(titled(figure.add_subplot(), title), *axes_titles)
    for label, points in found.items():
        across, up = zip(*line_of(points), strict=True)
        areas = [v for row in rows if row["label"] == label and (v := value(row, metric)) is not None]
        said = (
            f"{name_text(label)}: mean AUC {in_figures(mean(areas), metric)} (n = {len(areas)})"
            if areas
            else name_text(label)
        )
        axes.plot(across, up, **label_line(label, labels), linewidth=1.6, label=said)
    if metric == "roc_auc":
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
    figure.legend(loc="outside lower left", frameon=False, fontsize=SMALL)
    return as_png(figure)


def _draw_calibration(found: Mapping[str, Points], labels: Sequence[str]) -> bytes:
    figure = new_figure(HEIGHT_INCHES + legend_inches(len(found) + 1, 1))
    axes = _square(titled(figure.add_subplot(), "Calibration"), "mean probability", "share of the label")
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":", label="perfect")
    for label, points in found.items():
        bins = reliability(points)
        across, up = [each[0] for each in bins], [each[1] for each in bins]
        axes.plot(across, up, **label_line(label, labels), label=name_text(label), **marks(bins))
    figure.legend(loc="outside lower left", frameon=False, fontsize=SMALL)
    return as_png(figure)


def _roc(points: Points) -> list[tuple[float, float]]:
    """From (0, 0), where nothing is foreground."""
    return [(0.0, 0.0)] + [(p["fp"] / (p["fp"] + p["tn"]), p["tp"] / (p["tp"] + p["fn"])) for p in points]


def _precision_recall(points: Points) -> list[tuple[float, float]]:
    """Where nothing is foreground precision is not defined: the line begins at the first threshold that finds any."""
    return [(p["tp"] / (p["tp"] + p["fn"]), p["tp"] / (p["tp"] + p["fp"])) for p in points if p["tp"] + p["fp"]]


def _square(axes: Axes, across: str, up: str) -> Axes:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_xlabel(across, fontsize=SMALL, color=MUTED)
    axes.set_ylabel(up, fontsize=SMALL, color=MUTED)
    return axes
