"""The tables of a comparison: as CSV with all that is known, as Markdown and LaTeX, and as lines for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medseg import files
from medseg.metrics.case_table import write_rows
from medseg.metrics.catalogue import POLICY
from medseg.metrics.summary import EMPTIES
from medseg.reports.comparison.beside import BASELINE, KNOWN
from medseg.reports.comparison.published import PublishedRow
from medseg.reports.comparison.results import Comparison, Pair, Score
from medseg.reports.comparison.words import (
    difference_text,
    interval_text,
    invented_note,
    label_text,
    leading_metrics,
    p_text,
    verdict_text,
)
from medseg.reports.metric_text import NOTHING, figure, interval, title
from medseg.reports.text_table import Table, as_latex, as_markdown, as_text, markdown, plain, shorten, told_apart

SCORES = ("method", "published", "label", "metric", "distance_unit", "tolerance_mm", "seeds", "n", "n_patients", "mean",
          "low", "high", "sd_cases", "sd_seeds", "rank", "mean_rank", "ranked_cases", *EMPTIES, "source", "data",
          "footnote")  # fmt: skip
PAIRS = ("a", "b", "label", "metric", "distance_unit", "tolerance_mm", "seeds_a", "seeds_b", "n", "n_patients",
         "mean_difference", "low", "high", "low_with_seeds", "high_with_seeds", "median_difference", "wins_a", "p",
         "p_with_seeds", "p_holm", "tests", "different", "better", "absent", "invented_by_a_alone",
         "invented_by_b_alone", "undefined")  # fmt: skip
STATISTICS = (
    "Mean over cases of each case's mean over seeds, with its 95 % interval over patients; SD over cases and over the "
    "seeds' means (n - 1)."
)
TERMINAL = 100  # places
LONGEST_LABEL, LONGEST_METHOD, LONGEST_PAIR, LONGEST_HEAD = 16, 20, 13, 12  # letters on a terminal of 100
AT_ONCE = 4  # metrics in a row beside published ones
SHOWN_NOTES = 6  # of pairs in which one alone invents a structure


def write_tables(folder: Path, found: Comparison, published: Sequence[PublishedRow]) -> None:
    """Write ``scores.csv``, ``scores.md``, ``scores.tex`` (booktabs) and ``comparison.csv``.

    Raises:
        MedsegError: E701, a file cannot be written.
    """
    write_rows(folder / "scores.csv", [*_score_rows(found), *_published_rows(published)], SCORES)
    write_rows(folder / "comparison.csv", _pair_rows(found), PAIRS)
    table, notes = _paper_table(found, published), _notes(published)
    lines = "\n".join(f"- {markdown(note)}" for note in notes)
    files.write_text(folder / "scores.md", f"# Scores by method\n\n{as_markdown(table)}\n{lines}\n")
    comments = "".join(f"% {plain(note)}\n" for note in notes)
    files.write_text(folder / "scores.tex", f"{comments}% Needs \\usepackage{{booktabs}}.\n{as_latex(table)}")


def terminal_lines(found: Comparison, published: Sequence[PublishedRow]) -> list[str]:
    """The scores by method and what every pair came to, in lines of 100 places at most."""
    leading, rows = leading_metrics(found), []
    methods = told_apart(found.methods, LONGEST_METHOD)
    paired = dict(zip(found.methods, told_apart(found.methods, LONGEST_PAIR), strict=True))
    for label in found.labels:
        for place, name in enumerate(methods):
            scores = [found.scores[metric, label][place] for metric in leading]
            first = shorten(plain(label_text(label)), LONGEST_LABEL) if place == 0 else ""
            cells = [f"{figure(each.mean, each.metric)} {_interval(each)}" for each in scores]
            rows.append([first, name, *cells, _counted(scores[0])])
    heads = [title(metric, found.data.unit) for metric in leading]
    lines = as_text(Table(["", "", *(shorten(head, 22) for head in heads), "n"], rows, names=2)) if leading else []
    for metric in leading:
        pairs = found.pairs[metric, found.labels[0]]
        compared = [
            [paired[pair.a], paired[pair.b], difference_text(pair.found.mean, metric),
             interval_text(pair.found.interval, metric), str(pair.found.n), p_text(pair.p_holm),
             verdict_text(pair)]
            for pair in pairs
        ]  # fmt: skip
        what = shorten(f"{title(metric, found.data.unit)}, {plain(label_text(found.labels[0]))}", 90)
        head = ["A", "B", "A - B", "95 % interval", "n", "p (Holm)", "different"]
        lines += ["", what, *as_text(Table(head, compared, names=2)), *_invented_lines(pairs)]
    return lines + _published_lines(found, published)


def _published_lines(found: Comparison, published: Sequence[PublishedRow]) -> list[str]:
    """Each label's published rows with all that they hold, and ours beside: as many tables as the place needs.

    Baselines alone make no table here, but people do: a second observer.
    """
    lines: list[str] = []
    for label in found.labels:
        own = label_text(label)
        entries = [entry for entry in published if own in entry.scores]
        if all(entry.mark == BASELINE and entry.method in KNOWN for entry in entries):
            continue
        held = {metric for entry in entries for metric in entry.scores[own]}
        metrics = [metric for metric in found.directed if metric in held]
        for first in range(0, len(metrics), AT_ONCE):
            chosen = metrics[first : first + AT_ONCE]
            rows = [[name, *(figure(found.scores[metric, label][place].mean, metric) for metric in chosen), ""]
                    for place, name in enumerate(told_apart(found.methods, LONGEST_METHOD))]  # fmt: skip
            rows += [[shorten(plain(entry.method), LONGEST_METHOD),
                      *(figure(entry.scores[own].get(metric), metric) for metric in chosen),
                      entry.mark.partition(",")[0]]
                     for entry in entries if any(metric in entry.scores[own] for metric in chosen)]  # fmt: skip
            heads = [shorten(title(metric, found.data.unit), LONGEST_HEAD) for metric in chosen]
            what = shorten(f"{plain(own)}, beside baselines and what was published", TERMINAL)
            lines += ["", what, *as_text(Table(["", *heads, ""], rows))]
    return lines


def _invented_lines(pairs: Sequence[Pair]) -> list[str]:
    notes = [note for note in map(invented_note, pairs) if note]
    if len(notes) > SHOWN_NOTES:
        notes[SHOWN_NOTES:] = [f"{len(notes) - SHOWN_NOTES} more such pairs: comparison.csv and the page have all"]
    return [line for note in notes for line in textwrap.wrap(f"{note}.", TERMINAL)]


def _score_rows(found: Comparison) -> list[dict[str, Any]]:
    rows = []
    for (metric, label), scores in found.scores.items():
        ranks = found.ranks.get((metric, label))
        for place, score in enumerate(scores):
            low, high = score.interval or (None, None)
            order = {} if ranks is None else {
                "rank": int(ranks[0].ranks[place]), "mean_rank": float(ranks[0].mean_ranks[place]),
                "ranked_cases": ranks[1],
            }  # fmt: skip
            rows.append({
                "method": score.method, "published": "", "label": label_text(label), "metric": metric,
                **_measured(found, metric, label), "seeds": score.n_seeds, "n": score.n, "n_patients": score.n_patients,
                "mean": score.mean, "low": low, "high": high, "sd_cases": score.sd, "sd_seeds": score.sd_seeds,
                **order, **score.empties,
            })  # fmt: skip
    return rows


def _published_rows(published: Sequence[PublishedRow]) -> list[dict[str, Any]]:
    return [
        {"method": entry.method, "published": entry.mark, "label": label, "metric": metric, "n": entry.n, "mean": value,
         "source": entry.source, "data": entry.data, "footnote": entry.footnote}
        for entry in published for label, metrics in entry.scores.items() for metric, value in metrics.items()
    ]  # fmt: skip


def _pair_rows(found: Comparison) -> list[dict[str, Any]]:
    rows = []
    for (metric, label), pairs in found.pairs.items():
        for pair in pairs:
            paired, seeds = pair.found, pair.found.with_seeds
            low, high = paired.interval or (None, None)
            rows.append({
                "a": pair.a, "b": pair.b, "label": label_text(label), "metric": metric,
                **_measured(found, metric, label), "seeds_a": paired.seeds[0], "seeds_b": paired.seeds[1],
                "n": paired.n, "n_patients": paired.n_patients, "mean_difference": paired.mean, "low": low,
                "high": high, "low_with_seeds": seeds and seeds.low, "high_with_seeds": seeds and seeds.high,
                "median_difference": paired.median, "wins_a": paired.wins, "p": paired.p,
                "p_with_seeds": seeds and seeds.p, "p_holm": pair.p_holm, "tests": pair.n_tests,
                "different": pair.different, "better": pair.better if pair.has_leader else "",
                "absent": pair.absent, "invented_by_a_alone": pair.invented[0],
                "invented_by_b_alone": pair.invented[1], "undefined": pair.undefined,
            })  # fmt: skip
    return rows


def _measured(found: Comparison, metric: str, label: str | None) -> dict[str, Any]:
    labels = found.data.labels if label is None else (label,)
    return {"distance_unit": found.data.unit, "tolerance_mm": found.data.tolerance(metric, labels)}


def _paper_table(found: Comparison, published: Sequence[PublishedRow]) -> Table:
    """A row a label, metric and method; published rows below ours."""
    head = ["Label", "Metric", "Method", "Mean [95 % interval]", "SD over cases", "SD over seeds", "Seeds", "n", ""]
    rows = []
    for metric in found.directed:
        for label in found.labels:
            first = [label_text(label), title(metric, found.data.unit)]
            for score in found.scores[metric, label]:
                centre = f"{figure(score.mean, metric)} {_interval(score)}"
                spread = [figure(score.sd, metric), figure(score.sd_seeds, metric), str(score.n_seeds)]
                rows.append([*first, score.method, centre, *spread, _counted(score), ""])
            for place, entry in enumerate(published, start=1):
                value = entry.scores.get(label_text(label), {}).get(metric)
                if value is not None:
                    n = str(entry.n) if entry.n else NOTHING
                    spread = [NOTHING] * 3
                    rows.append([*first, entry.method, figure(value, metric), *spread, n, f"{entry.mark} ({place})"])
    return Table(head, rows, names=3)


def _notes(published: Sequence[PublishedRow]) -> list[str]:
    notes = [f"{STATISTICS} {POLICY[0].upper()}{POLICY[1:]}."]
    return notes + [f"({place}) {describe_published(entry)}" for place, entry in enumerate(published, start=1)]


def describe_published(entry: PublishedRow) -> str:
    """Where a published row is from, on what data, and what is known to be wrong with it."""
    n = f" (n = {entry.n})" if entry.n else ""
    parts = [f"{entry.method}: {entry.mark}. {entry.source}; {entry.data}{n}", entry.footnote]
    return " ".join(f"{part.rstrip('.')}." for part in parts if part)


def _interval(score: Score) -> str:
    low, high = score.interval or (None, None)
    return interval(low, high, score.metric)


def _counted(score: Score) -> str:
    return f"{score.n} ({score.n_patients})" if score.n_patients < score.n else str(score.n)
