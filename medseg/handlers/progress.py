"""A progress bar with loss, key metric, rate and time left."""

from __future__ import annotations

import logging
import sys
from typing import Any

from ignite.engine import Engine, Events
from monai.utils import CommonKeys
from tqdm import tqdm

logger = logging.getLogger(__name__)


class Progress:
    """One bar over all iterations of an engine. Where the output is no terminal, one line an epoch instead.

    The loss is the mean over the iterations of the epoch so far: one batch says little.

    Args:
        what: a word before the bar (``train``, ``evaluate``, ``infer``).
        evaluator: a validation engine whose key metric is shown beside the loss.
    """

    def __init__(self, what: str, evaluator: Engine | None = None) -> None:
        self.what, self.evaluator = what, evaluator
        self.bar: tqdm | None = None
        self.loss_sum, self.steps = 0.0, 0  # of this epoch's iterations

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer or an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._line)
        for end in (Events.COMPLETED, Events.TERMINATE):
            engine.add_event_handler(end, self._close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _start(self, engine: Engine) -> None:
        steps = engine.state.max_epochs * (engine.state.epoch_length or 0)
        self.bar = tqdm(desc=self.what, total=steps or None, initial=engine.state.iteration, disable=None,
                        unit="step" if self.evaluator else "case", file=sys.stderr, dynamic_ncols=True,
                        smoothing=0.1)  # fmt: skip

    def _begin_epoch(self) -> None:
        self.loss_sum, self.steps = 0.0, 0

    def _step(self, engine: Engine) -> None:
        if self.evaluator is not None:
            output: Any = engine.state.output
            self.loss_sum += float((output[0] if isinstance(output, list) else output)[CommonKeys.LOSS])
            self.steps += 1
        if self.bar is None or self.bar.disable:
            return
        if self.evaluator is not None:
            self.bar.set_description(f"{self.what} epoch {engine.state.epoch}/{engine.state.max_epochs}", refresh=False)
            self.bar.set_postfix(self._values(), refresh=False)
        self.bar.update()

    def _line(self, engine: Engine) -> None:
        if self.bar is not None and self.bar.disable and self.evaluator is not None:
            values = ", ".join(f"{name} {value}" for name, value in self._values().items())
            logger.info("%s: epoch %d of %d: %s", self.what, engine.state.epoch, engine.state.max_epochs, values)

    def _values(self) -> dict[str, str]:
        values = {"loss": f"{self.loss_sum / self.steps:.4f}"}
        if self.evaluator is not None and self.evaluator.state.metrics:
            key = self.evaluator.state.key_metric_name
            values[key.removeprefix("val_").removeprefix("mean_")] = f"{self.evaluator.state.metrics[key]:.4f}"
        return values

    def _close(self, engine: Engine) -> None:
        if self.bar is not None:
            self.bar.close()

    def _fail(self, engine: Engine, error: Exception) -> None:
        self._close(engine)
        raise error
