"""The tables of a scoring: every case, what they come to, beside what no skill scores, and by stratum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg import files
from medseg.labels import Labels
from medseg.metrics.case_table import write_baselines, write_cases, write_pooled, write_rows
from medseg.metrics.catalogue import POLICY, chosen
from medseg.metrics.confusion import confusion_rows
from medseg.metrics.curves import Curve, curve_rows
from medseg.metrics.strata import stratify
from medseg.metrics.summary import EMPTIES, STATISTICS, Row, mean, metrics_in, number, summarise, unit
from medseg.reports.captions import captions
from medseg.reports.confusion_figure import draw_confusion
from medseg.reports.figures import draw_headlines
from medseg.reports.metric_text import NOTHING, figure, headlines, interval, title
from medseg.reports.probability_figures import draw_probabilities
from medseg.reports.text_table import Table, as_latex, as_markdown, as_text, markdown, plain, shorten

Result = Mapping[str, Any]
Stratum = tuple[str, Sequence[float] | None]

LEFT = ("baselines.csv", "confusion.csv", "curves.csv")  # of an earlier scoring that wrote more
OF_BASELINES = ("dice", "iou")
COLUMNS = ("by", "stratum", "label", "baseline", "metric", "distance_unit", "tolerance_mm", *STATISTICS, *EMPTIES)
LONGEST_LABEL, LONGEST_TITLE, LONGEST_STRATUM = 14, 24, 28


def write_scores(
    rows: Sequence[Row],
    folder: str | Path,
    metrics: Sequence[str] | None = None,
    baselines: Sequence[Row] = (),
    strata: Iterable[Stratum] = (),
    seed: int = 0,
    pooled: tuple[Mapping[tuple[int, int], int], Mapping[str, Curve], Labels] | None = None,
) -> list[str]:
    """Write the tables and figures of a scoring and return the lines that a terminal shows.

    ``cases.csv`` (and ``baselines.csv``): a row a case and label. ``summary.csv``: all of `summarise`'s statistics,
    by label and metric, of the scores, of each baseline, and once more for each stratum. ``summary.md`` and
    ``summary.tex`` (booktabs): what of them a paper shows. ``figures/``: a dot a case for Dice and HD95, or for the
    first two metrics; and, with `pooled`, ``confusion.csv``, ``curves.csv`` and their figures. What an earlier scoring
    left under these names goes.

    Args:
        rows: of a scoring, each with its case; strata are columns of theirs.
        folder: made where it is not there.
        metrics: names of `medseg.metrics.catalogue.METRICS`, or None for all that the rows hold.
        baselines: rows of `medseg.metrics.baselines.baseline_rows`.
        strata: columns with the points where their numbers are cut, or None for tertiles: `stratify`.
        seed: of the intervals' resampling.
        pooled: of all cases together: voxels of each pair of label values, curves by label, and the labels
            (`medseg.metrics.case_table.write_pooled`).

    Raises:
        UsageError: E903, no such metric or column, or cuts of a column of text; nothing is written then.
        DataError: E105, an overlap or a distance that is not there, of a structure that is.
        MedsegError: E701, a file cannot be written.
    """
    names = metrics_in(rows) if metrics is None else chosen(metrics)
    results = tabulate(rows, names, baselines, strata, seed)
    folder, figures = Path(folder), Path(folder) / "figures"
    labels = list(dict.fromkeys(str(row["label"]) for row in rows))
    shown = draw_headlines(rows, labels, headlines(names))
    if pooled is not None:
        shown |= draw_confusion(confusion_rows(pooled[0], pooled[2]))
        shown |= draw_probabilities(curve_rows(pooled[1]), rows, labels)
    own = captions("scores", (path.name for path in figures.glob("*.png")))
    for stale in (*(folder / name for name in LEFT), *(figures / name for name in own)):
        stale.unlink(missing_ok=True)
    write_cases(folder / "cases.csv", rows, names)
    if baselines:
        write_baselines(folder / "baselines.csv", baselines)
    if pooled is not None:
        write_pooled(folder, *pooled)
    write_rows(folder / "summary.csv", [{**each, "distance_unit": each["unit"]} for each in results], COLUMNS)
    files.write_text(folder / "summary.md", _markdown_page(results, names))
    files.write_text(folder / "summary.tex", _latex_page(results, names))
    for name, png in shown.items():
        files.write_bytes(figures / name, png)
    return table_lines(results)


def tabulate(
    rows: Sequence[Row],
    metrics: Sequence[str],
    baselines: Sequence[Row] = (),
    strata: Iterable[Stratum] = (),
    seed: int = 0,
) -> list[dict[str, Any]]:
    """`summarise`'s entries with ``by``, ``stratum`` and ``baseline`` (each empty where it does not apply).

    First those of all rows, then those of each stratum; the baselines of a stratum are those of its cases and labels.
    """
    parts = [("", "", list(rows))]
    parts += [(by, name, part) for by, cuts in strata for name, part in stratify(rows, by, cuts).items()]
    results = []
    for by, stratum, members in parts:
        units = {(row["case"], row["label"]): unit(row) for row in members}
        beside = [row for row in baselines if (row["case"], row["label"]) in units and number(row["dice"]) is not None]
        found = [("", entry) for entry in summarise(members, metrics, seed)]
        for name in dict.fromkeys(row["baseline"] for row in beside):
            own = [row for row in beside if row["baseline"] == name]
            own = [{**row, "distance_unit": units[row["case"], row["label"]]} for row in own]
            found += [(name, entry) for entry in summarise(own, OF_BASELINES, seed)]
        results += [{"by": by, "stratum": stratum, "baseline": name} | entry for name, entry in found]
    return results


def table_lines(results: Sequence[Result]) -> list[str]:
    """An aligned table of all cases with the baselines' Dice, and one of the first metric a column of strata.

    Lines have 100 places at most, unless numbers are very long.
    """
    rows, previous = [], None
    for result in of_strata(results, ""):
        here = result["label"], result["unit"]
        name, counts = (_short_label(result), _missing(result)) if here != previous else ("", "")
        rows.append([name, shorten(titled(result), LONGEST_TITLE), *_short_numbers(result), counts])
        previous = here
    head = ["mean [95 % interval]", "median", _n_title(results), "missed/inv."]
    lines = as_text(Table(["", "", *head], rows, names=2)) if rows else []
    for by in _columns_of_strata(results):
        own = [each for each in _of_metrics(results, by, [results[0]["metric"]]) if not each["baseline"]]
        cells = [[_short_label(each), shorten(plain(each["stratum"]), LONGEST_STRATUM), *_short_numbers(each),
                  _missing(each)] for each in own]  # fmt: skip
        lines += ["", *as_text(Table([titled(own[0]), "", *head], cells, names=2))]
    return lines


def mean_of_labels(results: Sequence[Result], metric: str) -> float | None:
    """The mean over labels of the mean over cases, pictures and volumes together; None where no label has one."""
    totals: dict[str, tuple[float, int]] = {}
    for each in of_strata(results, ""):
        if each["metric"] == metric and not each["baseline"] and each["mean"] is not None:
            total, n = totals.get(each["label"], (0.0, 0))
            totals[each["label"]] = total + each["mean"] * each["n"], n + each["n"]
    return mean([total / n for total, n in totals.values()])


def titled(result: Result) -> str:
    """The metric with its unit; of a baseline, with its name."""
    named = title(result["metric"], result["unit"])
    if result["tolerance_mm"] is not None:
        named += f" at {result['tolerance_mm']:g} {result['unit']}"
    return f"{named}: {result['baseline']}" if result["baseline"] else named


def counted(result: Result) -> str:
    """How many cases; of how many patients, where those are fewer."""
    return f"{result['n']} ({result['n_groups']})" if result["n_groups"] < result["n"] else str(result["n"])


def of_strata(results: Iterable[Result], by: str) -> list[Result]:
    """The results of one column's strata ("": of all cases), label by label; of baselines Dice alone."""
    own = [each for each in results if each["by"] == by and (not each["baseline"] or each["metric"] == "dice")]
    sets = list(dict.fromkeys((each["label"], each["unit"]) for each in own))
    strata = list(dict.fromkeys(each["stratum"] for each in own))

    def place(each: Result) -> tuple[int, int, bool]:
        return sets.index((each["label"], each["unit"])), strata.index(each["stratum"]), bool(each["baseline"])

    return sorted(own, key=place)


def _markdown_page(results: Sequence[Result], metrics: Sequence[str]) -> str:
    parts = ["# Scores\n", as_markdown(_table(of_strata(results, ""), "")), f"{_notes(results)}\n"]
    for by in _columns_of_strata(results):
        parts += [f"## By {markdown(by)}\n", as_markdown(_table(_of_metrics(results, by, headlines(metrics)), by))]
    return "\n".join(parts)


def _latex_page(results: Sequence[Result], metrics: Sequence[str]) -> str:
    parts = [f"% {_notes(results)} Needs \\usepackage{{booktabs}}.", as_latex(_table(of_strata(results, ""), ""))]
    for by in _columns_of_strata(results):
        parts += [f"% by {plain(by)}", as_latex(_table(_of_metrics(results, by, headlines(metrics)), by))]
    return "\n".join(parts)


def _short_label(result: Result) -> str:
    return shorten(plain(result["label"]), LONGEST_LABEL)


def _short_numbers(result: Result) -> list[str]:
    sure = interval(result["low"], result["high"], result["metric"])
    centre, median = (figure(result[name], result["metric"]) for name in ("mean", "median"))
    return [f"{centre} {sure}", median, counted(result)]


def _missing(result: Result) -> str:
    return f"{result['missed']}/{result['invented']}"


def _columns_of_strata(results: Iterable[Result]) -> list[str]:
    return list(dict.fromkeys(result["by"] for result in results if result["by"]))


def _of_metrics(results: Iterable[Result], by: str, metrics: Sequence[str]) -> list[Result]:
    return [each for each in of_strata(results, by) if each["baseline"] or each["metric"] in metrics]


def _table(results: Sequence[Result], by: str) -> Table:
    """A row a label, stratum and metric or baseline."""
    names = ["Label", *(["Stratum"] if by else []), "Metric"]
    head = ["Mean [95 % interval]", "SD", "Median [quartiles]", "Range", _n_title(results), "Missed/invented/absent"]
    rows = [
        [result["label"], *([result["stratum"]] if by else []), titled(result), *_numbers(result)] for result in results
    ]
    return Table([*names, *head], rows, len(names))


def _numbers(result: Result) -> list[str]:
    def shown(name: str) -> str:
        return figure(result[name], result["metric"])

    sure = interval(result["low"], result["high"], result["metric"])
    quartiles = interval(result["q1"], result["q3"], result["metric"])
    counts = "" if result["baseline"] else "/".join(str(result[kind]) for kind in EMPTIES)
    least_to_most = f"{shown('min')} to {shown('max')}" if result["n"] else NOTHING
    return [
        f"{shown('mean')} {sure}",
        shown("sd"),
        f"{shown('median')} {quartiles}",
        least_to_most,
        counted(result),
        counts,
    ]


def _n_title(results: Iterable[Result]) -> str:
    return "n (patients)" if any(result["n_groups"] < result["n"] for result in results) else "n"


def _notes(results: Sequence[Result]) -> str:
    several = any(result["n_groups"] < result["n"] for result in results)
    of = "patients, each with all of their cases" if several else "cases"
    return (
        f"{POLICY[0].upper()}{POLICY[1:]}. SD over cases (n - 1); intervals of the mean from resampling {of} "
        "(studentised bootstrap, or Student's t where that reaches further); none where all values are equal."
    )
