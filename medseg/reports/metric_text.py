"""A metric in words: its title with its unit, its values with as many decimals as they deserve."""

from __future__ import annotations

from collections.abc import Sequence

from medseg.metrics.catalogue import METRICS

NOTHING = "\u2013"  # an en dash
FIGURES = 4
HEADLINES = ("dice", "hd95")


def title(metric: str, distance_unit: str) -> str:
    """``Dice``, ``HD95 (mm)``, ``Volume difference (ml)``; `distance_unit` is mm or px."""
    described = METRICS[metric]
    unit = distance_unit if described.unit == "mm" else described.unit
    return f"{described.title} ({unit})" if unit else described.title


def figure(value: float | None, metric: str) -> str:
    """A value with the metric's decimals, fewer where it has more than four figures; or a dash."""
    if value is None:
        return NOTHING
    whole = len(str(int(abs(value))))
    return f"{value:.{max(0, min(METRICS[metric].decimals, FIGURES - whole))}f}"


def interval(low: float | None, high: float | None, metric: str) -> str:
    """``[0.812, 0.931]``, or a dash."""
    return NOTHING if low is None or high is None else f"[{figure(low, metric)}, {figure(high, metric)}]"


def headlines(metrics: Sequence[str]) -> tuple[str, ...]:
    """Dice and HD95 where they are among the metrics, or else the first two."""
    return tuple(metric for metric in HEADLINES if metric in metrics) or tuple(metrics[:2])
