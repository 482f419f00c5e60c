"""The page of one run: its figures up front, the scores by label, the curves, the cases, and how it was made."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medseg.metrics.bootstrap import by_patient, mean_interval
from medseg.metrics.catalogue import POLICY
from medseg.metrics.summary import EMPTIES, deviation, metrics_in, number, patient, unit
from medseg.reports import markup
from medseg.reports.captions import BEST, BY_LABEL, VALIDATION, VALIDATION_ERROR, WORST, captions
from medseg.reports.case_list import ScoredCase, draw_cases, worst_first
from medseg.reports.metric_text import NOTHING, figure, interval
from medseg.reports.run_folder import RunFolder, flatten, leading_rows
from medseg.reports.score_tables import counted, mean_of_labels, of_strata, tabulate, titled
from medseg.reports.theme import CSS
from medseg.reports.viewer import script

COMMAND = "python -m monai.bundle run --config_file config.yaml --dataset_dir <data set> --output_dir <new folder>"
STATISTICS = (
    "n is the number of values (and of patients, where those are fewer), sd their sample deviation; the 95 % interval "
    "is that of the mean, from resampling patients."
)
REPRODUCE = "Install the versions above, take the data set with the recorded fingerprint, and run this configuration:"
SHOWN = ("dice", "iou", "hd95", "assd", "nsd", "sensitivity", "precision", "specificity", "accuracy", "roc_auc",
         "pr_auc")  # where they were scored  # fmt: skip
HEAD = ("", "n", "mean", "95 % interval", "sd", "median", "quartiles", "min", "max")
SPARE = 0.99  # of the budget; the rest is for what is not counted
PANELS = 0.5  # of what is left for cases: pictures of several cases give way to slices to scroll through
COMPARED_PIXELS = 480  # of three panels in a row
PANELS_LEFT_OUT = (
    '<p class="note"><strong>Pictures of the worst and the best cases left out</strong> to keep the page small: they '
    "are in <code>figures</code>.</p>"
)
SIDES = "Slices lie across the axis along which they are furthest apart; letters at the edges say which side is which."

Row = dict[str, str]


def build_page(
    run: RunFolder, labels: Sequence[str], figures: Mapping[str, bytes], budget_bytes: float
) -> Iterator[str]:
    """The document, piece by piece. `figures` are PNGs by file name; `labels` fix the colours.

    The whole page takes `budget_bytes` where that is enough for all but the pictures of cases: those get what is left.
    """
    before = [
        _header(run),
        "<h2>Scores by label</h2>",
        *_scores(run, labels),
        _figures("scores", figures),
        _key(run) if any(BY_LABEL in name for name in figures) else "",
        "<h2>Training</h2>",
        _curves(run, figures),
        "<h2>Cases</h2>",
    ]
    after = ["<h2>Details</h2>", _details(run)]
    room = SPARE * budget_bytes - _size([CSS, script(), *before, *after])
    cases = _cases(run, labels, figures, room)
    used = script() if any('class="viewer"' in part for part in cases) else ""
    size = _size([CSS, used, *before, *cases, *after])
    if size > budget_bytes:
        words = f"This page takes {size / 1e6:.2g} MB without pictures of cases, more than the budget for its size."
        before.append(f'<p class="note"><strong>{words}</strong></p>')
    return markup.pieces(f"{_task(run)}: run report", CSS, [*before, *cases, *after], used)


def _cases(run: RunFolder, labels: Sequence[str], figures: Mapping[str, bytes], room: float) -> list[str]:
    """The section of cases, in `room` bytes where that is enough for its scores; what gives way is said."""
    panels = _panels(run, figures)
    if _size([panels]) > PANELS * room:
        panels = PANELS_LEFT_OUT if panels else ""
    return [*draw_cases(run, labels, room - _size([panels])), panels]


def _size(parts: Sequence[str]) -> int:
    return sum(len(part.encode("utf-8", "replace")) for part in parts)


def _header(run: RunFolder) -> str:
    when = _moment(run.record)
    network = run.record.get("network", "")
    network = network.get("name", "") if isinstance(network, Mapping) else network
    line = " · ".join(str(part) for part in (when, network, run.record.get("modality", "")) if part)
    facts = [_dice_fact(run), _held_out_fact(run), _time_fact(run), _worst_fact(run)]
    missing = "".join(f"<li><code>{name}</code>: {step} writes it</li>" for name, step in run.missing.items())
    notice = f'<div class="missing">Not in this folder yet:<ul>{missing}</ul></div>' if missing else ""
    return (
        f'<header><h1>{markup.text(_task(run))}</h1><p class="muted">{markup.text(line or "date not recorded")}</p>'
        f'<dl class="facts">{"".join(facts)}</dl></header>{notice}{markup.SWIPE}'
    )


def _task(run: RunFolder) -> str:
    named = (run.record.get(key) for key in ("task", "bundle", "name"))
    return next((name for name in named if name and isinstance(name, str)), run.path.resolve().name)


def _dice_fact(run: RunFolder) -> str:
    rows = leading_rows(run.cases)
    cases = [case for case in worst_first(rows) if case.dice is not None]
    if cases:
        entries = tabulate(rows, ("dice",))
        subset = rows[0].get("subset", "")
        labels = {entry["label"] for entry in entries if entry["n"] and not entry["baseline"]}
        note = f"mean over {markup.count(len(labels), 'label')} of the mean over cases; "
        note += f"n = {markup.count(len(cases), 'case')}{f' ({subset})' if subset else ''}"
        overall = mean_of_labels(entries, "dice")
        note += _spread(cases, overall)
        return markup.fact("Mean Dice", figure(overall, "dice"), markup.text(note), main=True)
    if rows:
        return markup.fact("Mean Dice", NOTHING, "every label is absent from every case", main=True)
    errors = [v for row in run.log if (v := number(row.get("val_mae"))) is not None]
    if errors:
        note = "mean absolute error of rebuilt images in training, in the units that the network is fed"
        return markup.fact("Best validation error", f"{min(errors):.4g}", note, main=True)
    best = max((v for row in run.log if (v := number(row.get("val_mean_dice"))) is not None), default=None)
    return markup.fact("Best validation Dice", figure(best, "dice"), "during training; not evaluated", main=True)


def _spread(cases: Sequence[ScoredCase], overall: float | None) -> str:
    """Over cases; the interval only where the mean over cases is the mean over labels (no label is absent)."""
    values = [case.dice for case in cases if case.dice is not None]
    spread = deviation(values)
    note = f", sd over cases {spread:.3f}" if spread is not None else ""
    sums = by_patient(values, [patient(case.rows[0]) for case in cases])
    found = mean_interval(sums, 0.0, 1.0)
    if found and overall is not None and math.isclose(sums.mean, overall, abs_tol=1e-9):
        note += f"; 95 % interval {interval(*found, 'dice')}"
    return note


def _held_out_fact(run: RunFolder) -> str:
    rows = leading_rows(run.cases)
    held = {row["case"] for row in rows} if rows else {str(case.get("case")) for case in _subset(run, "validate")}
    groups = {row.get("group") or row["case"] for row in rows}
    notes = [f"of {markup.count(len(groups), 'group')}"] if 0 < len(groups) < len(held) else []
    notes += [f"{len(_subset(run, 'train')):,} trained on"] if _subset(run, "train") else []
    return markup.fact("Cases held out", f"{len(held):,}" if held else NOTHING, markup.text("; ".join(notes)))


def _time_fact(run: RunFolder) -> str:
    seconds = [v for row in run.log if (v := number(row.get("seconds"))) is not None]
    if not seconds:
        return markup.fact("Training time", NOTHING, "no log.csv" if not run.log else "not logged")
    note = f"{markup.count(len(run.log), 'epoch')}, {math.fsum(seconds) / len(seconds):.1f} s each"
    return markup.fact("Training time", markup.duration(math.fsum(seconds)), markup.text(note))


def _worst_fact(run: RunFolder) -> str:
    rows = leading_rows(run.cases)
    worst = next((case for case in worst_first(rows) if case.dice is not None), None)
    if worst is None:
        return markup.fact("Worst case", NOTHING, "")
    rank = next(i for i, case in enumerate(worst_first(run.cases)) if case == worst)
    link = f'<a href="#case-{rank}">{markup.text(worst.name)}</a>'
    return markup.fact("Worst case", figure(worst.dice, "dice"), link)


def _scores(run: RunFolder, labels: Sequence[str]) -> list[str]:
    if not run.cases:
        return ['<p class="note">No scores: evaluation writes <code>cases.csv</code>.</p>']
    policy = f"{POLICY[0].upper()}{POLICY[1:]}."
    parts = [f'<p class="note">{markup.text(policy)} {STATISTICS}</p>']
    subsets = list(dict.fromkeys(row.get("subset", "") for row in run.cases))
    for subset in subsets:
        rows = [row for row in run.cases if row.get("subset", "") == subset]
        parts += [f"<h3>{markup.text(subset or 'no subset')}</h3>"] if len(subsets) > 1 else []
        metrics = [metric for metric in SHOWN if metric in metrics_in(rows)]
        parts.append(_summary_table(tabulate(rows, metrics, run.baselines), labels))
    return parts


def _key(run: RunFolder) -> str:
    several = len({row.get("subset", "") for row in run.cases}) > 1
    which = f"{markup.text(leading_rows(run.cases)[0].get('subset', ''))} " if several else ""
    return f'<p class="note">A dot a {which}case; &times; a structure missed or invented.</p>'


def _summary_table(results: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> str:
    rows, previous = [], None
    for result in of_strata(results, ""):
        if (result["label"], result["unit"]) != previous:
            counts = " · ".join(f"{result[kind]} {kind}" for kind in EMPTIES)
            rows.append(markup.label_row(labels.index(result["label"]), result["label"], counts, len(HEAD)))
        previous = result["label"], result["unit"]
        metric = result["metric"]
        centre, sd, median, least, most = (
            figure(result[name], metric) for name in ("mean", "sd", "median", "min", "max")
        )
        sure, middle = (interval(result[a], result[b], metric) for a, b in (("low", "high"), ("q1", "q3")))
        cells = [counted(result), centre, sure, sd, median, middle, least, most]
        rows.append(markup.row(titled(result), cells, strong=None if result["baseline"] else 1))
    return markup.table(HEAD, rows)


def _curves(run: RunFolder, figures: Mapping[str, bytes]) -> str:
    if not run.log:
        return '<p class="note">No curves: training writes <code>log.csv</code>.</p>'
    is_validated = bool({VALIDATION, VALIDATION_ERROR} & figures.keys())
    note = "" if is_validated else '<p class="note">No epoch with validation in <code>log.csv</code>.</p>'
    return note + _figures("training", figures)


def _figures(section: str, figures: Mapping[str, bytes]) -> str:
    named = captions(section, figures)
    shown = [f"<figure>{markup.picture(figures[name], what)}</figure>" for name, what in named.items()]
    return f'<div class="figures">{"".join(shown)}</div>' if shown else ""


def _panels(run: RunFolder, figures: Mapping[str, bytes]) -> str:
    """The pictures of several cases, folded: the slices to scroll through stand before them."""
    named = captions("cases", figures)
    shown = {name: markup.wide_figure(markup.picture(figures[name], what), f"{what}.",
                                      COMPARED_PIXELS if name in (WORST, BEST) else markup.LEAST_PIXELS)
             for name, what in named.items()}  # fmt: skip
    beside = "".join(shown.pop(name) for name in (WORST, BEST) if name in shown)
    summary = "<summary>The worst and the best cases in pictures, and slices through one of each</summary>"
    note = f'<p class="note">{SIDES}</p>' if any(unit(row) == "mm" for row in run.cases) else ""
    body = f'{note}<div class="figures">{beside}</div><div class="panels">{"".join(shown.values())}</div>'
    return f'<details class="more">{summary}{body}</details>' if named else ""


def _details(run: RunFolder) -> str:
    parts = ["<h3>Split</h3>", markup.pairs(_split(run))] if run.split else []
    if run.record:
        parts += ["<h3>Record</h3>", markup.pairs(flatten(run.record))]
    if run.config:
        parts += [
            "<h3>How to reproduce</h3>",
            f"<p>{REPRODUCE}</p>",
            f'<pre class="command">{markup.text(COMMAND)}</pre>',
            f'<details class="more"><summary>config.yaml</summary><pre>{markup.text(run.config)}</pre></details>',
        ]
    return "\n".join(parts) or '<p class="note">Nothing recorded: training writes these files.</p>'


def _split(run: RunFolder) -> list[tuple[str, Any]]:
    names = [name for name, members in run.split.items() if isinstance(members, list)]
    groups = {name: {str(case.get("group") or case.get("case")) for case in _subset(run, name)} for name in names}
    sizes = [
        (name, f"{markup.count(len(_subset(run, name)), 'case')}, {markup.count(len(groups[name]), 'group')}")
        for name in names
    ]
    everyone = [group for members in groups.values() for group in members]
    shared = len(everyone) - len(set(everyone))
    return [
        *flatten({k: v for k, v in run.split.items() if k not in names}),
        *sizes,
        ("groups in two subsets", shared),
    ]


def _subset(run: RunFolder, name: str) -> list[Mapping[str, Any]]:
    return [case for case in run.split.get(name) or [] if isinstance(case, Mapping)]


def _moment(record: Mapping[str, Any]) -> str:
    """When the run finished, or else when it started; both are recorded in ISO 8601."""
    found = {name.rpartition(" · ")[2]: str(moment) for name, moment in flatten(record) if moment}
    if "finished" in found:
        return _readable(found["finished"])
    return f"started {_readable(found['started'])}, not finished" if "started" in found else ""


def _readable(moment: str) -> str:
    try:
        when = datetime.datetime.fromisoformat(moment)
    except ValueError:
        return moment
    return f"{when.day} {when:%B %Y, %H:%M %Z}".strip()
