"""The cases of a run on a page, worst first, each with its picture and scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medseg.metrics.catalogue import METRICS
from medseg.metrics.summary import case_means, number, unit, value
from medseg.reports import markup
from medseg.reports.case_pictures import CasePictures, take_pictures
from medseg.reports.damage import damage_note
from medseg.reports.metric_text import figure
from medseg.reports.run_folder import RunFolder

OPEN_CASES = 3  # the worst ones are unfolded
FRAME_BYTES = 150  # of HTML around a case
CONTOURS = (
    "The prediction is solid, the reference dashed and lighter; drag on a grey picture to change its window. "
    "Intensities are kept in 256 steps."
)
NO_SCRIPT = "<noscript>Slices need scripts, which are off here; <code>previews</code> holds pictures.</noscript>"
SLICES = (
    "Scroll over a plane for its other slices (on a touch screen swipe sideways over it), or use its slider, or the "
    "arrow, page, home and end keys; click to move the other planes there. Letters at the edges say which side of the "
    "patient is which."
)
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


def draw_cases(run: RunFolder, labels: Sequence[str], budget_bytes: float) -> list[str]:
    """The section of cases, in pieces that take `budget_bytes` where that is enough for their scores."""
    cases = worst_first(run.cases)
    if not cases:
        return ['<p class="note">No scores: evaluation writes <code>cases.csv</code>.</p>']
    several = len({case.subset for case in cases}) > 1
    heads = [_head(case, labels, several) for case in cases]
    scores = [_scores(case, labels) for case in cases]
    left = budget_bytes - sum(map(len, heads)) - sum(map(len, scores)) - FRAME_BYTES * len(cases)
    pictures = take_pictures(run, [case.name for case in cases], labels, left)
    parts = [_note(len(cases), run, pictures)]
    for rank, (case, head, scored) in enumerate(zip(cases, heads, scores, strict=True)):
        shown = pictures.html.get(case.name, "")
        kind = "alone" if not shown or case.name in pictures.wide else ""
        unfolded = " open" if rank < OPEN_CASES else ""
        parts += [f'<details class="case" id="case-{rank}"{unfolded}>{head}<div class="body {kind}">', shown,
                  f"<div>{scored}</div></div></details>"]  # fmt: skip
    return parts


def _note(cases: int, run: RunFolder, pictures: CasePictures) -> str:
    sentences = ["Ordered by mean Dice over labels, the worst first. Select a line to open or close it."]
    shown, known = len(pictures.html), pictures.known
    sentences += [CONTOURS, NO_SCRIPT] if pictures.viewers else []
    if pictures.wide:
        sentences.append(SLICES)
    elif shown > len(pictures.viewers):
        sentences.append("Letters at the edges say which side is which; slices are those with most reference.")
    sentences += [f"<strong>{words}</strong>" for words in pictures.reduced]
    if shown < known:
        kept = f"only the worst {shown} are shown" if shown else "none is shown"
        sentences.append(
            f"<strong>{markup.count(known - shown, 'picture')} left out</strong> to keep the page small: {kept}, all "
            "are in <code>previews</code>."
        )
    if known < cases and "previews" not in run.missing:
        sentences.append(f"{markup.count(cases - known, 'case')} without a picture in <code>previews</code>.")
    damaged = damage_note([("", run)])
    sentences += [f"<strong>{markup.text(damaged)}</strong>"] if damaged else []
    return f'<p class="note">{" ".join(sentences)}</p>'


def _head(case: ScoredCase, labels: Sequence[str], with_subset: bool) -> str:
    tags = [f'<span class="tag plain">{markup.text(case.subset)}</span>'] if with_subset and case.subset else []
    for kind in ("missed", "invented"):
        n = sum(row.get("empties") == kind for row in case.rows)
        tags += [f'<span class="tag">{n} {kind}</span>'] if n else []
    return (
        f'<summary><span class="name">{markup.text(case.name)}</span>{"".join(tags)}{_track(case, labels)}'
        f'<span class="dice">{figure(case.dice, "dice")}</span></summary>'
    )


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
