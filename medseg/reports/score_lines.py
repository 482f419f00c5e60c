"""The scores of a run in a few lines of text, for a terminal."""

from __future__ import annotations

from pathlib import Path

from medseg.metrics.summary import metrics_in
from medseg.reports.metric_text import headlines
from medseg.reports.run_folder import leading_rows, read_run
from medseg.reports.score_tables import mean_of_labels, table_lines, tabulate


def score_lines(run_dir: str | Path) -> list[str]:
    """A table of Dice and HD95 by label and the labels' mean Dice; nothing where the run is not evaluated yet.

    Raises:
        DataError: the folder is not a run folder, or one of its files is damaged.
    """
    run = read_run(run_dir)
    rows = leading_rows(run.cases)
    results = tabulate(rows, headlines(metrics_in(rows)), run.baselines)
    overall = mean_of_labels(results, "dice")
    return table_lines(results) if overall is None else [*table_lines(results), f"mean Dice {overall:.4f}"]
