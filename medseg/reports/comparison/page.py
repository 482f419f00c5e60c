"""The page of a comparison: what was found in words, then tables, figures, cases side by side, and what was run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from medseg.metrics.catalogue import METRICS, POLICY
from medseg.metrics.summary import EMPTIES
from medseg.reports import markup
from medseg.reports.comparison.figures import RANKS, SCORES, VOLUMES, WINS
from medseg.reports.comparison.paired_scores import other_metrics
from medseg.reports.comparison.published import MARK, PublishedRow
from medseg.reports.comparison.results import MEAN, Comparison, Pair, Score
from medseg.reports.comparison.same_method import unlike_runs
from medseg.reports.comparison.settings import data_set, report_links
from medseg.reports.comparison.side_by_side import draw_cases
from medseg.reports.comparison.tables import STATISTICS, describe_published
from medseg.reports.comparison.volume_figure import left_out_note
from medseg.reports.comparison.what_was_run import draw_facts, missing_files, unequal
from medseg.reports.comparison.words import (
    difference_text,
    headline,
    interval_text,
    invented_note,
    label_text,
    leader,
    leading_metrics,
    left_out,
    p_text,
    seeds_note,
    verdict_text,
)
from medseg.reports.metric_text import NOTHING, figure, interval, title
from medseg.reports.text_table import plain, shorten
from medseg.reports.theme import CSS

SCORE_HEAD = ("", "n", "mean", "95 % interval", "sd cases", "sd seeds", "missed", "invented", "rank", "mean rank")
PAIR_HEAD = ("", "verdict", "p (Holm)", "difference", "95 % interval", "over seeds too", "n", "p", "wins", "median")
TESTS = (
    "Difference: first minus second method, mean over cases that both have a value of; its interval is over patients. "
    "Where one method invents a structure and the other rightly finds nothing, the other has the best value (overlaps "
    "1, distances 0) in pairs, wins and ranks; tables of means and the figure of scores leave that value out. "
    "Wins: share of these cases in which the first method is better, ties half. p: Wilcoxon's signed-rank test over "
    "patients. p (Holm): corrected for all pairs and labels of the metric; where both methods have seeds, the larger "
    "one of this p and that of the interval over seeds is corrected. Different: p (Holm) below 0.05. Not shown is not "
    "the same as equal. Too few: so few patients cannot give such a p, whatever their scores. "
    "No leader: the mean and the ranks favour different methods."
)
RANKED = (
    "Rank: by mean score, over the cases in which every method has a value (as in pairs). Mean rank: over cases. Tau: "
    "Kendall's between this order and that of 2000 samples of the same patients drawn again, mean and 2.5 % quantile."
)
LONGEST, NAMED = 60, 3
SPARE = 0.97  # of the budget; the rest is for what is not counted


def build_page(
    found: Comparison,
    published: Sequence[PublishedRow],
    figures: Mapping[str, bytes],
    budget_bytes: float,
    out: Path | None = None,
    notices: Sequence[str] = (),
) -> Iterator[str]:
    """The document, piece by piece.

    Args:
        found: all results.
        published: rows that stand beside ours.
        figures: PNGs by file name, as `medseg.reports.comparison.figures.draw_comparison` gave them.
        budget_bytes: of the page. Cases get what the rest leaves of it.
        out: the folder that the page will lie in, from which it leads to the pages of the runs; None leads nowhere.
        notices: what a reader must know of the comparison first, in words.
    """
    before = [_header(found, notices), _found(found), *_metrics(found, published, figures), _volumes(found, figures)]
    after = [_run(found, out), _published(found, published), "<h2>How to read this</h2>", _notes()]
    spent = sum(len(part.encode("utf-8", "replace")) for part in (CSS, *before, *after))
    cases = ["<h2>Cases side by side</h2>", *draw_cases(found, SPARE * budget_bytes - spent)]
    return markup.pieces(f"Comparison of {_names(found)}", CSS, [*before, *cases, *after])


def _names(found: Comparison) -> str:
    return ", ".join(shorten(plain(name), LONGEST) for name in found.methods)


def _header(found: Comparison, notices: Sequence[str]) -> str:
    data = found.data
    tasks = dict.fromkeys(str(run.record["task"]) for method in data.methods for run in method.runs
                          if run.record.get("task"))  # fmt: skip
    sets = dict.fromkeys(data_set(run) for method in data.methods for run in method.runs)
    line = " · ".join(shorten(plain(part), LONGEST) for part in [*tasks, *sets, data.subset] if part)
    patients = len(set(data.patients))
    of = f"of {markup.count(patients, 'patient')}" if patients < len(data.cases) else ""
    facts = [_leader_fact(found), markup.fact("Methods", f"{len(data.methods)}", _runs(found)),
             markup.fact("Cases", f"{len(data.cases):,}", of), _pairs_fact(found)]  # fmt: skip
    return (
        f'<header><h1>{markup.text(_names(found))}</h1><p class="muted">{markup.text(line or "a comparison")}</p>'
        f'<dl class="facts">{"".join(facts)}</dl></header>{_notices(found, notices)}{markup.SWIPE}'
    )


def _leader_fact(found: Comparison) -> str:
    metrics = leading_metrics(found)
    if not metrics:
        return markup.fact("Compared", NOTHING, "no metric that is better higher or lower", main=True)
    first = leader(found, metrics[0])
    score = found.scores[metrics[0], found.labels[0]][found.methods.index(first)]
    low, high = score.interval or (None, None)
    where = markup.text(f"{shorten(plain(first), LONGEST)}, {plain(label_text(score.label))} {_span(score, low, high)}")
    pairs = found.pairs[metrics[0], found.labels[0]]
    invented = any(sum(pair.invented) for pair in pairs)
    # the best by rank need not have the best mean of the table, which leaves out what it was right to leave out
    name = f"{'Ranked first: mean' if invented else 'Best mean'} {title(metrics[0], found.data.unit)}"
    doubt = _doubt(first, pairs)
    where += f"<br><strong>{markup.text(doubt)}</strong>" if doubt else ""
    return markup.fact(name, figure(score.mean, metrics[0]), where, main=True)


def _doubt(first: str, pairs: Sequence[Pair]) -> str:
    """From which methods the first one is not told apart; nothing where it leads all."""
    parts = []
    for verdict, words in (("no", "no difference shown to"), ("too few", "too few patients to tell it from"),
                           ("yes", "no clear lead over")):  # fmt: skip
        others = [pair.b if pair.a == first else pair.a for pair in pairs
                  if first in (pair.a, pair.b) and pair.different == verdict and not pair.has_leader]  # fmt: skip
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        parts += [f"{words} {', '.join(map(_short, others[:NAMED]))}{more}"] if others else []
    said = "; ".join(parts)
    return f"{said[:1].upper()}{said[1:]}"


def _span(score: Score, low: float | None, high: float | None) -> str:
    return interval(low, high, score.metric) if low is not None else ""


def _runs(found: Comparison) -> str:
    return markup.count(sum(len(method.runs) for method in found.data.methods), "run")


def _pairs_fact(found: Comparison) -> str:
    metrics = leading_metrics(found)
    pairs = found.pairs[metrics[0], found.labels[0]] if metrics else []
    n = sum(pair.different == "yes" for pair in pairs)
    note = f"by {METRICS[metrics[0]].title}, {label_text(found.labels[0])}" if metrics else ""
    split = sum(pair.different == "yes" and not pair.has_leader for pair in pairs)
    note += f"; {split} without a leader" if split else ""
    return markup.fact("Pairs that differ", f"{n} of {len(pairs)}", markup.text(plain(note)))


def _notices(found: Comparison, given: Sequence[str]) -> str:
    lines = [markup.text(line) for line in (*given, *unlike_runs(found.data.methods), *missing_files(found))]
    differ = unequal(found)
    if differ:
        lines.insert(len(given), f"Not the same for all methods: {markup.text(', '.join(differ))}; see What was run.")
    unshared = [METRICS[name].title for name in other_metrics(found.data.methods)]
    if unshared:
        lines.append(f"Not compared, since some runs were not scored by it: {', '.join(unshared)}.")
    return f'<div class="missing"><ul>{"".join(f"<li>{line}</li>" for line in lines)}</ul></div>' if lines else ""


def _found(found: Comparison) -> str:
    parts = ["<h2>What was found</h2>"]
    for metric in leading_metrics(found):
        items = "".join(f"<li>{markup.text(line)}</li>" for line in headline(found, metric))
        parts.append(f"<ul>{items}</ul>")
    return "".join([*parts, f"<p>{markup.text(seeds_note(found))}</p>"])


def _metrics(found: Comparison, published: Sequence[PublishedRow], figures: Mapping[str, bytes]) -> Iterator[str]:
    """A section a metric; those that do not lead are folded."""
    leading = leading_metrics(found)
    for metric in [*leading, *(metric for metric in found.directed if metric not in leading)]:
        name = markup.text(title(metric, found.data.unit))
        body = _scores(found, metric, published) + _figures(found, metric, figures) + _pairs(found, metric)
        if metric in leading:
            yield f"<h2>{name}</h2>{body}"
        else:
            yield f'<details class="more"><summary>{name}</summary><div>{body}</div></details>'


def _scores(found: Comparison, metric: str, published: Sequence[PublishedRow]) -> str:
    rows = []
    for label in found.labels:
        rows.append(_label_row(found, label, _tau(found, metric, label), len(SCORE_HEAD)))
        ranks = found.ranks.get((metric, label))
        for place, score in enumerate(found.scores[metric, label]):
            low, high = score.interval or (None, None)
            order = [str(ranks[0].ranks[place]), f"{ranks[0].mean_ranks[place]:.2f}"] if ranks else [NOTHING] * 2
            cells = [_cases(score.n, score.n_patients), figure(score.mean, metric), interval(low, high, metric),
                     figure(score.sd, metric), figure(score.sd_seeds, metric),
                     *(str(score.empties[kind]) for kind in EMPTIES[:2]), *order]  # fmt: skip
            rows.append(markup.row(shorten(plain(score.method), LONGEST), cells, strong=1))
        for place, entry in enumerate(published, start=1):
            value = entry.scores.get(label_text(label), {}).get(metric)
            if value is not None:
                name = f"{shorten(plain(entry.method), LONGEST)} ({place}), {entry.mark}"
                cells = [str(entry.n or NOTHING), figure(value, metric), *[NOTHING] * (len(SCORE_HEAD) - 3)]
                rows.append(markup.row(name, cells))
    return markup.table(SCORE_HEAD, rows)


def _tau(found: Comparison, metric: str, label: str | None) -> str:
    ranks = found.ranks.get((metric, label))
    if ranks is None or ranks[0].tau is None:
        return ""
    mean, low = ranks[0].tau
    return f"order of {markup.count(ranks[1], 'case')}: tau {mean:.2f} (2.5 % quantile {low:.2f})"


def _pairs(found: Comparison, metric: str) -> str:
    """All comparisons: the first label's in sight, the others folded."""
    tests = found.pairs[metric, found.labels[0]][0].n_tests
    shown, folded = found.labels[:1], found.labels[1:]
    parts = [f'<h3>Pairs</h3><p class="note">{markup.count(tests, "test")} in the family.</p>',
             markup.table(PAIR_HEAD, [row for label in shown for row in _pair_rows(found, metric, label)])]  # fmt: skip
    if folded:
        rows = [row for label in folded for row in _pair_rows(found, metric, label)]
        parts.append(
            f'<details class="more"><summary>Pairs by label</summary>{markup.table(PAIR_HEAD, rows)}</details>'
        )
    return "".join(parts)


def _pair_rows(found: Comparison, metric: str, label: str | None) -> Iterator[str]:
    yield _label_row(found, label, "", len(PAIR_HEAD))
    for pair in found.pairs[metric, label]:
        yield markup.row(
            f"{_short(pair.a)} \u2013 {_short(pair.b)}",
            _pair_cells(pair),
            strong=0 if pair.has_leader else None,
        )
        for note in filter(None, (invented_note(pair), left_out(pair))):
            yield markup.note_row(note, len(PAIR_HEAD))


def _pair_cells(pair: Pair) -> list[str]:
    paired, metric, seeds = pair.found, pair.metric, pair.found.with_seeds
    wins = NOTHING if paired.wins is None else f"{100 * paired.wins:.0f} %"
    over_seeds = interval_text((seeds.low, seeds.high), metric) if seeds else NOTHING
    return [verdict_text(pair), p_text(pair.p_holm), difference_text(paired.mean, metric),
            interval_text(paired.interval, metric), over_seeds, _cases(paired.n, paired.n_patients), p_text(paired.p),
            wins, difference_text(paired.median, metric)]  # fmt: skip


def _figures(found: Comparison, metric: str, figures: Mapping[str, bytes]) -> str:
    name = title(metric, found.data.unit)
    wide = {f"{SCORES}{metric}.png": f"{name} of every case, by label and method; lines join a case"}
    pair = {
        f"{WINS}{metric}.png": "Share of cases in which the row's method is better than the column's, in per cent; "
        "bold where one of the two was found to lead",
        f"{RANKS}{metric}.png": "How often each method has each rank where patients are drawn again",
    }
    small = [f'<figure>{markup.picture(figures[name], what)}<figcaption class="note">{markup.text(what)}.</figcaption>'
             "</figure>" for name, what in pair.items() if name in figures]  # fmt: skip
    return f'{_wide(wide, figures)}<div class="figures">{"".join(small)}</div>'


def _wide(named: Mapping[str, str], figures: Mapping[str, bytes]) -> str:
    return "".join(markup.wide_figure(markup.picture(figures[name], what), f"{what}.")
                   for name, what in named.items() if name in figures)  # fmt: skip


def _volumes(found: Comparison, figures: Mapping[str, bytes]) -> str:
    if not found.agreement:
        return ""
    rows = []
    for label in found.data.labels:
        rows.append(_label_row(found, label, "", 4))
        for name in found.methods:
            known = found.agreement.get((name, label))
            if known:
                limits = interval_text(None if known.low is None or known.high is None else (known.low, known.high),
                                       "volume_difference_ml")  # fmt: skip
                bias = difference_text(known.bias, "volume_difference_ml")
                rows.append(markup.row(shorten(plain(name), LONGEST), [str(known.n), bias, limits], strong=1))
    head = ("", "n", "bias (ml)", "limits of agreement (ml)")
    said = ("Predicted minus reference volume over the mean of both (Bland and Altman), a dot a case; the line is the "
            "bias, the dashed ones are the limits of agreement")  # fmt: skip
    what = {VOLUMES: ". ".join(filter(None, (said, plain(left_out_note(found)))))}
    return f"<h2>Volumes</h2>{markup.table(head, rows)}{_wide(what, figures)}"


def _run(found: Comparison, out: Path | None) -> str:
    note = '<p class="note">As the runs recorded it; where runs of a method differ, all values.</p>'
    return f"<h2>What was run</h2>{note}<div class=run>{draw_facts(found)}</div>{report_links(found.data.methods, out)}"


def _published(found: Comparison, published: Sequence[PublishedRow]) -> str:
    if not published:
        return ""
    items = "".join(f"<li>{markup.text(describe_published(entry))}</li>" for entry in published)
    metrics = {metric for entry in published for scores in entry.scores.values() for metric in scores}
    others = [METRICS[metric].title for metric in sorted(metrics - set(found.directed))]
    note = f'<p class="note">Not compared here, only in scores.csv: {", ".join(others)}.</p>' if others else ""
    marks = {entry.mark == MARK for entry in published}
    parts = [(True, "Published figures", "Published: copied, not rerun; other cases, no interval, no test."),
             (False, "Baselines", "Baselines: of the same cases; a score is worth what it adds to them.")]  # fmt: skip
    shown = [part for part in parts if part[0] in marks]
    head, said = " and ".join(part[1] for part in shown), " ".join(part[2] for part in shown)
    return f"<h2>{head}</h2><p>{said}</p><ol>{items}</ol>{note}"


def _notes() -> str:
    policy = f"{POLICY[0].upper()}{POLICY[1:]}. The {MEAN} is a case's mean over the labels that it has."
    return "".join(f'<p class="note">{markup.text(text)}</p>' for text in (f"{STATISTICS} {policy}", TESTS, RANKED))


def _label_row(found: Comparison, label: str | None, note: str, columns: int) -> str:
    if label is not None:
        return markup.label_row(found.data.labels.index(label), plain(label), note, columns)
    shown = f"{markup.text(MEAN)}<span>{markup.text(note)}</span>"
    return markup.head_row(shown, columns)


def _cases(n: int, patients: int) -> str:
    return f"{n} ({patients})" if patients < n else str(n)


def _short(name: str) -> str:
    return shorten(plain(name), LONGEST // 2)
