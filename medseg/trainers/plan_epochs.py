"""A time budget becomes a number of epochs before the start, so that no schedule reads the clock."""

from __future__ import annotations

import copy
import logging
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from monai.engines.utils import default_prepare_batch
from monai.inferers import Inferer
from torch.utils.data import DataLoader

from medseg import files
from medseg.caches import CachedDataset
from medseg.processes import from_first, several
from medseg.settings import number, whole_number
from medseg.trainers.sigterm import spare_workers

logger = logging.getLogger(__name__)

WARM_UP, TIMED = 10, 24  # steps, at least; loader workers need a while to get going
TIMED_SHARE = 0.01  # of the budget: a long run is timed for longer
LEAST_STEPS, MOST_SHARE = 4, 0.1  # where so many take more than that share of the budget, they are all that is timed
LEAST_KEPT = 0.93  # of the epochs that fit, so that they divide into validations
FORWARD_SHARE = 0.4  # of a step's time, that of a prediction of its batch
SHARE = 0.9  # of the budget; the rest goes to checkpoints, scores and previews, and to busier minutes than the first


def plan_epochs(
    epochs: int,
    minutes: float | None,
    network: torch.nn.Module,
    inferer: Inferer,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    dataloader: DataLoader,
    device: torch.device,
    val_inferer: Inferer | None = None,
    val_dataset: Sequence[Mapping[str, torch.Tensor]] = (),
    validations: int = 0,
    resume_dir: str | Path | None = None,
    held_out_patches: int | None = 0,
) -> int:
    """How many epochs to train.

    Args:
        epochs: the answer where `minutes` is None.
        minutes: a time budget for training and validation. What a `CachedDataset` lacks is computed first, for that is
            no part of it. Then a few steps (loading, forward, backward, optimiser) are timed on a copy of the network,
            and so is the prediction of some validation cases.
        val_inferer, val_dataset, validations: how a case is predicted, the cases, and how often they will be.
        resume_dir: a run folder; a budget is then what its ``record.json`` says it became, where there is one.
        held_out_patches: how many each validation predicts besides (`medseg.handlers.HeldOutPatches`).

    Raises:
        UsageError: E903, `epochs` is no whole number above 0, or `minutes` no number above 0.
    """
    if minutes is None:
        return whole_number("epochs", epochs)
    number("minutes", minutes, 0.0, math.inf)
    record = None if resume_dir is None else Path(resume_dir) / "record.json"
    if record is not None and record.is_file():
        return from_first(whole_number("epochs", files.read_json(record).get("epochs")))
    patches = whole_number("held_out_patches", held_out_patches or 0, 0)
    for dataset in (dataloader.dataset, val_dataset):
        if isinstance(dataset, CachedDataset):
            dataset.fill(dataloader.num_workers)
    spare_workers(dataloader)
    copied = copy.deepcopy(network)
    step = _seconds_a_step(copied.train(), inferer, loss, dataloader, device, 60 * minutes)
    validation = len(val_dataset) * _seconds_a_case(copied.eval(), val_inferer, val_dataset, device)
    if len(val_dataset) and dataloader.batch_size:
        validation += math.ceil(patches / dataloader.batch_size) * FORWARD_SHARE * step
    planned = from_first(_epochs_within(SHARE * 60 * minutes, step * len(dataloader), validation, validations))
    message = "%.3g minutes at %.3f s a step and %.1f s a validation: %d epochs of %d steps"
    logger.info(message, minutes, step, validation, planned, len(dataloader))
    return planned


def _epochs_within(seconds: float, epoch: float, validation: float, validations: int) -> int:
    """Epochs that fit beside their validations, at least one; `epoch` and `validation` are the seconds each takes.

    As many as can be; a few less may leave room for more validations, but no wish for those costs many epochs.
    """

    def made(epochs: int) -> int:
        return epochs // validation_interval(epochs, validations) if validations else 0

    def fits(epochs: int) -> bool:
        return epochs * epoch + made(epochs) * validation <= seconds + 1e-6 * epoch

    longest = math.floor(seconds / epoch + 1e-6)
    most = next((epochs for epochs in range(longest, 1, -1) if fits(epochs)), 1)
    fewer = (epochs for epochs in range(math.ceil(LEAST_KEPT * most), most) if fits(epochs))
    return max([*fewer, most], key=lambda epochs: (made(epochs), epochs))


def validation_interval(epochs: int, validations: int) -> int:
    """Epochs between validations: the smallest divisor of `epochs` that gives at most `validations`.

    A divisor, so that the last epoch is validated: its weights are the ones that are exported.

    Raises:
        UsageError: E903, `validations` is no whole number above 0.
    """
    most = min(whole_number("validations", validations), epochs)
    return next(epochs // made for made in range(most, 0, -1) if epochs % made == 0)


def _seconds_a_step(
    network: torch.nn.Module,
    inferer: Inferer,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    dataloader: DataLoader,
    device: torch.device,
    budget: float,
) -> float:
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0)
    applied = network.forward if several() else network  # below DistributedDataParallel no batch is shared out
    times: list[float] = []

    def is_timed() -> bool:
        taken = sum(times)
        usual = len(times) >= WARM_UP + TIMED and taken >= TIMED_SHARE * budget
        return usual or (len(times) >= LEAST_STEPS and taken > MOST_SHARE * budget)

    while not is_timed():
        batches = iter(dataloader)
        for _ in range(len(dataloader)):
            start = time.perf_counter()
            image, label = default_prepare_batch(next(batches), device)
            optimizer.zero_grad()
            value = loss(inferer(image, applied), label)
            value.backward()
            optimizer.step()
            value.item()  # waits for a GPU
            times.append(time.perf_counter() - start)
            if is_timed():
                break
    warm = times[min(WARM_UP, len(times) // 2) :]
    return statistics.quantiles(warm, n=4)[0]  # the lower quartile: later steps are quicker than the first


@torch.no_grad()
def _seconds_a_case(
    network: torch.nn.Module,
    inferer: Inferer | None,
    dataset: Sequence[Mapping[str, torch.Tensor]],
    device: torch.device,
) -> float:
    if inferer is None or not len(dataset):
        return 0.0
    times = []
    for index in (0, *range(0, len(dataset), max(1, len(dataset) // 4))):  # the first warms up
        image = dataset[index]["image"][None].to(device)
        start = time.perf_counter()
        inferer(image, network).sum().item()
        times.append(time.perf_counter() - start)
    return statistics.mean(times[1:])
