"""The cases of a run on a page, worst first, each with its picture and scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medseg.metrics.catalogue import METRICS
from medseg.metrics.summary import case_means, number, unit, value
from medseg.reports import markup
from medseg.reports.metric_text import figure
from medseg.reports.run_folder import RunFolder

OPEN_CASES = 6  # the worst ones are unfolded
SHOWN = ("dice", "hd95", "assd", "nsd", "reference_ml", "prediction_ml")  # of a case, where they are known
SHORT = {"reference_ml": "ref. ml", "prediction_ml": "pred. ml"}


@dataclass(frozen=True)
class ScoredCase:
    """One case: its subset, its rows of ``cases.csv`` and its mean Dice over labels (None: every label is absent)."""

    name: str
    subset: str
    rows: list[dict[str, str]]
    dice: float | None


def worst_first(rows: Iterable[dict[str, str]]) -> list[ScoredCase]:
    """Cases by mean Dice over their labels, the worst first; by name where equal; those without a Dice last."""
    members: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        members.setdefault((row["case"], row.get("subset", "")), []).append(row)
    found = [ScoredCase(case, subset, own, case_means(own)[case]) for (case, subset), own in members.items()]
    return sorted(found, key=lambda case: (case.dice is None, case.dice or 0.0, case.name, case.subset))


def draw_cases(run: RunFolder, labels: Sequence[str], budget_bytes: float) -> str:
    """The section of cases. Pictures are taken worst first while they fit into `budget_bytes`, encoded."""
    cases = worst_first(run.cases)
    if not cases:
        return '<p class="note">No scores: evaluation writes <code>cases.csv</code>.</p>'
    known = [case for case in cases if case.name in run.previews]
    pictures: dict[str, bytes] = {}
    left = budget_bytes
    for case in known:
        png = run.previews[case.name].read_bytes()
        left -= 4 * len(png) / 3
        if left < 0:
            break
        pictures[case.name] = png
    several = len({case.subset for case in cases}) > 1
    parts = [_draw_case(case, pictures.get(case.name), labels, rank, several) for rank, case in enumerate(cases)]
    return _note(len(cases), len(known), len(pictures), run) + "".join(parts)


def _note(cases: int, known: int, shown: int, run: RunFolder) -> str:
    sentences = ["Ordered by mean Dice over labels, the worst first. Select a line to open or close it."]
    if shown:
        sentences.append("The patient's right is on the viewer's left; slices are those with most reference.")
    if shown < known:
        sentences.append(
            f"<strong>{markup.count(known - shown, 'picture')} left out</strong> to keep the page small: only the "
            f"worst {shown} are shown, all are in <code>previews</code>."
        )
    if known < cases and "previews" not in run.missing:
        sentences.append(f"{markup.count(cases - known, 'case')} without a picture in <code>previews</code>.")
    return f'<p class="note">{" ".join(sentences)}</p>'


def _draw_case(case: ScoredCase, png: bytes | None, labels: Sequence[str], rank: int, with_subset: bool) -> str:
    tags = [f'<span class="tag plain">{markup.text(case.subset)}</span>'] if with_subset and case.subset else []
    for kind in ("missed", "invented"):
        n = sum(row.get("empties") == kind for row in case.rows)
        tags += [f'<span class="tag">{n} {kind}</span>'] if n else []
    summary = (
        f'<summary><span class="name">{markup.text(case.name)}</span>{"".join(tags)}{_track(case, labels)}'
        f'<span class="dice">{figure(case.dice, "dice")}</span></summary>'
    )
    shown = markup.picture(png, f"{case.name}: image, reference and prediction") if png else ""
    body = f'<div class="body{"" if png else " alone"}">{shown}<div>{_scores(case, labels)}</div></div>'
    return f'<details class="case" id="case-{rank}"{" open" if rank < OPEN_CASES else ""}>{summary}{body}</details>'


def _track(case: ScoredCase, labels: Sequence[str]) -> str:
    """A dot a label, at its Dice between 0 and 1."""
    dots = [
        f'<i style="--at:{100 * min(max(dice, 0.0), 1.0):.1f}%;{markup.tint(labels.index(row["label"]))}"></i>'
        for row in case.rows
        if (dice := value(row, "dice")) is not None
    ]
    return f'<span class="track">{"".join(dots)}</span>'


def _scores(case: ScoredCase, labels: Sequence[str]) -> str:
    of_distances = unit(case.rows[0])
    shown = [metric for metric in SHOWN if any(number(row.get(metric)) is not None for row in case.rows)]
    head = [SHORT.get(metric, METRICS[metric].title) for metric in shown]
    rows = []
    for row in case.rows:
        rows.append(markup.label_row(labels.index(row["label"]), row["label"], row.get("empties", ""), len(head)))
        rows.append(markup.row(None, [figure(value(row, metric), metric) for metric in shown], strong=0))
    spacing = f" {markup.TIMES} ".join(case.rows[0].get("spacing_mm", "").split())
    group = case.rows[0].get("group", "")
    facts = [f"Distances in {of_distances}"]
    facts += [f"spacing {spacing} mm"] if spacing and of_distances == "mm" else []
    facts += [f"group {group}"] if group not in ("", case.name) else []
    return f'{markup.table(head, rows)}<p class="note">{markup.text("; ".join(facts))}.</p>'
