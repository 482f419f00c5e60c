"""No test waits for ever: a process that hangs tells where, and its test fails."""

import faulthandler

SECONDS = 600.0  # the slowest tests take a quarter of that; pytest's own limit (pyproject.toml) is longer


def end_when_stuck() -> None:
    """End this process after `SECONDS` with the stack of every thread.

    A forked child asks for itself, and its parent must not have: the child would wait for the parent's thread.
    """
    faulthandler.dump_traceback_later(SECONDS, exit=True)
