"""The confusion matrix: which label the voxels of each label were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medseg.metrics.summary import number
from medseg.reports.captions import CONFUSION
from medseg.reports.figure_style import INK, MUTED, SMALL, WIDTH_INCHES, as_png, name_text, new_figure, titled

MOST_VALUES = 16  # more could not be read; those with most voxels in the reference are shown, the others summed
OTHERS = "others"
ROW_INCHES, HEAD_INCHES, LEFT_INCHES = 0.48, 1.3, 1.2
LONGEST = 16
WHITE_FROM = 0.6  # a share from here upwards has white letters
THOUSANDS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def draw_confusion(rows: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """The figure by file name: a row a reference value, a column a predicted one; the share of the row and the voxels.

    Args:
        rows: of ``confusion.csv``, as text or numbers.
    """
    if not any(number(row["voxels"]) for row in rows):
        return {}
    names, counts = _matrix(rows)
    totals = [sum(line) for line in counts]
    shares = [[n / total if total else 0.0 for n in line] for line, total in zip(counts, totals, strict=True)]
    width = max(WIDTH_INCHES, LEFT_INCHES + 0.62 * len(names))
    figure = new_figure(HEAD_INCHES + ROW_INCHES * len(names), width)
    axes = titled(figure.add_subplot(), "Confusion matrix")
    axes.grid(visible=False, axis="both")
    axes.spines["bottom"].set_visible(False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for r, line in enumerate(counts):
        for p, n in enumerate(line):
            said = f"{_percent(shares[r][p], n)}\n{_short(n)}" if totals[r] else ""
            shown = "white" if shares[r][p] >= WHITE_FROM else INK
            axes.text(p, r, said, ha="center", va="center", fontsize=SMALL - 1.5, color=shown, linespacing=1.1)
    axes.set_xticks(range(len(names)), [name_text(name, LONGEST) for name in names])
    axes.set_yticks(range(len(names)), [name_text(name, LONGEST) for name in names])
    axes.tick_params(labelcolor=INK, length=0)
    if len(names) > 4:
        axes.tick_params(axis="x", rotation=45)
        for text in axes.get_xticklabels():
            text.set_horizontalalignment("right")
            text.set_rotation_mode("anchor")
    axes.set_xlabel("prediction", fontsize=SMALL, color=MUTED)
    axes.set_ylabel("reference", fontsize=SMALL, color=MUTED)
    return {CONFUSION: as_png(figure)}


def _matrix(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[int]]]:
    """Names, and voxels of each reference (rows) and predicted (columns) value; beyond the largest ones, summed."""
    pairs = {(str(row["reference"]), str(row["prediction"])): int(number(row["voxels"]) or 0) for row in rows}
    names = {str(row["reference"]): str(row["reference_name"]) for row in rows}
    sizes = dict.fromkeys(names, 0)
    for (reference, prediction), n in pairs.items():
        sizes[reference] += n
        sizes[prediction] += n
    kept = sorted(names, key=lambda value: -sizes[value])[
        : MOST_VALUES if len(names) <= MOST_VALUES else MOST_VALUES - 1
    ]
    order = [value for value in names if value in kept]
    place = {value: order.index(value) if value in kept else len(order) for value in names}
    shown = [names[value] for value in order] + ([OTHERS] if len(order) < len(names) else [])
    counts = [[0] * len(shown) for _ in shown]
    for (reference, prediction), n in pairs.items():
        counts[place[reference]][place[prediction]] += n
    return shown, counts


def _percent(share: float, n: int) -> str:
    """A share that is neither nothing nor all never reads 0 % or 100 %."""
    if n and share < 0.0005:
        return "<0.1 %"
    if 0.9995 <= share < 1:
        return ">99.9 %"
    return f"{100 * share:.1f} %"


def _short(n: int) -> str:
    """A count in few letters: 987, 12.3k, 4.56M."""
    for size, letter in THOUSANDS:
        if n >= size:
            return f"{n / size:.3g}{letter}" if n < 999.5 * size else f"{n / size:.0f}{letter}"
    return str(n)
