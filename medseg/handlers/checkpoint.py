"""The last and the best state of a run, each file whole or not there, and the way back to it."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from medseg import files
from medseg.errors import CheckpointError, Fault, UsageError
from medseg.handlers.case_scores import key_metric
from medseg.handlers.checkpoint_file import pack_checkpoint, read_checkpoint
from medseg.handlers.checkpoint_loader import fill_network
from medseg.handlers.unwrapped import unwrapped
from medseg.processes import any_of, from_first
from medseg.settings import switch, whole_number

logger = logging.getLogger(__name__)

LENGTHS = ("total_steps", "total_iters", "T_max")  # what a learning-rate schedule of fixed length calls its length


class Checkpoint:
    """After an epoch ``last.pt`` (the one before is kept as ``last.prev.pt``); after a better validation ``best.pt``.

    A file holds flat keys: the trainer's `parts` (networks, optimizers, schedulers, the metric log, early stopping, …),
    ``epoch``, ``iteration``, ``best_metric`` and a ``digest`` over all of it. ``model`` always predicts: with a moving
    average it is the average, and the weights as trained stand under ``trained_model``. Loadable with
    ``torch.load(…, weights_only=True)`` and by MONAI's ``CheckpointLoader(load_dict={"model": network})``.

    With `resume` the trainer goes on from ``last.pt`` (from ``last.prev.pt`` where that one is damaged, which is then
    kept as ``last.damaged.pt``), and ends as if it had never stopped: samples and steps draw from pure functions of the
    seed, so that counters are all there is to restore. SIGTERM is answered by a checkpoint and exit code 143.

    Attach it last of all that belongs in a checkpoint, after the `ValidationHandler`, and in every process: the first
    one writes and reads, the others are told. A score that is not a number never replaces the best.

    Args:
        output_dir: the run folder; files go to its ``checkpoints/``.
        evaluator: whose key metric decides which is best; None writes no ``best.pt``.
        also: further metrics of the evaluator, all of which must be better too, as ``val_iou_lung``.
        resume: go on from the checkpoint in `output_dir`, where there is one.
        every: iterations between checkpoints within an epoch; 0 writes after epochs alone.
        share: most of the time that writing may take: after an epoch that is too short for that, but the last one, none
            is written. 1 writes after each.

    Raises:
        CheckpointError: E105, every checkpoint there is damaged; E802, it is of another network; E804, of another run.
        UsageError: E903, the evaluator gives no metric of a name in `also`.
    """

    def __init__(
        self,
        output_dir: str | Path,
        evaluator: Engine | None = None,
        resume: bool = False,
        every: int = 0,
        also: Sequence[str] = (),
        share: float = 1.0,
    ) -> None:
        self.folder, self.evaluator = Path(output_dir) / "checkpoints", evaluator
        self.resume, self.every = switch("resume", resume), whole_number("checkpoint_every", every, 0)
        self.best, self.best_also = -math.inf, dict.fromkeys(also, -math.inf)
        self.share, self.begun, self.cost = share, -math.inf, 0.0  # when the last write began, and what it took

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer of `medseg.trainers`."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._within_epoch)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._after_epoch)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.COMPLETED, self._compare, engine)

    def _start(self, engine: Engine) -> None:
        if engine.state.epoch or not self.resume:  # a federated client goes on with the same engine
            return
        state, best, lost = from_first(self._found() if engine.state.rank == 0 else None)
        if state is None:
            logger.info("no checkpoint in %s: training starts from the beginning", self.folder)
            return
        self._restore(engine, state)
        if lost:
            self.best, self.best_also = -math.inf, dict.fromkeys(self.best_also, -math.inf)
        if best is not None and best["best_metric"] > self.best:  # of an epoch that will be trained again
            self.best, self.best_also = best["best_metric"], self.best_also | best["best_also"]

    def _within_epoch(self, engine: Engine) -> None:
        done = engine.state.iteration
        if done % engine.state.epoch_length == 0:  # first its validation and its row in the log
            return
        stop = any_of(engine.stopping, engine.state.device)
        if stop or (self.every and done % self.every == 0):
            self._write(engine)
        if stop:
            _leave(engine)

    def _after_epoch(self, engine: Engine) -> None:
        stop = any_of(engine.stopping, engine.state.device)
        last = engine.state.epoch >= engine.state.max_epochs or bool(engine.should_terminate)  # early stopping's
        if stop or last or self.cost <= self.share * (time.monotonic() - self.begun):
            self._write(engine)
        if stop and not last:
            _leave(engine)

    def _write(self, engine: Engine) -> None:
        """Write ``last.pt``; the one there before becomes ``last.prev.pt``."""
        if engine.state.rank > 0:
            return
        self.begun = time.monotonic()
        content = pack_checkpoint(self._state(engine))
        files.write_in_turn(self.folder / "last.pt", self.folder / "last.prev.pt", content)
        self.cost = time.monotonic() - self.begun

    def _compare(self, evaluator: Engine, trainer: Engine) -> None:
        value = key_metric(evaluator)
        others = {name: _metric(evaluator, name) for name in self.best_also}
        if value > self.best and all(others[name] > best for name, best in self.best_also.items()):  # false for NaN
            self.best, self.best_also = value, others
            if trainer.state.rank == 0:
                files.write_bytes(self.folder / "best.pt", pack_checkpoint(self._state(trainer)))

    def _state(self, engine: Engine) -> dict[str, Any]:
        state: dict[str, Any] = {name: unwrapped(part).state_dict() for name, part in engine.parts.items()}
        if engine.average is not None and engine.average.active:
            state["trained_model"], state["model"] = engine.average.trained_state_dict(), engine.average.state_dict()
        state |= {"epoch": engine.state.epoch, "iteration": engine.state.iteration, "best_metric": self.best}
        state |= {"best_also": self.best_also} if self.best_also else {}
        if self.evaluator is not None:
            kept = self.evaluator.state
            state["best_validation"] = {"metric": float(kept.best_metric), "epoch": kept.best_metric_epoch}
        return state | {"steps_an_epoch": engine.state.epoch_length}

    def _newest(self) -> dict[str, Any] | None:
        """The content of ``last.pt``, or of ``last.prev.pt``; None where there is neither."""
        damaged: list[Fault] = []
        for path in (self.folder / "last.pt", self.folder / "last.prev.pt"):
            if not path.exists():
                continue
            try:
                state = read_checkpoint(path)
            except CheckpointError as error:
                logger.warning("%s", error)
                damaged += error.faults
                continue
            if damaged:  # the next write would put the damaged one in the place of this one
                os.replace(self.folder / "last.pt", self.folder / "last.damaged.pt")
                logger.warning("training goes on from %s, iteration %d", path, state["iteration"])
            return state
        if damaged:
            raise CheckpointError(*damaged)
        return None

    def _found(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None, bool]:
        """The newest state, how good ``best.pt`` is (it may be newer), and whether that one is damaged."""
        state, path = self._newest(), self.folder / "best.pt"
        if state is None or not path.exists():
            return state, None, False
        try:
            best = read_checkpoint(path)
        except CheckpointError as error:
            logger.warning("%s", error)
            os.replace(path, self.folder / "best.damaged.pt")
            logger.warning("the best of the epochs to come becomes %s", path)
            return state, None, True
        return state, {"best_metric": best["best_metric"], "best_also": best.get("best_also", {})}, False

    def _restore(self, engine: Engine, state: dict[str, Any]) -> None:
        steps = state.get("steps_an_epoch")
        if steps != engine.state.epoch_length:
            raise _another_run("steps an epoch", engine.state.epoch_length, steps, self.folder)
        for name, part in engine.parts.items():
            if name not in state:
                raise _another_run("its parts", name, ", ".join(state), self.folder)
            if isinstance(part, torch.nn.Module):
                trained = "trained_model" if name == "model" and "trained_model" in state else name
                fill_network(part, state[trained], self.folder / "last.pt")
            else:
                _refuse_another_length(name, part.state_dict(), state[name], self.folder)
                part.load_state_dict(state[name])
        if engine.average is not None and "trained_model" in state:
            engine.average.load_state_dict(state["model"])
        if self.evaluator is not None and "best_validation" in state:
            self.evaluator.state.best_metric = state["best_validation"]["metric"]
            self.evaluator.state.best_metric_epoch = state["best_validation"]["epoch"]
        self.best, self.best_also = state["best_metric"], self.best_also | state.get("best_also", {})
        engine.state.iteration = state["iteration"]
        engine.state.epoch = state["iteration"] // engine.state.epoch_length  # the engine adds one when it starts one
        logger.info("training goes on after iteration %d of epoch %d", state["iteration"], state["epoch"])


def _metric(evaluator: Engine, name: str) -> float:
    known = evaluator.state.metrics
    if name not in known:
        fix = "name one of those under Checkpoint's also"
        raise UsageError(Fault("E903", "the evaluator gives no such metric", fix, ", ".join(known), name))
    return float(known[name])


def _refuse_another_length(name: str, own: Any, saved: Any, folder: Path) -> None:
    """A schedule planned for another length has other learning rates from its first step on."""
    for key in LENGTHS:
        if key in own and own[key] != saved.get(key):
            raise _another_run(f"{name}.{key}", own[key], saved.get(key), folder)


def _another_run(what: str, own: Any, saved: Any, folder: Path) -> CheckpointError:
    fix = (
        "resume with the settings of the run, or train anew in another output_dir; a schedule of fixed length cannot "
        "be made longer afterwards, a constant or stepwise one can"
    )
    return CheckpointError(Fault("E804", f"the checkpoint is of a run with another {what}", fix, str(own), str(saved),
                                 folder / "last.pt"))  # fmt: skip


def _leave(engine: Engine) -> None:
    message = "stopped by SIGTERM after iteration %d, checkpoint written; go on with resume=true (--resume True)"
    logger.warning(message, engine.state.iteration)
    raise SystemExit(128 + signal.SIGTERM)
