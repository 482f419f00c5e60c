"""Synthetic data sets that look like a real one as downloaded: one module a task, found by its name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import tempfile
from pathlib import Path

from medseg.errors import DataError, Fault, MedsegError, UsageError

__all__ = ["tasks", "write_phantom"]


def tasks() -> list[str]:
    """The tasks that have phantoms, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def write_phantom(task: str, folder: str | Path, cases: int = 24, seed: int = 0) -> Path:
    """Write a synthetic data set. The folder appears whole or not at all; the same call gives the same bytes.

    Args:
        task: one of `tasks()`.
        folder: does not exist yet, or is empty.
        cases: number of training cases, from 1; each task adds test cases of its own.
        seed: chooses the data; from 0.

    Returns:
        The folder's path.

    Raises:
        UsageError: E901, no such task, no cases, or a negative seed.
        DataError: E503, something stands there already.
        MedsegError: E701, the folder cannot be written.
    """
    _check_arguments(task, cases, seed)
    folder = Path(folder)
    _check_free(folder)
    module = importlib.import_module(f"{__name__}.{task}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp") as temporary:
            module.write(Path(temporary) / "whole", cases, seed).replace(folder)
    except OSError as error:
        fix = "free some space, or choose a folder that you may write to"
        raise MedsegError(Fault("E701", f"cannot write: {error.strerror or error}", fix, file=folder)) from error
    return folder


def _check_arguments(task: str, cases: int, seed: int) -> None:
    known = tasks()
    if task not in known:
        nearest = difflib.get_close_matches(task, known, n=1, cutoff=0.4)
        fix = f"did you mean {nearest[0]}?" if nearest else "choose one of those"
        raise UsageError(Fault("E901", "no phantoms of this task", fix, f"one of: {', '.join(known)}", task))
    for name, value, least in (("cases", cases, 1), ("seed", seed, 0)):
        if value < least:
            raise UsageError(Fault("E901", f"{name} is too small", "choose more", f"{least} or more", str(value)))


def _check_free(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        fix = "choose a new folder, or delete this one yourself"
        raise DataError(Fault("E503", "something stands here already", fix, "no folder, or an empty one", file=folder))
