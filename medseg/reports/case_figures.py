"""The figures of cases: the worst and the best side by side, and slices through the worst, the median and the best."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from medseg.metrics.summary import case_means
from medseg.reports.captions import BEST, SLICES, WORST
from medseg.reports.case_panels import draw_panels, fullest_slice, slice_panel, slices_through
from medseg.reports.metric_text import figure
from medseg.volumes.stack import Stack

K = 4  # worst and best cases; fewer where a case would be both
MOST_SLICES, IN_A_ROW = 20, 4
SHOWN = ("image", "reference", "prediction")


def draw_case_figures(
    rows: Sequence[Mapping[str, Any]], cases: Collection[str], read: Callable[[str], Stack | None]
) -> dict[str, bytes]:
    """The figures by file name, of cases that have a Dice; none where none of those that they show has a stack.

    A case without a stack, or with a damaged one, keeps its rank and its row, with nothing in it.

    Args:
        rows: of ``cases.csv``.
        cases: those that have a stack.
        read: a case's; None where it is damaged.
    """
    dice = {case: mean for case, mean in case_means(rows).items() if mean is not None}
    ordered = sorted(dice, key=lambda case: (dice[case], case))
    if not ordered:
        return {}
    drawn: dict[str, bytes] = {}
    each = min(K, max(1, len(ordered) // 2))
    middles = {"worst": ordered[0], "median": ordered[(len(ordered) - 1) // 2], "best": ordered[-1]}
    shown = dict.fromkeys([*ordered[:each], *ordered[-each:], *middles.values()])
    stacks = {case: stack for case in shown if case in cases and (stack := read(case)) is not None}
    if not stacks:
        return {}
    for name, chosen in ((WORST, ordered[:each]), (BEST, ordered[::-1][:each])):
        if name == WORST or len(ordered) > 1:
            rank = name.partition("_")[0]
            drawn[name] = draw_panels([
                _compared(f"{rank} {place}: {case}", dice[case], stacks.get(case))
                for place, case in enumerate(chosen, start=1)
            ])  # fmt: skip
    seen = set()
    for rank, case in middles.items():
        if case in stacks and case not in seen:
            drawn[SLICES[rank]] = draw_panels(_slices(f"{rank}: {case}", dice[case], stacks[case]))
            seen.add(case)
    return drawn


def _compared(title: str, dice: float, stack: Stack | None) -> tuple[str, list]:
    """A row of three: the image, and the image with either mask."""
    title = f"{title}: Dice {figure(dice, 'dice')}"
    if stack is None:
        return title, [(name, None) for name in SHOWN]
    place = fullest_slice(stack)
    panels = [(name, slice_panel(stack, place, name, name) if name == "image" or name in stack.masks else None)
              for name in SHOWN]  # fmt: skip
    return title, panels


def _slices(title: str, dice: float, stack: Stack) -> list[tuple[str, list]]:
    """Rows of slices with both masks, each with its position."""
    places = slices_through(stack, MOST_SLICES)
    panels = [("", slice_panel(stack, place, "reference", "prediction", _position(stack, *place))) for place in places]
    rows = [panels[start : start + IN_A_ROW] for start in range(0, len(panels), IN_A_ROW)]
    return [(f"{title}: Dice {figure(dice, 'dice')}" if i == 0 else "", row) for i, row in enumerate(rows)]


def _position(stack: Stack, axis: int, index: int) -> str:
    """Where a slice lies: its number, counted from 1, of all; nothing where there is one alone."""
    slices = stack.image.shape[axis]
    return f"{index + 1}/{slices}" if slices > 1 else ""
