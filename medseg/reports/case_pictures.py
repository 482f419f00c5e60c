"""The pictures of a page's cases: a viewer where a case has slices, else its preview; as many as the budget holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from medseg.reports import markup
from medseg.reports.run_folder import RunFolder
from medseg.reports.viewer import QUALITIES, draw_viewer
from medseg.volumes.stack import read_stack

POSTERS = 0.15  # of the budget, for what is shown where scripts do not run
MOST_KINDS = 3  # of reductions that are listed


@dataclass
class CasePictures:
    """Pictures by case.

    Attributes:
        html: case to its picture or viewer.
        viewers: cases that have a viewer.
        wide: those whose viewer has several planes.
        known: for how many cases the run folder holds one.
        reduced: sentences on what was reduced to stay inside the budget.
    """

    html: dict[str, str] = field(default_factory=dict)
    viewers: set[str] = field(default_factory=set)
    wide: set[str] = field(default_factory=set)
    known: int = 0
    reduced: list[str] = field(default_factory=list)


def take_pictures(run: RunFolder, names: Sequence[str], labels: Sequence[str], budget_bytes: float) -> CasePictures:
    """Pictures for cases, the most important first.

    Every case has an equal share of what is left. A viewer that does not fit into it shows fewer and smaller slices,
    and a case for which even that is too much has no picture, nor have those after it.

    Args:
        run: where the pictures are.
        names: cases, in the order of their importance; a case may occur twice.
        labels: names in the order of their colours.
        budget_bytes: what the pictures may take in the page, encoded.

    Raises:
        DataError: E105, a file of slices is damaged.
    """
    times = Counter(name for name in names if name in run.stacks or name in run.previews)
    posters = [name for name in times if name in run.stacks and name in run.previews]
    taken, reduced = CasePictures(known=len(times)), Counter[str]()
    left, ratio = budget_bytes * (1 - POSTERS if posters else 1), 0.0
    for number, (name, occurs) in enumerate(times.items()):
        if name in run.stacks:
            share = left / (len(times) - number) / occurs
            viewer = draw_viewer(read_stack(run.stacks[name]), name, labels, share, ratio)
            html = viewer.html
            ratio = len(html) / prod(viewer.size) if viewer.quality == QUALITIES[-1] else ratio
        else:
            html = _preview(run, name)
        if len(html) * occurs > left:
            break
        left -= len(html) * occurs
        taken.html[name] = html
        if name in run.stacks:
            taken.viewers.add(name)
            taken.wide |= {name} if viewer.wide else set()
            reduced[viewer.reduced] += 1
    taken.reduced = _in_words(reduced)
    left += budget_bytes * POSTERS if posters else 0
    for name in posters:
        picture = f"<noscript>{_preview(run, name)}</noscript>"
        left -= len(picture) * times[name]
        if left < 0 or name not in taken.html:
            break
        taken.html[name] += picture
    return taken


def _preview(run: RunFolder, name: str) -> str:
    return markup.picture(run.previews[name].read_bytes(), f"{name}: image, reference and prediction")


def _in_words(reduced: Counter[str]) -> list[str]:
    """What was done to how many cases."""
    kinds = [(words, n) for words, n in reduced.most_common() if words]
    if not kinds:
        return []
    total = sum(n for _, n in kinds)
    listed = "; ".join(f"{n:,} with {words}" for words, n in kinds[:MOST_KINDS])
    more = "; others with other sizes, which stand below them" if len(kinds) > MOST_KINDS else ""
    of = f"{total:,} of {markup.count(sum(reduced.values()), 'case')}"
    return [f"To keep the page small, voxels were averaged in {of}: {listed}{more}."]
