"""Runs of a bundle that are killed: each in a process of its own, forked from one that has imported everything.

    python killing.py JOBS.json

runs one job after the other and prints what became of each as a JSON list: an exit code, or minus a signal.
A job is {"files": [config files], "overrides": {key: value}}; one of the files adds `KillAt` to the handlers.
"""

import json
import os
import signal
import sys
from pathlib import Path

from ignite.engine import Engine, Events
from waiting import end_when_stuck


class KillAt:
    """End the process at an event of training, with SIGKILL or another signal, without a word."""

    def __init__(self, event: str, at: int, by: str = "SIGKILL") -> None:
        self.event, self.at, self.signal = Events[event], at, signal.Signals[by]

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(self.event(once=self.at), lambda: os.kill(os.getpid(), self.signal))


def main(path: str) -> list[int]:
    """The fate of every job."""
    return [_fate(job) for job in json.loads(Path(path).read_text())]


def _fate(job: dict) -> int:
    child = os.fork()
    if child == 0:
        _work(job)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _work(job: dict) -> None:
    import traceback

    import torch

    from medseg.workflows.run import run_bundle

    end_when_stuck()
    torch.set_num_threads(2)
    code = 1
    try:
        run_bundle([Path(file) for file in job["files"]], job["overrides"])
        code = 0
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    import monai.bundle
    import monai.engines
    import monai.losses
    import monai.networks.nets
    import monai.transforms  # noqa: F401
    import torch._dynamo  # noqa: F401  which the first optimiser imports

    print(json.dumps(main(sys.argv[1])))
