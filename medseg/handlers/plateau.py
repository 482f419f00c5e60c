"""A lower learning rate when validation gets no better."""

from __future__ import annotations

import math

from ignite.engine import Engine, Events
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from medseg.handlers.case_scores import key_metric
from medseg.settings import number, whole_number


class ReduceRateOnPlateau:
    """PyTorch's `ReduceLROnPlateau` on the evaluator's key metric after each validation, kept in checkpoints.

    Patience is counted in validations: validate after each epoch (``validations`` = ``epochs``) to count epochs. A
    score that is not a number counts as no better.

    Args:
        optimizer: whose rates are lowered.
        evaluator: the validation engine.
        factor: what a rate is multiplied by, between 0 and 1.
        patience: validations without a better score before that happens.

    Raises:
        UsageError: E903, `factor` does not lie between 0 and 1, or `patience` is no whole number from 0.
    """

    def __init__(self, optimizer: Optimizer, evaluator: Engine, factor: float = 0.5, patience: int = 10) -> None:
        number("factor", factor, 0.0, 1.0)
        self.evaluator = evaluator
        self.scheduler = ReduceLROnPlateau(
            optimizer, "max", factor=factor, patience=whole_number("patience", patience, 0)
        )

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer of `medseg.trainers`."""
        engine.parts["plateau"] = self.scheduler
        self.evaluator.add_event_handler(Events.COMPLETED, self)

    def __call__(self, evaluator: Engine) -> None:
        """Compare the last score with the best."""
        score = key_metric(evaluator)
        self.scheduler.step(-math.inf if math.isnan(score) else score)
