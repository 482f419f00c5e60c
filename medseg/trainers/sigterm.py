"""SIGTERM (a scheduler's time is up) as a request that a trainer can answer in peace."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from torch.utils.data import DataLoader


@contextmanager
def noticed_sigterm(engine: Any) -> Iterator[None]:
    """Within the block a first SIGTERM sets ``engine.stopping``; a second one ends the process as usual.

    Only the main thread may handle signals; in another thread the block changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)

    def notice(number: int, frame: FrameType | None) -> None:
        engine.stopping = True
        signal.signal(signal.SIGTERM, before)

    signal.signal(signal.SIGTERM, notice)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Spared:
    """What a loader does when one of its workers starts, and then: that worker lets a first SIGTERM pass."""

    def __init__(self, before: Callable[[int], None] | None) -> None:
        self.before = before

    def __call__(self, worker: int) -> None:
        if self.before is not None:
            self.before(worker)
        signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))


def spare_workers(loader: Any) -> None:
    """Make workers that a `DataLoader` will start outlive a first SIGTERM; a second one ends them.

    Schedulers and ``timeout`` send the signal to all processes of a run. Without its workers the trainer could not
    finish its step and write a checkpoint. What is no `DataLoader` is left as it is.
    """
    if isinstance(loader, DataLoader) and not isinstance(loader.worker_init_fn, _Spared):
        loader.worker_init_fn = _Spared(loader.worker_init_fn)
