import signal
import sys
from pathlib import Path

import pytest

from medseg.errors import MedsegError
from medseg.workflows.studies.child import ended_by_signals, run_child


def child(code, folder, **options):
    """What became of `python -c code`, and the lines that were shown."""
    shown = []
    return run_child([sys.executable, "-c", code], folder / "logs" / "a.log", shown.append, **options), shown


def test_what_it_prints_is_shown_and_kept(tmp_path):
    code = "import sys; print('to stdout'); print('tö stderr', file=sys.stderr)"
    assert child(code, tmp_path) == (None, ["to stdout", "tö stderr"])
    child("print('again')", tmp_path)
    assert (tmp_path / "logs" / "a.log").read_text() == "to stdout\ntö stderr\nagain\n"


TRACEBACK = """
try:
    raise TypeError("the root")
except TypeError as error:
    raise RuntimeError("above it\\nset a mode") from error
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [("import sys; sys.exit(3)", "it said nothing (exit code 3)"),
     ("raise ValueError('no')", "ValueError: no (exit code 1)"),
     ("print('medseg: [E701] disk full'); print('and more'); 1/0", "[E701] disk full (exit code 1)"),
     ("import os, signal; print('at work', flush=True); os.kill(os.getpid(), signal.SIGKILL)",
      "ended by SIGKILL (out of memory?)"),
     (TRACEBACK, "TypeError: the root (exit code 1)")],
)  # fmt: skip
def test_the_reason_of_a_failure_is_its_own_message(tmp_path, code, reason):
    assert child(code, tmp_path)[0] == reason


def test_lines_come_while_it_runs(tmp_path):
    """The command waits until its first line was seen."""
    seen = tmp_path / "seen"
    code = f"import os, time\nprint('first')\nwhile not os.path.exists({str(seen)!r}):\n    time.sleep(0.01)"
    shown = []

    def show(line):
        shown.append(line)
        seen.write_text("")

    assert run_child([sys.executable, "-c", code], tmp_path / "a.log", show) is None and shown == ["first"]


def test_it_reads_no_input_and_leads_a_group_of_its_own(tmp_path):
    assert child("import os; print(os.getpgrp() == os.getpid())", tmp_path)[1] == ["True"]
    assert child("input()", tmp_path)[0].startswith("EOFError")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux'")
def test_a_full_disk_is_said_and_ends_the_command(tmp_path):
    with pytest.raises(MedsegError, match=r"E701\].*/dev/full.*No space left on device"):
        run_child([sys.executable, "-c", "print('a'); import time; time.sleep(60)"],
                  Path("/dev/full"), print)  # fmt: skip


def test_signals_end_the_block_and_are_as_before_behind_it():
    before = signal.getsignal(signal.SIGTERM)
    for number in (signal.SIGTERM, signal.SIGINT):
        with pytest.raises(SystemExit) as stop, ended_by_signals():
            signal.raise_signal(number)
        assert stop.value.code == 128 + number
    assert signal.getsignal(signal.SIGTERM) is before
