"""What a study's folder says of the study: ``study.json``, and the lock that keeps a second process out."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medseg import files
from medseg.errors import DataError, Fault, MedsegError

NAME = "study.json"
LOCK = ".study.lock"
PATIENCE_SECONDS = 20.0  # for what a killed study left running, which notices that at last
GROWS = ("methods", "seeds")  # what a second start may add to


class StudyState:
    """The content of ``study.json``, which is on disk after every change.

    Args:
        path: the study's folder.
        settings: what the study is: ``bundle``, ``split``, ``budget``, ``equal``, ``settings``, ``methods`` (by name:
            ``delta``, ``settings``, ``configuration``) and ``seeds``. ``data`` may change, where the cases do not.

    Attributes:
        content: these, and ``updates`` (how many each run makes, where all make as many; None until that is known),
            ``runs`` (by name: the commands and what each used).

    Raises:
        DataError: E503, the folder holds a study with other settings; E105, a damaged file.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path / NAME
        self.content: dict[str, Any] = {**settings, "updates": None, "runs": {}}
        if self.path.exists():
            before = files.read_json(self.path)
            if not any((path / run / "record.json").exists() for run in before.get("runs") or {}):
                return  # no run of it began
            _refuse_other(before, settings, self.path)
            self.content |= {"updates": before.get("updates"), "runs": before.get("runs") or {}}

    def save(self) -> None:
        """Write ``study.json``."""
        files.write_json(self.path, self.content)

    def note(self, run: str, **facts: Any) -> None:
        """Keep facts of a run."""
        self.content["runs"].setdefault(run, {}).update(facts)
        self.save()


def refuse_foreign(path: Path, data: Path) -> None:
    """Refuse a folder that holds files, but no study, or lies in the data; nothing is written.

    Raises:
        MedsegError: E701, the folder cannot be written.
        DataError: E503, it holds something else, or is no folder.
    """
    if path.exists() and not path.is_dir():
        raise DataError(Fault("E503", "a file is in the way", "choose a new folder", "a folder", file=path))
    if path.resolve().is_relative_to(data.resolve()):
        raise DataError(Fault("E503", "the folder lies in the data", "choose one elsewhere", file=path))
    files.try_folder(path)
    held = sorted(each.name for each in path.iterdir()) if path.is_dir() else []
    if NAME not in held and held not in ([], [LOCK]):
        what, fix = "the folder holds something else than a study", "choose a new folder"
        raise DataError(Fault("E503", what, fix, NAME, ", ".join(held[:4]), path))


@contextmanager
def locked(path: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Hold a study's folder for one process and its children; gives the lock's file descriptor, for them to share.

    Raises:
        MedsegError: E701, the folder cannot be written; E707, another process is at work there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        fix = "choose a folder that you may write to"
        raise MedsegError(Fault("E701", f"cannot write: {error.strerror}", fix, file=path)) from error
    try:
        _wait_for(handle, path, say)
        yield handle
    finally:
        os.close(handle)


def _wait_for(handle: int, path: Path, say: Callable[[str], None]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    waiting = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > end:
                fix = "wait for it, end it, or choose another folder"
                raise MedsegError(Fault("E707", "another process is at work on this study", fix, file=path)) from error
            if not waiting:
                say(f"waiting for a process that is at work in {path}")
            waiting = True
            time.sleep(0.1)


def _refuse_other(before: Mapping[str, Any], settings: Mapping[str, Any], path: Path) -> None:
    """A second start must be of the same study; it may add methods and seeds."""
    faults = []
    fix = "start it as before (study.json says how), or choose another folder"
    for name in (key for key in settings if key not in (*GROWS, "data")):
        if before.get(name) != settings[name]:
            faults.append((name, before.get(name), settings[name]))
    methods, seeds = before.get("methods") or {}, before.get("seeds") or []
    for name, method in methods.items():
        new = settings["methods"].get(name)
        if new is None:
            faults.append((f"choice of methods ({name} is left out)", name, "not named"))
        elif any(method.get(key) != new[key] for key in ("delta", "settings")):
            old, other = ({key: each.get(key) for key in ("delta", "settings")} for each in (method, new))
            faults.append((f"method {name}", old, other))
        elif method != new and not faults:  # the study's own settings are in it, too
            faults.append((f"configuration of {name}", "the bundle's files as they were", "changed files"))
    if not set(seeds) <= set(settings["seeds"]):
        faults.append(("number of seeds", len(seeds), len(settings["seeds"])))
    if faults:
        what = "the folder holds a study with another"
        raise DataError(*(Fault("E503", f"{what} {name}", fix, str(old), str(new), path) for name, old, new in faults))
