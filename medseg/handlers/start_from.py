"""Training that starts from the weights of another run, as far as they fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from medseg.cases.lists import refuse_trained_on
from medseg.errors import CheckpointError, Fault
from medseg.handlers.checkpoint_loader import read_weights
from medseg.handlers.unwrapped import unwrapped
from medseg.settings import switch

logger = logging.getLogger(__name__)

IN_A_RUN = ("bundle/models/model.pt", "checkpoints/last.pt", "models/model.pt")  # of a run folder, or of its bundle
PREFIX = "vit."  # what `UNETR` puts before the names that `ViT` and `ViTAutoEnc` give the same layers
SHOWN = 3

Weights = Mapping[str, torch.Tensor]


class StartFrom:
    """Before the first step, load every tensor of another run's network that has a place in this one.

    A tensor has a place where the network holds one of its name and shape; the names of a vision transformer are also
    looked for below ``vit.``, so that a `ViTAutoEnc` starts a `UNETR`. What has no place stays as it was drawn: a head
    for other labels, a decoder, a first layer for another number of channels. The log says how much was taken, and
    what was not. The weights are those that predict: with a moving average, the average.

    Stands before the handlers that write, so that weights that do not fit leave nothing behind. A run that goes on
    (`resume`) has its own weights, and the file is not looked for again.

    Args:
        path: a checkpoint, a bare state dict, a run folder (what it exported, else its last checkpoint) or an exported
            bundle.
        cases: what `medseg.cases.split_cases` gave. Weights that were trained on a held-out case are refused.
        output_dir, resume: of this run.

    Raises:
        CheckpointError: E101 no file, E105 a damaged one, E802 nothing in it fits.
        DataError: E502, a case that is held out here was trained on there.
        UsageError: E903, `resume` is neither True nor False.
    """

    def __init__(
        self,
        path: str | Path,
        cases: Mapping[str, Sequence[Mapping[str, Any]]],
        output_dir: str | Path,
        resume: bool = False,
    ) -> None:
        self.path, self.cases, self.resume = Path(path), cases, switch("resume", resume)
        self.checkpoints = Path(output_dir) / "checkpoints"

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer of `medseg.trainers`."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights, unless the run goes on."""
        if engine.state.epoch or self._goes_on():  # a federated client goes on with the same engine
            return
        file = weights_file(self.path)
        refuse_trained_on([*self.cases.get("validate", ()), *self.cases.get("test", ())], file)
        network, weights = unwrapped(engine.network), read_weights(file)
        taken = fitting(network, weights)
        if not taken.keys() & dict(network.named_parameters()).keys():
            raise _nothing_fits(network, weights, file)
        network.load_state_dict(taken, strict=False)
        if engine.average is not None and engine.average.active:
            engine.average.load_state_dict(network.state_dict())
        if engine.state.rank == 0:
            for line in _report(network, taken, weights, file):
                logger.info("%s", line)

    def _goes_on(self) -> bool:
        return self.resume and any((self.checkpoints / name).exists() for name in ("last.pt", "last.prev.pt"))


def weights_file(path: str | Path) -> Path:
    """The file that holds the weights: `path` itself, or of a run folder or a bundle those it exported.

    Raises:
        CheckpointError: E101, a folder without any.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    found = next((path / name for name in IN_A_RUN if (path / name).is_file()), None)
    if found is None:
        fix = "name a checkpoint, or the folder of a run that has one"
        raise CheckpointError(Fault("E101", "no weights in this folder", fix, " or ".join(IN_A_RUN), file=path))
    return found


def fitting(network: torch.nn.Module, weights: Weights) -> dict[str, torch.Tensor]:
    """Of `weights` the tensors that have a place in `network`, by the network's names; see `StartFrom`."""
    found = {}
    for name, tensor in network.state_dict().items():
        for other in (name, name.removeprefix(PREFIX)):
            if other in weights and weights[other].shape == tensor.shape:
                found[name] = weights[other]
                break
    return found


def _nothing_fits(network: torch.nn.Module, weights: Weights, file: Path) -> CheckpointError:
    why = _with_shapes(network, weights) or "no names in common"
    expected, found = (", ".join(list(names)[:SHOWN]) for names in (network.state_dict(), weights))
    fix = "start from a run whose network, or its encoder, is this one's; or set start_from to null"
    what = f"none of these weights has a place in {type(network).__name__} ({why})"
    return CheckpointError(Fault("E802", what, fix, f"{expected}, …", f"{found}, …" if found else "none", file))


def _report(network: torch.nn.Module, taken: Weights, weights: Weights, file: Path) -> list[str]:
    """What was taken, and which parts of the network were not."""
    own = network.state_dict()
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    held, every = sum(size for name, size in sizes.items() if name in taken), sum(sizes.values())
    first = f"start_from {file}: {len(taken)} of {len(own)} tensors, {held:,} of {every:,} parameters"
    parts: dict[str, list[str]] = {}
    for name in own:
        parts.setdefault(name.partition(".")[0], []).append(name)
    counts = {part: sum(name in taken for name in names) for part, names in parts.items()}
    left = [f"{part} ({counts[part]} of {len(names)} tensors)" if counts[part] else part
            for part, names in parts.items() if counts[part] < len(names)]  # fmt: skip
    second = f"start_from: as drawn, not loaded: {', '.join(left)}"
    shapes = _with_shapes(network, weights)
    return [first, f"{second}; {shapes}" if shapes else second] if left else [first]


def _with_shapes(network: torch.nn.Module, weights: Weights) -> str:
    """The first tensors that have a name in common but no shape; nothing where there are none."""
    own = network.state_dict()
    pairs = [(name, given) for name in own for given in dict.fromkeys((name, name.removeprefix(PREFIX)))]
    other = [f"{name} is {tuple(own[name].shape)}, there {tuple(weights[given].shape)}"
             for name, given in pairs if given in weights and weights[given].shape != own[name].shape]  # fmt: skip
    more = ", …" if len(other) > SHOWN else ""
    return f"of another shape: {', '.join(other[:SHOWN])}{more}" if other else ""
