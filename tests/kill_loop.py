"""Fifty kills of one tiny training run at random moments. `python kill_loop.py FOLDER` prints what it saw as JSON."""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from engines import Drawn, batches, kept, make_evaluator, make_trainer, network
from waiting import end_when_stuck

from medseg.errors import CheckpointError
from medseg.handlers import Checkpoint, EarlyStop, MovingAverage, RunFolder
from medseg.handlers.checkpoint_file import read_checkpoint

KILLS = 50
ENDLESS = 1_000_000


def train(folder: Path, epochs: int) -> None:
    """A run that writes a checkpoint after every step, from where it stands to the last epoch."""
    end_when_stuck()
    torch.set_num_threads(1)
    net = network()
    evaluator = make_evaluator(net, (0.5 for _ in range(ENDLESS)))
    average = MovingAverage(net, 0.9, evaluator)
    handlers = [RunFolder(folder, {}, {}, evaluator, resume=True, settings={"seed": 0}), EarlyStop(ENDLESS, evaluator),
                Checkpoint(folder, evaluator, resume=True, every=1)]  # fmt: skip
    make_trainer(net, Drawn(batches(5)), epochs=epochs, evaluator=evaluator, average=average, handlers=handlers).run()


def in_child(folder: Path, epochs: int) -> int:
    """The process that trains."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            train(folder, epochs)
            code = 0
        finally:
            os._exit(code)
    return child


def main(folder: Path) -> dict[str, object]:
    """Kill, look, resume; at the end compare with a run that was left alone."""
    draw, last, seen, damaged = random.Random(0), folder / "killed" / "checkpoints" / "last.pt", [], 0
    for _ in range(KILLS):
        before = seen[-1] if seen else 0
        child = in_child(folder / "killed", ENDLESS)
        while not last.exists() or last.stat().st_mtime_ns == before:
            if os.waitpid(child, os.WNOHANG) != (0, 0):
                raise RuntimeError("a run ended by itself: it could not go on from what the kill before left")
            time.sleep(0.001)
        time.sleep(draw.uniform(0.02, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        try:
            read_checkpoint(last)
        except CheckpointError:
            damaged += 1
        seen.append(last.stat().st_mtime_ns)
    epochs = read_checkpoint(last)["iteration"] // 5 + 2
    ends = [os.waitpid(in_child(folder / name, epochs), 0)[1] for name in ("killed", "whole")]
    return {"kills": len(seen), "damaged": damaged, "epochs": epochs, "ends": ends,
            "same": kept(last) == kept(folder / "whole" / "checkpoints" / "last.pt"),
            "left": [path.name for path in (folder / "killed" / "checkpoints").iterdir()]}  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
