"""The pictures of a page's cases: a viewer where a case has slices, else its preview; as many as the budget holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

from medseg.reports import markup
from medseg.reports.damage import read_slices
from medseg.reports.run_folder import RunFolder
from medseg.reports.viewer import QUALITIES, draw_viewer
from medseg.volumes.stack import Stack

POSTERS = 0.15  # of the budget, for what is shown where scripts do not run
MOST_KINDS = 3  # of reductions that are listed
KEPT = "Evaluation kept the slices of large images reduced"
AVERAGED = "To keep the page small, voxels were averaged"


@dataclass
class CasePictures:
    """Pictures by case.

    Attributes:
        html: case to its picture or viewer.
        viewers: cases that have a viewer.
        wide: those whose viewer has several planes.
        known: for how many cases the run folder holds one.
        reduced: sentences on what is not as in the images: slices that evaluation kept reduced, those that were reduced
            to stay inside the budget, and intensities that are compressed.
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
    """
    times = Counter(name for name in names if name in run.stacks or name in run.previews)
    posters = [name for name in times if name in run.stacks and name in run.previews]
    taken, kept, reduced, compressed = CasePictures(), Counter[str](), Counter[str](), 0
    left, ratio = budget_bytes * (1 - POSTERS if posters else 1), 0.0
    for number, (name, occurs) in enumerate(times.items()):
        stack = _read(run, name)
        if stack is not None:
            share = left / (len(times) - number) / occurs
            viewer = draw_viewer(stack, name, labels, share, ratio)
            html = viewer.html
            ratio = len(html) / prod(viewer.size) if viewer.quality == QUALITIES[-1] else ratio
        elif name in run.previews:
            html = _preview(run, name)
        else:
            continue
        if len(html) * occurs > left:
            break
        left -= len(html) * occurs
        taken.html[name] = html
        if stack is not None:
            taken.viewers.add(name)
            taken.wide |= {name} if viewer.wide else set()
            kept[_kept(stack)] += 1
            reduced[viewer.reduced] += 1
            compressed += viewer.quality is not None
    taken.reduced = [*_in_words(KEPT, kept), *_in_words(AVERAGED, reduced)]
    taken.reduced += _compressed(compressed, len(taken.viewers))
    taken.known = sum(name in run.stacks or name in run.previews for name in times)
    left += budget_bytes * POSTERS if posters else 0
    for name in (each for each in posters if each in run.stacks):
        picture = f"<noscript>{_preview(run, name)}</noscript>"
        left -= len(picture) * times[name]
        if left < 0 or name not in taken.html:
            break
        taken.html[name] += picture
    return taken


def _preview(run: RunFolder, name: str) -> str:
    return markup.picture(run.previews[name].read_bytes(), f"{name}: image, reference and prediction")


def _read(run: RunFolder, name: str) -> Stack | None:
    """The slices of a case; what older ones do not say of their modality, the run's record may."""
    stack = read_slices(run, name)
    if stack is None or stack.modality:
        return stack
    return replace(stack, modality=str(run.record.get("modality") or ""))


def _kept(stack: Stack) -> str:
    """How much of its image the stack holds, in words; nothing where it is all."""
    if stack.size == stack.shape:
        return ""
    return " of ".join(f" {markup.TIMES} ".join(map(str, size)) for size in (stack.size, stack.shape)) + " voxels"


def _in_words(what: str, found: Counter[str]) -> list[str]:
    """What was done to how many cases, and with what outcome."""
    kinds = [(words, n) for words, n in found.most_common() if words]
    if not kinds:
        return []
    total = sum(n for _, n in kinds)
    listed = "; ".join(f"{n:,} with {words}" for words, n in kinds[:MOST_KINDS])
    more = "; others with other sizes, which stand below them" if len(kinds) > MOST_KINDS else ""
    return [f"{what} in {_of(total, sum(found.values()))}: {listed}{more}."]


def _compressed(n: int, total: int) -> list[str]:
    return [f"To keep the page small, intensities are not exact (JPEG) in {_of(n, total)}."] if n else []


def _of(n: int, total: int) -> str:
    return f"{n:,} of {markup.count(total, 'case')}"
