"""``iterations.csv``: a row an iteration, added when its epoch ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medseg import files

NAME = "iterations.csv"
COLUMNS = ("iteration", "epoch", "loss", "learning_rate")


def add_epoch(folder: Path, epoch: int, last: int, losses: Sequence[float], rates: Sequence[float]) -> None:
    """Add the iterations of an epoch, the last of which is numbered `last`: the loss of each, and the rate it took."""
    first = last - len(losses) + 1
    rows = [
        {"iteration": first + place, "epoch": epoch, "loss": loss, "learning_rate": rate}
        for place, (loss, rate) in enumerate(zip(losses, rates, strict=True))
    ]
    files.extend_csv(folder / NAME, rows, COLUMNS)


def drop_newer(folder: Path, last: int) -> None:
    """Leave the rows up to the iteration `last` alone: those after it will be made anew."""
    path = folder / NAME
    if not last:
        path.unlink(missing_ok=True)
    elif path.exists():
        head, *lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) or [""]
        kept = [line for line in lines if 0 < _iteration(line) <= last]
        files.write_text(path, "".join([head, *kept]))


def _iteration(line: str) -> int:
    """The number that a line begins with; 0 of what is no row."""
    number = line.partition(",")[0]
    return int(number) if number.isdecimal() else 0
