"""The report of one run: figures and one page, from the files in its folder and nothing else."""

from __future__ import annotations

from pathlib import Path

from medseg import files
from medseg.metrics.summary import metrics_in
from medseg.reports.figures import draw_headlines, draw_training, draw_validation
from medseg.reports.metric_text import headlines
from medseg.reports.run_folder import RunFolder, read_run
from medseg.reports.run_page import LOSS, VALIDATION, build_page, leading_rows


def write_report(run_dir: str | Path, budget_mb: float = 50.0) -> Path:
    """Write ``figures/*.png`` and ``report.html`` into a run folder and return the page's path.

    The page is one file that loads nothing from outside. What the folder lacks is named on it, with the step that
    writes it. The same files give the same page.

    Args:
        run_dir: a run folder with ``log.csv``, ``cases.csv`` or both.
        budget_mb: most megabytes that the pictures of cases may take in the page; the worst cases come first.

    Raises:
        DataError: the folder is not a run folder, or one of its files is not what a run writes.
    """
    run = read_run(run_dir)
    labels = _labels(run)
    figures = _draw(run, labels)
    for name, png in figures.items():
        files.write_bytes(run.path / "figures" / name, png)
    return files.write_text(run.path / "report.html", build_page(run, labels, figures, budget_mb * 1e6))


def _labels(run: RunFolder) -> list[str]:
    """Label names in the run's order, which is that of their colours."""
    scored = [row["label"] for row in run.cases]
    logged = [
        name.removeprefix("val_dice_") for name in (run.log[0] if run.log else ()) if name.startswith("val_dice_")
    ]
    return list(dict.fromkeys(scored + logged))


def _draw(run: RunFolder, labels: list[str]) -> dict[str, bytes]:
    """PNGs by file name."""
    rows = leading_rows(run.cases)
    curves = {LOSS: draw_training(run.log), VALIDATION: draw_validation(run.log, labels)}
    drawn = {name: png for name, png in curves.items() if png is not None}
    return drawn | draw_headlines(rows, labels, headlines(metrics_in(rows)))
