"""A command in a process of its own that never outlives the process that started it."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from medseg.errors import Fault, MedsegError

PR_SET_PDEATHSIG = 1  # of Linux' prctl(2)
GRACE_SECONDS = 120.0  # for a training that writes a checkpoint, at the latest after a validation
TAIL = 200  # lines that are searched for the reason of a failure
ERROR = re.compile(
    r"[\w.]*(Error|Exception|Interrupt)(:|$)"
)  # the last line of a traceback; a chain begins with its root
QUIET = "ignore:parsing config_file"  # MONAI's warning of every configuration, as `medseg run` leaves it out


def run_child(words: Sequence[str], log: Path, show: Callable[[str], None], keep_open: int | None = None) -> str | None:
    """Run a command to its end; what it prints is shown line by line and appended to a file.

    Where this process is ended, the command is, too: at SIGINT and SIGTERM (see `ended_by_signals`) it gets SIGTERM and
    time to write a checkpoint; after SIGKILL of this process, Linux sends it SIGKILL (``PR_SET_PDEATHSIG``). It stands
    in a process group of its own, so that Ctrl-C in a terminal reaches this process alone.

    Args:
        words: the command.
        log: the file; what stands there stays.
        show: takes each line, without its end.
        keep_open: a file descriptor that the command shares, such as that of a lock.

    Returns:
        None where it exited with 0, else the reason: its last ``medseg:`` message, or the error at the root of its
        traceback, or its last line; where it was killed, by what.

    Raises:
        MedsegError: E701, the file cannot be written.
    """
    tail: deque[str] = deque(maxlen=TAIL)
    with _open(log) as kept:
        process = subprocess.Popen(
            list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=_with_parent(os.getpid()), env=_environment(),
            pass_fds=() if keep_open is None else (keep_open,),
        )  # fmt: skip
        assert process.stdout is not None
        try:
            for raw in process.stdout:
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                _append(kept, log, raw)
                tail.append(line)
                show(line)
            code = process.wait()
        except BaseException:
            _end(process, show)
            raise
        finally:
            process.stdout.close()
    return None if code == 0 else _reason(tail, code)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within the block SIGINT and SIGTERM raise SystemExit (130, 143), so that children are ended in peace."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _environment() -> dict[str, str]:
    """This process's, and the lines that a command prints come as they are printed."""
    warnings = [each for each in (os.environ.get("PYTHONWARNINGS"), QUIET) if each]
    return os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": ",".join(warnings)}


def _with_parent(parent: int) -> Callable[[], None] | None:
    """What a new process does first, on Linux: ask to be killed when its parent dies."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # before the fork, where anything may be loaded

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before that
            os._exit(1)

    return ask


def _end(process: subprocess.Popen[bytes], show: Callable[[str], None]) -> None:
    """SIGTERM and time to answer it; then, or at a second signal, SIGKILL for all that is left of the group."""
    process.terminate()
    try:
        rest, _ = process.communicate(timeout=GRACE_SECONDS)
        for line in rest.decode("utf-8", "replace").splitlines():
            show(line)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _open(log: Path) -> Iterator[int]:
    """A file to append to; lines reach it as they come, so that a killed command leaves what it said."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise _unwritable(log, error) from error
    try:
        yield handle
    finally:
        os.close(handle)


def _append(handle: int, log: Path, raw: bytes) -> None:
    try:
        os.write(handle, raw)
    except OSError as error:
        raise _unwritable(log, error) from error


def _unwritable(log: Path, error: OSError) -> MedsegError:
    fix = "free some space, or choose a folder that you may write to; the same command goes on"
    return MedsegError(Fault("E701", f"cannot write: {error.strerror or error}", fix, file=log))


def _reason(tail: Sequence[str], code: int) -> str:
    """Our own message, or the error at the root of Python's; of a process that was killed, by what."""
    ours = [line for line in tail if line.startswith("medseg: ")]
    errors = [line for line in tail if ERROR.match(line)]
    said = [line.strip() for line in tail if line.strip()]
    if ours:
        last = ours[-1].removeprefix("medseg: ")
    elif code < 0:
        name = signal.Signals(-code).name
        return f"ended by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"
    else:
        last = errors[0].strip() if errors else said[-1] if said else "it said nothing"
    return f"{last} ({f'signal {signal.Signals(-code).name}' if code < 0 else f'exit code {code}'})"
