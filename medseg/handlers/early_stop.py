"""Stop training when validation gets no better."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping

from medseg.handlers.case_scores import key_metric
from medseg.settings import whole_number


class EarlyStop:
    """ignite's `EarlyStopping` on the evaluator's key metric, attachable to the trainer itself and kept in checkpoints.

    (In a configuration MONAI's `EarlyStopHandler` needs the trainer, whose handlers it is one of.) A score that is not
    a number counts as no better. A run that had stopped stays so when it is resumed, unless `patience` has grown.

    Args:
        patience: validations without a better score before training stops.
        evaluator: the validation engine.

    Raises:
        UsageError: E903, `patience` is no whole number above 0.
    """

    def __init__(self, patience: int, evaluator: Engine) -> None:
        self.patience, self.evaluator = whole_number("early_stop", patience), evaluator

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer of `medseg.trainers`."""
        engine.parts["early_stop"] = _Stopping(self.patience, _comparable, engine)
        self.evaluator.add_event_handler(Events.COMPLETED, engine.parts["early_stop"])


class _Stopping(EarlyStopping):
    def load_state_dict(self, state_dict: Mapping) -> None:
        super().load_state_dict(state_dict)
        if self.counter >= self.patience:
            self.trainer.terminate()


def _comparable(evaluator: Engine) -> float:
    score = key_metric(evaluator)
    return -math.inf if math.isnan(score) else score
