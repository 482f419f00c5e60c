"""The iterations of a training, as ``iterations.csv`` holds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medseg.errors import DataError, Fault

COLUMNS = ("iteration", "epoch", "loss", "learning_rate")

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Iterations:
    """One value an iteration: its number, counted from 1, its epoch, loss and learning rate (NaN where unknown)."""

    number: Values
    epoch: Values
    loss: Values
    rate: Values


def read_iterations(run_dir: str | Path) -> Iterations | None:
    """Read ``iterations.csv`` of a run folder; None where there is none, as in older runs, or no row in it.

    Raises:
        DataError: E105, it is not what a run writes.
    """
    path = Path(run_dir) / "iterations.csv"
    if not path.is_file():
        return None
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
        if head.split(",")[: len(COLUMNS)] != list(COLUMNS):
            raise ValueError(f"columns {head[:80]}")
        rows = np.loadtxt(lines, delimiter=",", usecols=range(len(COLUMNS)), ndmin=2) if lines else np.empty((0, 4))
        if not (np.diff(rows[:, 0]) > 0).all() or not np.isfinite(rows[:, :2]).all():
            raise ValueError("iterations that do not follow one another")
    except (OSError, ValueError) as error:
        what, fix = f"not what a run writes ({error})", "copy the run's own file here, or remove it"
        raise DataError(Fault("E105", what, fix, f"numbers under {', '.join(COLUMNS)}", file=path)) from error
    return Iterations(*rows.T) if len(rows) else None
