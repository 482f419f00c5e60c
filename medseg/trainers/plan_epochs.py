"""A time budget becomes a number of epochs before the start, so that no schedule reads the clock."""

from __future__ import annotations

import copy
import logging
import statistics
import time
from collections.abc import Callable

import torch
from monai.engines.utils import default_prepare_batch
from monai.inferers import Inferer
from torch.utils.data import DataLoader

logger = logging.getLogger(__name__)

WARM_UP, TIMED = 2, 5
TRAINING_SHARE = 0.9  # the rest goes to validation, checkpoints and previews


def plan_epochs(
    epochs: int,
    minutes: float | None,
    network: torch.nn.Module,
    inferer: Inferer,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    dataloader: DataLoader,
    device: torch.device,
) -> int:
    """How many epochs to train.

    Args:
        epochs: the answer where `minutes` is None.
        minutes: a time budget. A few steps (loading, forward, backward) are timed on a copy of the network, and nine
            tenths of the budget are planned for such steps.
    """
    if minutes is None:
        return int(epochs)
    seconds = _seconds_a_step(copy.deepcopy(network).train(), inferer, loss, dataloader, device)
    planned = max(1, round(TRAINING_SHARE * 60 * minutes / (seconds * len(dataloader))))
    logger.info("%.3g minutes at %.3f s a step: %d epochs of %d steps", minutes, seconds, planned, len(dataloader))
    return planned


def _seconds_a_step(network, inferer, loss, dataloader, device) -> float:  # type: ignore[no-untyped-def]
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0)
    times: list[float] = []
    while len(times) < WARM_UP + TIMED:
        batches = iter(dataloader)
        for _ in range(min(len(dataloader), WARM_UP + TIMED - len(times))):
            start = time.perf_counter()
            image, label = default_prepare_batch(next(batches), device)
            optimizer.zero_grad()
            value = loss(inferer(image, network), label)
            value.backward()
            optimizer.step()
            value.item()  # waits for a GPU
            times.append(time.perf_counter() - start)
    return statistics.median(times[WARM_UP:])
