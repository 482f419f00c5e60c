"""Compare methods on the same cases: tables, figures and one page, from run folders and nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg import files
from medseg.errors import DataError, Fault
from medseg.metrics.catalogue import METRICS, chosen
from medseg.reports.comparison.beside import scored_baselines
from medseg.reports.comparison.figures import RANKS, SCORES, VOLUMES, WINS, draw_comparison
from medseg.reports.comparison.method_runs import Folders, Method, read_methods
from medseg.reports.comparison.page import build_page
from medseg.reports.comparison.paired_scores import pair_scores, shared_metrics
from medseg.reports.comparison.published import read_published, refuse_other_labels
from medseg.reports.comparison.results import MEAN, compare_methods
from medseg.reports.comparison.same_method import unlike_runs
from medseg.reports.comparison.side_by_side import damaged
from medseg.reports.comparison.tables import TERMINAL, terminal_lines, write_tables
from medseg.reports.comparison.words import seeds_note


def write_comparison(
    methods: Mapping[str, Folders],
    out: str | Path,
    published: str | Path | Sequence[Any] | None = None,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
    budget_mb: float = 50.0,
    notices: Sequence[str] = (),
) -> list[str]:
    """Write the comparison of methods into a folder and return the lines that a terminal shows, the page's path last.

    ``comparison.html``: one page that loads nothing from outside. ``comparison.csv``: a row a pair, label and metric.
    ``scores.csv``, ``scores.md`` and ``scores.tex``: a row a method, label and metric. ``figures/*.png``. The same
    files and seed give the same results. docs/comparing.md says what the tests are worth.

    Args:
        methods: a method's name to its runs: `medseg.reports.comparison.method_runs.read_methods`.
        out: made where it is not there; a comparison that it holds is replaced.
        published: a file of published rows, or the rows: `medseg.reports.comparison.published.read_published`.
        metrics: names of `medseg.metrics.catalogue.METRICS`, or None for those that all runs were scored by.
        seed: of the resampling.
        budget_mb: most megabytes of the page; the worst cases come first.
        notices: what a reader of the page must know first, as of runs that are not in it.

    Raises:
        UsageError: E903, fewer than two methods, one run twice, no such metric, or published rows that are none.
        DataError: E505, E507 or E105, runs that are missing, not of the same data, or damaged; E503, `out` is one of
            the runs.
        MedsegError: E701, a file cannot be written.
    """
    out = Path(out)
    read = read_methods(methods)
    _refuse_run(out, read)
    beside = [] if published is None else read_published(published)
    files.try_folder(out)
    found = compare_methods(pair_scores(read), _metrics(read, metrics), seed)
    known = (MEAN, *found.data.labels) if None in found.labels else found.data.labels
    refuse_other_labels(beside, known, published if isinstance(published, (str, Path)) else "", "these runs")
    beside += scored_baselines(found)
    figures = draw_comparison(found)
    for stale in _old(out):
        stale.unlink()
    write_tables(out, found, beside)
    for name, png in figures.items():
        files.write_bytes(out / "figures" / name, png)
    with files.atomic(out / "comparison.html") as temporary, open(temporary, "w", encoding="utf-8") as stream:
        stream.writelines(build_page(found, beside, figures, budget_mb * 1e6, out, notices))
    notes = [note for note in (seeds_note(found), *unlike_runs(read), damaged(read)) if note]
    wrapped = [line for note in notes for line in ("", *textwrap.wrap(note, TERMINAL, break_on_hyphens=False))]
    return [*terminal_lines(found, beside), *wrapped, "", str(out / "comparison.html")]


def _refuse_run(out: Path, methods: Sequence[Method]) -> None:
    """A comparison belongs beside runs: in one of them it would mix with the run's own tables and figures."""
    for run in (run for method in methods for run in method.runs):
        if out.resolve().is_relative_to(run.path.resolve()):
            what, fix = "the folder for the comparison is that of a run, or lies in it", "choose another one (--out)"
            raise DataError(Fault("E503", what, fix, "a folder beside the runs", str(run.path), out))


def _metrics(methods: Sequence[Method], asked: Sequence[str] | None) -> tuple[str, ...]:
    shared = shared_metrics(methods)
    names = shared if asked is None else chosen(asked)
    rows = [row for method in methods for table in method.seeds for row in table]
    if all(row.get("empties") == "absent" for row in rows):
        what, fix = "every structure is absent from all masks: nothing can be compared", "compare on other cases"
        raise DataError(Fault("E507", what, fix, "a structure in some mask", "none", methods[0].runs[0].path))
    absent = [name for name in names if name not in shared]
    if absent or not any(METRICS[name].higher_is_better is not None for name in names):
        fix = "choose metrics that all runs were scored by, or evaluate the runs again with the same metrics"
        what = "not every run was scored by this metric" if absent else "no metric that the runs have in common"
        raise DataError(Fault("E507", what, fix, ", ".join(shared) or "dice", ", ".join(absent) or "none"))
    return names


def _old(out: Path) -> list[Path]:
    """Figures that an earlier comparison left."""
    begin = (SCORES, WINS, RANKS)
    return [path for path in (out / "figures").glob("*.png")
            if path.name == VOLUMES or any(path.name.removesuffix(".png") == f"{each}{metric}"
                                           for each in begin for metric in METRICS)]  # fmt: skip
