"""Weights into a network, all of them or an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from medseg.errors import CheckpointError, Fault
from medseg.handlers.checkpoint import content_digest
from medseg.handlers.unwrapped import unwrapped


class CheckpointLoader:
    """Load ``model`` of a checkpoint, or a bare state dict, into `network` when the engine starts.

    Unlike MONAI's loader it says in one line which file does not fit, never unpickles code, and checks the digest that
    `Checkpoint` wrote. ("CheckpointLoader" in the name is what MONAI's federated client looks for to switch it off.)

    Raises:
        CheckpointError: E101 no file, E105 a damaged one, E802 weights of another network.
    """

    def __init__(self, load_path: str | Path, network: torch.nn.Module, map_location: Any = "cpu") -> None:
        self.path, self.network, self.map_location = Path(load_path), network, map_location

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer or an evaluator."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights."""
        load_weights(self.path, self.network, self.map_location)


def load_weights(path: str | Path, network: torch.nn.Module, map_location: Any = "cpu") -> None:
    """Load a checkpoint's ``model`` (or a bare state dict) into `network`; see `CheckpointLoader`."""
    weights = read_weights(path, map_location)
    network = unwrapped(network)
    own = network.state_dict()
    wrong = [name for name in own if name not in weights or weights[name].shape != own[name].shape]
    extra = [name for name in weights if name not in own]
    if wrong or extra:
        fix = "give the configuration this checkpoint was trained with, or a checkpoint of this network"
        expected = f"{len(own)} tensors, such as {_named(own, (wrong or list(own))[0])}"
        found = f"{len(weights)} tensors, {len(wrong)} missing or of another shape, {len(extra)} unknown"
        raise CheckpointError(Fault("E802", "the checkpoint is of another network", fix, expected, found, path))
    network.load_state_dict(weights)


def read_weights(path: str | Path, map_location: Any = "cpu") -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint's ``model``, or of a bare state dict."""
    if not Path(path).is_file():
        fix = "train first, or pass --checkpoint_file"
        raise CheckpointError(Fault("E101", "no checkpoint at this path", fix, file=path))
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # damaged bytes make the reader fail in many ways
        fix = "use another checkpoint (last.prev.pt, best.pt)"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(Fault("E105", f"the checkpoint cannot be read ({reason})", fix, file=path)) from error
    if isinstance(content, dict) and "digest" in content and content_digest(content) != content["digest"]:
        fix = "use another checkpoint (last.prev.pt, best.pt)"
        raise CheckpointError(Fault("E105", "the checkpoint's content does not match its digest", fix, file=path))
    weights = content.get("model", content) if isinstance(content, dict) else {}
    if not weights or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        fix = "pass a checkpoint written by medseg, or a state dict"
        raise CheckpointError(Fault("E802", "no weights in this file", fix, "a state dict", file=path))
    return weights


def _named(state: dict[str, torch.Tensor], name: str) -> str:
    return f"{name} {tuple(state[name].shape)}"
