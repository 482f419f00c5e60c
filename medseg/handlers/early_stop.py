"""Stop training when validation gets no better."""

from __future__ import annotations

from ignite.engine import Engine
from monai.handlers import EarlyStopHandler

from medseg.handlers.case_scores import key_metric
from medseg.settings import whole_number


class EarlyStop:
    """MONAI's `EarlyStopHandler` on the evaluator's key metric, attachable to the trainer itself.

    (In a configuration MONAI's own needs the trainer, whose handlers it is one of.)

    Args:
        patience: validations without a better score before training stops.
        evaluator: the validation engine.

    Raises:
        UsageError: E903, `patience` is no whole number above 0.
    """

    def __init__(self, patience: int, evaluator: Engine) -> None:
        self.patience, self.evaluator = whole_number("early_stop", patience), evaluator

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        EarlyStopHandler(self.patience, key_metric, trainer=engine).attach(self.evaluator)
