"""SIGTERM (a scheduler's time is up) as a request that a trainer can answer in peace."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


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
