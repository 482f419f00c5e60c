"""The scores of a run in a few lines of text, for a terminal."""

from __future__ import annotations

from pathlib import Path

from medseg.reports.run_folder import read_run
from medseg.reports.run_page import leading_rows
from medseg.reports.summary import mean, summarise


def score_lines(run_dir: str | Path) -> list[str]:
    """One line a label and one for their mean, from ``cases.csv``; nothing where the run is not evaluated yet.

    Raises:
        DataError: the folder is not a run folder, or one of its files is damaged.
    """
    rows = leading_rows(read_run(run_dir).cases)
    statistics = summarise(rows)
    by_metric = {metric: [row for row in statistics if row["metric"] == metric] for metric in ("dice", "hd95")}
    distances = {row["label"]: f", HD95 {row['mean']:.2f} {row['unit']}" for row in by_metric["hd95"]}
    lines = [
        f"{row['label']}: Dice {row['mean']:.4f}{distances.get(row['label'], '')}"
        f" (n {row['n']}, missed {row['missed']}, invented {row['invented']})"
        for row in by_metric["dice"]
        if row["mean"] is not None
    ]
    overall = mean([row["mean"] for row in by_metric["dice"] if row["mean"] is not None])
    return lines if overall is None else [*lines, f"mean Dice {overall:.4f}"]
