"""How well mixtures meet the labels of slices, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medseg.reports.figure_style import MUTED, as_png, colour, new_figure, titled

BINS = [n / 40 for n in range(41)]
ASSIGNED = (("sorted_means", "sorted means"), ("best_permutation", "best permutation (oracle)"))


def mixture_figure(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Histograms of the slices' Dice, one panel for each number of labels, as a PNG.

    Args:
        rows: a slice each, with ``n_labels``, ``sorted_means`` and ``best_permutation``.
    """
    numbers = sorted({row["n_labels"] for row in rows if row["n_labels"] > 1}, reverse=True)
    figure = new_figure(2.1 * max(1, len(numbers)))
    for place, n in enumerate(numbers, start=1):
        own = [row for row in rows if row["n_labels"] == n]
        axes = titled(figure.add_subplot(len(numbers), 1, place), f"{len(own):,} slices of {n} labels")
        for index, (name, words) in enumerate(ASSIGNED):
            axes.hist([row[name] for row in own], BINS, alpha=0.6, color=colour(index), label=words)
        axes.set_xlim(0, 1)
        axes.set_ylabel("slices", fontsize=9, color=MUTED)
        if place == len(numbers):
            axes.set_xlabel("mean Dice of a slice's labels", fontsize=9, color=MUTED)
        axes.legend(fontsize=8, frameon=False)
    if not numbers:
        titled(figure.add_subplot(), "no slice has two labels")
    return as_png(figure)
