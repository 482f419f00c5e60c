"""The tables of scores, the same columns whoever writes them: of every case and label, and of all voxels together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medseg import files
from medseg.labels import Labels
from medseg.metrics import confusion, curves

BEFORE = ("case", "group", "label", "distance_unit")
BASELINES = ("case", "group", "label", "baseline", "dice", "iou")
AFTER = ("empties", "reference_ml", "prediction_ml", "tolerance_mm", "spacing_mm", "subset")


def write_cases(path: str | Path, rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> Path:
    """Write the table atomically and return its path.

    Columns: case, group, label and the unit of distances (mm or px); the metrics; what is missing, the two volumes in
    ml, the tolerance and the spacing in mm, and the subset; then whatever else the rows hold (strata), in the order in
    which it occurs. Numbers are written so that reading them gives the same number; one that is not defined is an
    empty cell.

    Args:
        path: of the file.
        rows: those of `medseg.metrics.scores.score_case`, each with its case.
        metrics: names of the columns of scores.

    Raises:
        MedsegError: E701, the file cannot be written.
    """
    known = (*BEFORE, *(metric for metric in metrics if metric not in AFTER), *AFTER)
    further = [name for row in rows for name in row if name not in known]
    return write_rows(path, rows, list(dict.fromkeys((*known, *further))))


def write_baselines(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write the rows of `medseg.metrics.baselines.baseline_rows`, as `write_cases` does."""
    return write_rows(path, rows, BASELINES)


def write_pooled(
    folder: str | Path,
    pairs: Mapping[tuple[int, int], int],
    by_label: Mapping[str, curves.Curve],
    labels: Labels,
) -> None:
    """Write ``confusion.csv`` and, where there are curves, ``curves.csv``; without any, an earlier one goes.

    Args:
        folder: where the tables go.
        pairs: voxels of each pair of label values (`medseg.metrics.confusion`), of all cases together.
        by_label: the curves of probabilities (`medseg.metrics.curves`), of all cases together.
        labels: names of the values.

    Raises:
        MedsegError: E701, a file cannot be written.
    """
    write_rows(Path(folder) / "confusion.csv", confusion.confusion_rows(pairs, labels), confusion.COLUMNS)
    if by_label:
        write_rows(Path(folder) / "curves.csv", curves.curve_rows(by_label), curves.COLUMNS)
    else:
        (Path(folder) / "curves.csv").unlink(missing_ok=True)


def write_rows(path: str | Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Path:
    """Write these columns of rows of numbers and text, as `write_cases` does."""
    return files.write_csv(path, [{name: _cell(row.get(name)) for name in columns} for row in rows], columns)


def _cell(value: Any) -> Any:
    """A float as Python's own, never as text: a leading minus sign would be quoted as a formula."""
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else float(value)
    return value
