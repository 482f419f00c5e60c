"""Weights into a network, all of them or an error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from medseg.errors import CheckpointError, Fault
from medseg.handlers.checkpoint_file import read_checkpoint
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
    fill_network(network, read_weights(path, map_location), path)


def fill_network(network: torch.nn.Module, weights: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Put `weights`, which came from `path`, into `network`: all of them or CheckpointError E802."""
    network = unwrapped(network)
    own = network.state_dict()
    wrong = [name for name in own if name not in weights or weights[name].shape != own[name].shape]
    extra = [name for name in weights if name not in own]
    if wrong or extra:
        fix = "give the configuration this checkpoint was trained with, or a checkpoint of this network"
        example = f", such as {_named(own, (wrong or list(own))[0])}" if own else ""
        expected = f"{len(own)} tensors{example}"
        found = f"{len(weights)} tensors, {len(wrong)} missing or of another shape, {len(extra)} unknown"
        raise CheckpointError(Fault("E802", "the checkpoint is of another network", fix, expected, found, path))
    network.load_state_dict(weights)


def read_weights(path: str | Path, map_location: Any = "cpu") -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint's ``model``, or of a bare state dict; none of a method without parameters."""
    content = read_checkpoint(path, map_location)
    weights = content.get("model", content) if isinstance(content, dict) else None
    if weights is None or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        fix = "pass a checkpoint written by medseg, or a state dict"
        raise CheckpointError(Fault("E802", "no weights in this file", fix, "a state dict", file=path))
    return weights


def _named(state: dict[str, torch.Tensor], name: str) -> str:
    return f"{name} {tuple(state[name].shape)}"
