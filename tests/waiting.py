"""No test waits for ever: a process that hangs tells where, and its test fails."""

import faulthandler

SECONDS = 600.0  # the slowest tests take a quarter of that; pytest's own limit (pyproject.toml) is longer


def end_when_stuck() -> None:
    """End this process after `SECONDS` with the stack of every thread; a forked child has to ask for itself."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
