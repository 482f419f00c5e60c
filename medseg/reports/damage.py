"""Pictures and slices of cases that are damaged: left out, and said to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medseg.errors import DataError
from medseg.reports.run_folder import RunFolder
from medseg.reports.text_table import plain
from medseg.volumes.stack import Stack, read_stack

MOST_NAMED = 4


def read_slices(run: RunFolder, case: str) -> Stack | None:
    """A case's slices; None where there are none, or where they are damaged: `run` then counts them as such."""
    path = run.stacks.get(case)
    if path is None:
        return None
    try:
        return read_stack(path)
    except DataError:
        run.damaged.append(run.stacks.pop(case))
        return None


def damage_note(runs: Sequence[tuple[str, RunFolder]]) -> str:
    """Which files are damaged, in two sentences; nothing where none is.

    Args:
        runs: each with what stands before the names of its files.
    """
    found = [(before, run, path) for before, run in runs for path in run.damaged]
    if not found:
        return ""
    names = [plain(f"{before}{_below(run.path, path)}") for before, run, path in found[:MOST_NAMED]]
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    are = "1 file of pictures or slices is" if len(found) == 1 else f"{len(found)} files of pictures or slices are"
    return f"{are} damaged and left out: {', '.join(names)}{more}. Evaluate again to have them."


def _below(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
