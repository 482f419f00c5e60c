"""Synthetic data sets that look like a real one as downloaded: one module a task or a layout, found by its name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import tempfile
from pathlib import Path

from medseg.errors import DataError, Fault, MedsegError, UsageError

__all__ = ["layout_names", "tasks", "write_phantom"]


def tasks() -> list[str]:
    """The tasks that have phantoms, in alphabetical order."""
    return _modules(Path(__file__).parent)


def layout_names() -> list[str]:
    """The layouts of `medseg.cases.layouts` that have phantoms, in alphabetical order."""
    return _modules(Path(__file__).parent / "layouts")


def write_phantom(name: str, folder: str | Path, cases: int = 24, seed: int = 0) -> Path:
    """Write a synthetic data set. The folder appears whole or not at all; the same call gives the same bytes.

    Args:
        name: one of `tasks()` or `layout_names()`.
        folder: does not exist yet, or is empty.
        cases: number of training cases, from 1; each adds test cases, and what else belongs to it, of its own.
        seed: chooses the data; from 0.

    Returns:
        The folder's path.

    Raises:
        UsageError: E901, no such task or layout, no cases, or a negative seed.
        DataError: E503, something stands there already.
        MedsegError: E701, the folder cannot be written.
    """
    _check_arguments(name, cases, seed)
    folder = Path(folder)
    _check_free(folder)
    module = importlib.import_module(f"{__name__}.{name}" if name in tasks() else f"{__name__}.layouts.{name}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp") as temporary:
            module.write(Path(temporary) / "whole", cases, seed).replace(folder)
    except OSError as error:
        fix = "free some space, or choose a folder that you may write to"
        raise MedsegError(Fault("E701", f"cannot write: {error.strerror or error}", fix, file=folder)) from error
    return folder


def _modules(folder: Path) -> list[str]:
    found = pkgutil.iter_modules([str(folder)])
    return sorted(module.name for module in found if not module.ispkg and not module.name.startswith("_"))


def _check_arguments(name: str, cases: int, seed: int) -> None:
    if name not in tasks() + layout_names():
        nearest = difflib.get_close_matches(name, tasks() + layout_names(), n=1, cutoff=0.4)
        fix = f"did you mean {nearest[0]}?" if nearest else "choose one of those"
        known = f"one of: {', '.join(tasks())}; or of the layouts: {', '.join(layout_names())}"
        raise UsageError(Fault("E901", "no phantoms of this task or layout", fix, known, name))
    for what, value, least in (("cases", cases, 1), ("seed", seed, 0)):
        if value < least:
            raise UsageError(Fault("E901", f"{what} is too small", "choose more", f"{least} or more", str(value)))


def _check_free(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        fix = "choose a new folder, or delete this one yourself"
        raise DataError(Fault("E503", "something stands here already", fix, "no folder, or an empty one", file=folder))
