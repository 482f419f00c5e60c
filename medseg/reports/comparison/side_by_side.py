"""Cases of a comparison, all methods in one row of panels: the worst, those that divide the methods, and the best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medseg.reports import markup
from medseg.reports.case_panels import Panel, draw_panels, longest_side_mm, planes_through, slice_panel
from medseg.reports.comparison.method_runs import Method
from medseg.reports.comparison.results import Array, Comparison, case_scores, seed_scores
from medseg.reports.comparison.words import label_text, leading_metrics
from medseg.reports.damage import damage_note, read_slices
from medseg.reports.metric_text import figure, title
from medseg.reports.run_folder import RunFolder
from medseg.reports.text_table import plain
from medseg.volumes.stack import Stack

K = 8  # cases of each kind
IN_A_ROW = 6  # panels
KINDS = ("Worst cases", "Cases on which the methods differ most", "Best cases")
NOTE = "Figures beside the cases' names are means over methods and seeds."
PANELS = (
    "Three planes, each through the slice with most reference (pictures as they are, thin volumes in one plane); "
    "letters at the edges say which side is which. Filled: the reference; outlined: the prediction. Figures over "
    "panels are scores of the run that is shown, the first one of each method."
)
OVER_BUDGET = (
    "Even without pictures of cases this page is larger than was asked for: tables and figures are never left out."
)


@dataclass(frozen=True)
class _Picture:
    """A PNG and what it shows: a row of panels of all methods, or one method's own picture."""

    png: bytes
    what: str
    method: str = ""

    @property
    def of_slices(self) -> bool:
        return not self.method


def choose_cases(values: Array, higher_is_better: bool, k: int = K) -> list[list[int]]:
    """The places of the worst cases by their mean over methods, of those with the largest range, and of the best.

    Args:
        values: (methods, cases), NaN where a method has none; cases without any value are never chosen.
        higher_is_better: of the metric.
        k: most cases of each kind; the best are none of the worst.
    """
    known = np.flatnonzero(np.isfinite(values).any(axis=0))
    means = np.nanmean(values[:, known], axis=0) * (1 if higher_is_better else -1)
    ranges = np.nanmax(values[:, known], axis=0) - np.nanmin(values[:, known], axis=0)
    order = known[np.argsort(means, kind="stable")].tolist()
    divided = [int(place) for place in known[np.argsort(-ranges, kind="stable")][:k] if np.ptp(_finite(values, place))]
    return [order[:k], divided, order[k:][-k:][::-1]]


def draw_cases(found: Comparison, budget_bytes: float) -> Iterator[str]:
    """The section of cases, piece by piece. Pictures are taken, worst first, while they fit into `budget_bytes`."""
    metrics = leading_metrics(found)
    if not metrics:
        return
    metric, label = metrics[0], found.labels[0]
    values = case_scores(found.data, label, metric)
    of_seeds = [seed_scores(found.data, method, label, metric) for method in found.data.methods]
    by = f"{title(metric, found.data.unit)}, {label_text(label)}"
    yield f'<p class="note">{markup.text(NOTE)} Cases are chosen by {markup.text(by)}.</p>'
    if budget_bytes <= 0:
        yield f'<p class="note"><strong>{OVER_BUDGET}</strong></p>'
    shown, explained = set[int](), False
    left, lost = budget_bytes, set[int]()
    for kind, places in zip(KINDS, choose_cases(values, found.pairs[metric, label][0].found.higher_is_better),
                            strict=True):  # fmt: skip
        yield f"<h3>{kind}</h3>" if places else ""
        above = [place for place in places if place in shown]
        for place in (place for place in places if place not in shown):
            case, scores = found.data.cases[place], [own[:, place] for own in of_seeds]
            pngs = _pictures(found.data.methods, case, scores, metric) if left > 0 else []
            left -= sum(4 * len(each.png) / 3 for each in pngs)
            if left <= 0:
                lost.add(place)
                continue
            shown.add(place)
            if not explained and any(each.of_slices for each in pngs):
                explained = True
                yield f'<p class="note">{PANELS}</p>'
            yield _case(case, place, pngs, figure(float(np.nanmean(values[:, place])), metric))
        links = ", ".join(f'<a href="#case-{place}">{markup.text(found.data.cases[place])}</a>' for place in above)
        yield f'<p class="note">Shown above: {links}.</p>' if above else ""
    if lost:
        yield (
            f'<p class="note"><strong>{markup.count(len(lost), "case")} left out</strong> to keep the page small; '
            "their pictures are in the runs' <code>previews</code>.</p>"
        )
    note = damaged(found.data.methods)
    if note:
        yield f'<p class="note"><strong>{markup.text(note)}</strong></p>'


def damaged(methods: Sequence[Method]) -> str:
    """Which pictures and slices are damaged, as far as they were read; nothing where none is."""
    return damage_note([(f"{method.name}: {run.path.name}/", run) for method in methods for run in method.runs])


def _case(case: str, place: int, pngs: Sequence[_Picture], mean: str) -> str:
    if not pngs:
        return f'<p id="case-{place}">{markup.text(plain(case))}: mean {mean}; no picture.</p>'
    head = f'<h4 class="name" id="case-{place}">{markup.text(plain(case))}: mean {mean}</h4>'
    return head + "".join(markup.wide_figure(markup.picture(each.png, each.what), each.method) for each in pngs)


def _pictures(methods: Sequence[Method], case: str, scores: Sequence[Array], metric: str) -> list[_Picture]:
    """One row of panels where every method has slices of the case; else the picture that each run made."""
    runs = [_run_of(method, case) for method in methods]
    names = [plain(method.name) for method in methods]
    stacks = _alike([read_slices(run, case) if run else None for run, _ in runs])
    if stacks:
        texts = [f"{name} {figure(_or_none(own[seed]), metric)}"
                 for name, own, (_, seed) in zip(names, scores, runs, strict=True)]  # fmt: skip
        return [_Picture(_row(stacks, texts), f"{case}: image, reference and predictions of {', '.join(names)}")]
    previews = [(name, run.previews.get(case)) for name, (run, _) in zip(names, runs, strict=True) if run]
    return [_Picture(path.read_bytes(), f"{case}: image, reference and prediction of {name}", name)
            for name, path in previews if path]  # fmt: skip


def _run_of(method: Method, case: str) -> tuple[RunFolder | None, int]:
    """The first run that has pictures of the case, and which of the method's seeds it is."""
    for place, run in enumerate(method.runs):
        if case in run.stacks or case in run.previews:
            return run, 0 if method.n_folds > 1 else place
    return None, 0


def _alike(stacks: Sequence[Stack | None]) -> list[Stack]:
    """Of all methods, on one grid; or none."""
    found = [stack for stack in stacks if stack is not None]
    alike = len(found) == len(stacks) and all(stack.image.shape == found[0].image.shape for stack in found)
    return found if alike else []


def _row(stacks: Sequence[Stack], texts: Sequence[str]) -> bytes:
    """Image, reference, and each method's prediction over the reference, a row a plane, all to one scale."""
    cuts = planes_through(stacks[0])
    extent_mm = longest_side_mm(stacks[0])
    shown = [("image", stacks[0], None, None), ("reference", stacks[0], "reference", "reference")]
    shown += [(text, stack, "reference", "prediction") for text, stack in zip(texts, stacks, strict=True)]
    rows: list[tuple[str, list[tuple[str, Panel | None]]]] = []
    for start in range(0, len(shown), IN_A_ROW):
        for number, (name, place) in enumerate(cuts):
            panels = [slice_panel(stack, place, filled, outlined, "" if i else name, extent_mm=extent_mm)
                      for i, (_, stack, filled, outlined) in enumerate(shown[start : start + IN_A_ROW])]  # fmt: skip
            heads = ["" if number else text for text, *_ in shown[start : start + IN_A_ROW]]
            rows.append(("", list(zip(heads, panels, strict=True))))
    return draw_panels(rows)


def _finite(values: Array, place: int) -> Array:
    column = values[:, place]
    return column[np.isfinite(column)]


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
