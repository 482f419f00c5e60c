"""The report of one run: figures and one page, from the files in its folder and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from medseg import files
from medseg.metrics.summary import metrics_in
from medseg.reports.captions import SECTIONS, captions
from medseg.reports.case_figures import draw_case_figures
from medseg.reports.confusion_figure import draw_confusion
from medseg.reports.damage import damage_note, read_slices
from medseg.reports.figures import draw_headlines
from medseg.reports.iterations import read_iterations
from medseg.reports.metric_text import headlines
from medseg.reports.probability_figures import draw_probabilities
from medseg.reports.run_folder import RunFolder, leading_rows, read_run
from medseg.reports.run_page import build_page
from medseg.reports.training_figures import draw_training, validated

logger = logging.getLogger(__name__)


def write_report(run_dir: str | Path, budget_mb: float = 50.0) -> Path:
    """Write ``figures/*.png`` and ``report.html`` into a run folder and return the page's path.

    The page is one file that loads nothing from outside. What the folder lacks is named on it, with the step that
    writes it; so are pictures and slices that are damaged, here and in the log. The same files give the same page.

    Args:
        run_dir: a run folder with ``log.csv``, ``cases.csv`` or both.
        budget_mb: most megabytes of the page, as far as the pictures of its cases decide it: their slices are made
            smaller and fewer until they fit, and the page says so; the worst cases come first.

    Raises:
        DataError: the folder is not a run folder, or one of its tables is not what a run writes.
    """
    run = read_run(run_dir)
    labels = _labels(run)
    figures = _draw(run, labels)
    _write_figures(run.path / "figures", figures)
    page = run.path / "report.html"
    with files.atomic(page) as temporary, open(temporary, "w", encoding="utf-8", newline="") as stream:
        stream.writelines(build_page(run, labels, figures, budget_mb * 1e6))
    if run.damaged:
        logger.warning("%s: %s", run.path, damage_note([("", run)]))
    return page


def _write_figures(folder: Path, figures: Mapping[str, bytes]) -> None:
    """Write PNGs by file name; what an earlier report drew of files that are gone goes."""
    held = [path.name for path in folder.glob("*.png")]
    for name in (name for section in SECTIONS for name in captions(section, held) if name not in figures):
        (folder / name).unlink()
    for name, png in figures.items():
        files.write_bytes(folder / name, png)


def _labels(run: RunFolder) -> list[str]:
    """Label names in the run's order, which is that of their colours."""
    scored = [row["label"] for row in run.cases]
    logged = [label for lines in validated(run.log).values() for label in lines]
    return list(dict.fromkeys(scored + logged))


def _draw(run: RunFolder, labels: list[str]) -> dict[str, bytes]:
    """PNGs by file name."""
    rows = leading_rows(run.cases)
    return (
        draw_training(run.log, labels, read_iterations(run.path))
        | draw_headlines(rows, labels, headlines(metrics_in(rows)))
        | draw_confusion(run.confusion)
        | draw_probabilities(run.curves, rows, labels)
        | draw_case_figures(rows, run.stacks, partial(read_slices, run))
    )
