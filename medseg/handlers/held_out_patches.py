"""Loss and Dice of held-out cases as training sees its own: what tells of overfitting."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data.utils import list_data_collate
from monai.networks.utils import train_mode

from medseg.caches.keyed import KeyedDataset
from medseg.cases import as_trained_on
from medseg.errors import DataError
from medseg.handlers.pooled_dice import PooledDice
from medseg.handlers.unwrapped import unwrapped
from medseg.settings import whole_number

logger = logging.getLogger(__name__)

CASES = 8


class HeldOutPatches:
    """After each validation ``val_patch_loss`` and ``val_patch_dice``, among the trainer's metrics.

    Held-out cases go through the training's own transforms, augmentation too, and the network predicts them as it does
    in training: with the weights as trained, not their average, with the statistics of the batch where it normalises
    batches, with dropout, and with all terms of the loss. So the two differ from the loss and the ``patch_dice`` of
    training in the cases; and in that training's are of a whole epoch, while the weights changed. It is a gap that
    widens that tells of cases learnt by heart. Whole cases are scored by `CaseScores`. At most 8 cases are taken,
    evenly spaced, and of them `patches`, rounded up to whole batches, the same each time. They stay in memory.

    Args:
        dataset: what is trained on; the held-out cases go through its transforms.
        cases: those that are held out, as `medseg.cases.split_cases` lists them.
        evaluator: the validation engine, after whose runs the patches are predicted.
        labels: of the network's channels; None where it gives no labels, and has a loss alone.
        patches: how many.

    Raises:
        UsageError: E903, `patches` is no whole number above 0.
    """

    def __init__(
        self,
        dataset: KeyedDataset,
        cases: Sequence[Mapping[str, Any]],
        evaluator: Engine,
        labels: Mapping[str, int | Sequence[int]] | None,
        patches: int = 8,
    ) -> None:
        self.dataset, self.evaluator, self.patches = dataset, evaluator, whole_number("held_out_patches", patches)
        self.cases = [as_trained_on(case) for case in _spread(cases, CASES)]
        self.dice = None if labels is None else PooledDice(labels)
        self.batches: list[Mapping[str, Any]] = []
        self.due = False

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer of `medseg.trainers`, after its `ValidationHandler`, before what reads its metrics."""
        self.evaluator.add_event_handler(Events.COMPLETED, self._note)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._compare)

    def _note(self) -> None:
        self.due = True

    def _compare(self, engine: Engine) -> None:
        for name in ("val_patch_loss", "val_patch_dice"):
            engine.state.metrics.pop(name, None)
        if not self.due:
            return
        self.due = False
        self.batches = self.batches or self._drawn(engine.data_loader.batch_size)
        if not self.batches:
            return
        losses = [self._predicted(engine, batch) for batch in self.batches]
        engine.state.metrics["val_patch_loss"] = math.fsum(losses) / len(losses)
        if self.dice is not None:
            engine.state.metrics["val_patch_dice"] = self.dice.value()
            self.dice.clear()

    def _drawn(self, batch_size: int) -> list[Mapping[str, Any]]:
        """The patches, in batches; none where no slice of the cases holds label, and the data set leaves those out."""
        dataset = copy.copy(self.dataset)
        try:
            dataset.set_data(self.cases)
        except DataError as error:
            if error.faults[0].code != "E302":
                raise
            logger.warning("no curves of held-out patches: %s", error)
            return []
        wanted = math.ceil(self.patches / batch_size) * batch_size
        images = len(dataset) // getattr(dataset, "samples_per_slice", 1)
        samples = [dataset[draw, draw * images // wanted] for draw in range(wanted)]  # one that comes again is cut anew
        return [list_data_collate(samples[start : start + batch_size]) for start in range(0, wanted, batch_size)]

    def _predicted(self, engine: Engine, batch: Mapping[str, Any]) -> float:
        """The loss of a batch; its voxels are counted."""
        image, label = engine.prepare_batch(batch, engine.state.device, engine.non_blocking)
        with _as_in_training(unwrapped(engine.network)) as network:
            scores = engine.inferer(image, network)
            value = float(engine.loss_function(scores, label))
        if self.dice is not None:
            self.dice.add(scores, label)
        return value


@contextmanager
def _as_in_training(network: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The network in training, but nothing of it changes, and it draws the same each time."""
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]
    used = {each.device for each in (*network.parameters(), *network.buffers()) if each.device.type == "cuda"}
    with train_mode(network), torch.no_grad(), torch.random.fork_rng(devices=list(used)):
        torch.manual_seed(0)
        try:
            yield network
        finally:
            for buffer, before in kept:
                buffer.copy_(before)


def _spread(cases: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """As many of them as wanted, evenly spaced."""
    n = min(most, len(cases))
    return [cases[place * len(cases) // n] for place in range(n)]
