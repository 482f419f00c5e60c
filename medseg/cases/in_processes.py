"""Work on many cases in several processes: in their order, and with no more in memory than are being worked on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

from medseg.errors import Fault, MedsegError

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_WORKERS = 8  # unless more are asked for: each holds a case
# a process is one thread's work: more would have the processes wait for each other
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], title: str, workers: int | None = None
) -> list[Result]:
    """``[work(item) for item in items]``, with a progress bar.

    Args:
        work: a function of a module (or a partial of one), which another process can import.
        items, title: what to work on, and what to call that.
        workers: processes; as many as the machine has cores, at most 8, where it is None. One works in this process.

    Raises:
        MedsegError: E706, a process ran out of memory or was ended by somebody else. What `work` raises.
    """
    workers = min(workers or min(os.cpu_count() or 1, MOST_WORKERS), len(items))
    try:
        if workers < 2:
            return list(tqdm(map(work, items), title, len(items), unit="case", disable=None))
        with _one_thread_each(), _pool(workers) as pool:
            return list(tqdm(pool.map(work, items), title, len(items), unit="case", disable=None))
    except (BrokenProcessPool, MemoryError) as error:
        what = "a process ran out of memory, or was ended from outside"
        fix = "work on fewer cases at a time (--workers 1), or on a machine with more memory"
        raise MedsegError(Fault("E706", what, fix, found=f"{workers} processes")) from error


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that are ended at once, with their work, where the block is left by an error or by Ctrl-C.

    They are started anew instead of forked, because threads do not survive that.
    """
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Environment variables that the processes begin with."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin() -> None:
    """What a process does first: Ctrl-C, which reaches all of them, ends it without a word, and so does its parent."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
