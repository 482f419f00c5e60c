"""The Dice of what is trained on, for the curve beside that of held-out cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys

from medseg.handlers.pooled_dice import PooledDice

NAME = "patch_dice"
EVERY, LEAST = 10, 4  # to find the labels of a batch costs a twentieth of a step of a small network


class TrainingDice:
    """The mean Dice of an epoch's own batches, as ``patch_dice`` among the trainer's metrics.

    The voxels of every tenth batch are pooled; in epochs below 40 of more, so that there are four or more of them.
    `HeldOutPatches` gives the same of cases that are not trained on.

    Args:
        labels: of the network's channels; a network of one channel has one label, where its logit is above 0.
    """

    def __init__(self, labels: Mapping[str, int | Sequence[int]]) -> None:
        self.dice = PooledDice(labels, shared=True)

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer of `medseg.trainers`, before what reads its metrics."""
        engine.parts[NAME] = self
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._publish)

    def _add(self, engine: Engine) -> None:
        length = engine.state.epoch_length
        if (engine.state.iteration - 1) % length % max(1, min(EVERY, length // LEAST)) == 0:
            self.dice.add(engine.state.output[CommonKeys.PRED], engine.state.output[CommonKeys.LABEL])

    def _publish(self, engine: Engine) -> None:
        engine.state.metrics[NAME] = self.dice.value()
        self.dice.clear()

    def state_dict(self) -> dict[str, Any]:
        """The voxels that were counted of an epoch that is not complete."""
        return {"both": self.dice.both.tolist(), "sizes": self.dice.sizes.tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from these."""
        self.dice.both, self.dice.sizes = (np.array(state[name], np.int64) for name in ("both", "sizes"))
