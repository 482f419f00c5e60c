"""One short hierarchy of errors. Each message says which file, what was expected, what was found, what to do."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

# what the traceback of a loader's worker process tells of an error of ours: its class, and its faults, a line each
TOLD = re.compile(r"^medseg\.errors\.(\w+): (\[[EW]\d{3}\] .*(?:\n\[[EW]\d{3}\] .*)*)$", re.MULTILINE)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, in the words a user can act on.

    Attributes:
        code: a stable code such as ``E201``; the first digit after E groups them (1 files, 2 geometry, 3 labels,
            4 intensities, 5 names and folders, 7 machine, 8 training and checkpoints, 9 usage).
        what: what is wrong.
        expected, found: the two values that differ, where there are two.
        fix: what to do about it.
        file, case: which file and which case.
    """

    code: str
    what: str
    fix: str
    expected: str = ""
    found: str = ""
    file: str | Path = ""
    case: str = ""

    @property
    def is_warning(self) -> bool:
        """Whether it is only worth a word (``W302``); an ``E201`` is refused."""
        return self.code.startswith("W")

    def __str__(self) -> str:
        where = " ".join(part for part in (f"case={self.case}" if self.case else "", str(self.file)) if part)
        values = "".join(
            f"; {name} {value}" for name, value in (("expected", self.expected), ("found", self.found)) if value
        )
        return f"[{self.code}] {where + ': ' if where else ''}{self.what}{values}; fix: {self.fix}"


class MedsegError(Exception):
    """Anything medseg refuses. Carries one or more `Fault`; `exit_code` is what a command returns for it."""

    exit_code = 3

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


class DataError(MedsegError):
    """An image, a label, a folder or a data-set description is refused."""


class CheckpointError(MedsegError):
    """A checkpoint is missing, damaged or of another network."""


class TrainingError(MedsegError):
    """Training cannot go on (a loss that is not finite, an output folder that already holds a run)."""

    exit_code = 1


class UsageError(MedsegError):
    """A command was given an unknown key, bundle or method."""

    exit_code = 2


def find(error: BaseException | None) -> MedsegError | None:
    """The first `MedsegError` in the chain of causes below `error`, or None. MONAI wraps errors several times.

    Of an error in a loader's worker process PyTorch keeps the text of the traceback alone; ours is made again from it.
    """
    for link in _chain(error):
        if isinstance(link, MedsegError):
            return link
        told = TOLD.search(str(link))
        kind = globals().get(told[1]) if told else None
        if told and isinstance(kind, type) and issubclass(kind, MedsegError):
            return kind(*map(_retold, told[2].splitlines()))
    return None


def _retold(text: str) -> Fault:
    """The fault that has this text; what stands before its remedy is one."""
    what, _, fix = text[len("[E405] ") :].rpartition("; fix: ")
    return Fault(text[1:5], what, fix)


def show_last() -> None:
    """Have our message be the last line that an uncaught error prints, below MONAI's traceback.

    `python -m monai.bundle run` wraps an error in "Failed to instantiate component …" lines; a bundle calls this in
    its ``initialize``. The exit code stays Python's own (1).
    """
    if getattr(sys.excepthook, "is_medseg", False):
        return
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        previous(kind, error, traceback)
        ours = find(error)
        if ours is not None and ours is not error:
            sys.stderr.write(f"\nmedseg: {ours}\n")

    hook.is_medseg = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
