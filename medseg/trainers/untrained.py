"""One iteration of a method that has nothing to train."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys


def apply_only(engine: SupervisedTrainer, batch: Any) -> dict[str, Any]:
    """Apply the method to a batch and note its loss; nothing is updated.

    A trainer's ``iteration_update`` for networks without parameters (`medseg.networks.GaussianMixture`), so that their
    runs are validated, logged, kept and compared as all others are. MONAI's own goes backward through the loss, which
    hangs on nothing here.

    Args:
        engine: a trainer whose network has no parameters.
        batch: as for MONAI's `SupervisedTrainer`.

    Returns:
        ``image``, ``label``, ``pred`` and ``loss``.
    """
    inputs, targets = engine.prepare_batch(batch, engine.state.device, engine.non_blocking, **engine.to_kwargs)
    engine.state.output = {CommonKeys.IMAGE: inputs, CommonKeys.LABEL: targets}
    with torch.no_grad():
        engine.state.output[CommonKeys.PRED] = engine.inferer(inputs, engine.network)
        engine.fire_event(IterationEvents.FORWARD_COMPLETED)
        engine.state.output[CommonKeys.LOSS] = engine.loss_function(engine.state.output[CommonKeys.PRED], targets)
    for event in (IterationEvents.LOSS_COMPLETED, IterationEvents.BACKWARD_COMPLETED, IterationEvents.MODEL_COMPLETED):
        engine.fire_event(event)
    return engine.state.output
