"""The last and the best state of a run, each file whole or not there."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from medseg import files
from medseg.handlers.unwrapped import unwrapped

logger = logging.getLogger(__name__)


class Checkpoint:
    """After each epoch ``last.pt`` (the one before is kept as ``last.prev.pt``); after a better validation ``best.pt``.

    A file holds flat keys: the trainer's networks (``model``, …), optimizers and schedulers, ``epoch``, ``iteration``,
    ``best_metric`` and a ``digest`` over all of it. ``model`` always predicts: with a moving average it is the average,
    and the weights as trained stand under ``trained_model``. Loadable with ``torch.load(…, weights_only=True)`` and by
    MONAI's ``CheckpointLoader(load_dict={"model": network})``.

    Attach it after the `ValidationHandler`. A score that is not a number never replaces the best.

    Args:
        output_dir: the run folder; files go to its ``checkpoints/``.
        evaluator: whose key metric decides which is best; None writes no ``best.pt``.
    """

    def __init__(self, output_dir: str | Path, evaluator: Engine | None = None) -> None:
        self.folder, self.evaluator = Path(output_dir) / "checkpoints", evaluator
        self.best = -math.inf

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer that has ``networks``, ``optimizers``, ``schedulers`` and ``average``."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.COMPLETED, self._compare, engine)

    def __call__(self, engine: Engine) -> None:
        """Write ``last.pt``; the one there before becomes ``last.prev.pt``."""
        last, previous = self.folder / "last.pt", self.folder / "last.prev.pt"
        content = _packed(self._state(engine))
        if last.exists():
            link = self.folder / ".last.prev.pt.tmp"
            with suppress(FileNotFoundError):
                link.unlink()
            os.link(last, link)
            os.replace(link, previous)
        files.write_bytes(last, content)

    def _compare(self, evaluator: Engine, trainer: Engine) -> None:
        value = float(evaluator.state.metrics[evaluator.state.key_metric_name])
        if value > self.best:  # false for NaN
            self.best = value
            files.write_bytes(self.folder / "best.pt", _packed(self._state(trainer)))

    def _state(self, engine: Engine) -> dict[str, Any]:
        networks = {name: unwrapped(network) for name, network in engine.networks.items()}
        parts = {**networks, **engine.optimizers, **engine.schedulers}
        state: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
        if engine.average is not None and engine.average.active:
            state["trained_model"], state["model"] = engine.average.trained_state_dict(), engine.average.state_dict()
        state |= {"epoch": engine.state.epoch, "iteration": engine.state.iteration, "best_metric": self.best}
        return state


def content_digest(state: Any) -> str:
    """BLAKE2b-128 over every key, number and tensor of a checkpoint but its ``digest``, in hex."""
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, {key: value for key, value in state.items() if key != "digest"})
    return digest.hexdigest()


def _packed(state: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    torch.save(state | {"digest": content_digest(state)}, stream)
    return stream.getvalue()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            digest.update(repr(key).encode())
            _feed(digest, part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _feed(digest, part)
    else:
        digest.update(repr(value).encode())
