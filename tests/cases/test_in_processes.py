import functools
import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medseg.cases.in_processes import THREADS, in_processes
from medseg.errors import MedsegError


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items(workers):
    """Later items are quicker here, and done before the first."""
    items = [0.3, 0.0, 0.1, 0.0]
    assert in_processes(time.sleep, items, "waiting", workers) == [None] * 4
    assert in_processes(functools.partial(operator.add, 1), [3, 1, 2], "adding", workers) == [4, 2, 3]
    assert in_processes(abs, [], "nothing", workers) == []


def test_each_process_works_with_one_thread():
    before = dict(os.environ)
    assert in_processes(os.getenv, THREADS, "looking", 2) == ["1"] * len(THREADS)
    assert dict(os.environ) == before


def test_a_process_that_is_killed_is_one_clear_error():
    with pytest.raises(MedsegError) as caught:
        in_processes(os._exit, [1, 1, 1], "ending", 2)
    (fault,) = caught.value.faults
    assert fault.code == "E706" and "--workers 1" in fault.fix


def out_of_memory(item):
    raise MemoryError


def test_what_the_work_raises_is_raised():
    with pytest.raises(MedsegError, match="E706"):
        in_processes(out_of_memory, [1], "filling", 1)
    for workers in (1, 2):
        with pytest.raises(ZeroDivisionError):
            in_processes(functools.partial(operator.truediv, 1), [1, 0, 2], "dividing", workers)


# Ctrl-C is as in a terminal: a shell has what it starts in the background ignore it, and so what that starts
SLEEPER = """
import signal, time
from medseg.cases.in_processes import in_processes
signal.signal(signal.SIGINT, signal.default_int_handler)
in_processes(time.sleep, [60] * 4, "sleeping", 2)
"""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running_when_it_is_stopped(number):
    parent = subprocess.Popen([sys.executable, "-c", SLEEPER], stderr=subprocess.PIPE, start_new_session=True)
    try:
        assert until(lambda: len(ready_children(parent.pid)) == 2)
        children = ready_children(parent.pid)
        parent.send_signal(number)
        assert parent.wait(10) != 0
        assert until(lambda: not any(is_running(pid) for pid in children))
    finally:
        parent.kill()
        parent.stderr.close()


def until(condition):
    """Whether it comes true within 20 seconds."""
    stop = time.monotonic() + 20
    while time.monotonic() < stop:
        if condition():
            return True
        time.sleep(0.05)
    return False


def ready_children(pid):
    """Child processes that have started their second thread, the last thing before their work."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed if is_worker(child) and len(os.listdir(f"/proc/{child}/task")) > 1]


def is_worker(pid):
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


def is_running(pid):
    """Whether there is such a process, and not only what its end has left."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
