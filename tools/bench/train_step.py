"""A training step: what our trainer adds to a bare loop, how long it waits for data, and how quick its samples are.

Goals, on a CPU:
- our trainer against a bare PyTorch loop with the same network, loss, batch, precision, clipping and average of the
  weights, data ready: at most 1.05 in 3D and 1.10 in 2D;
- less than 5 % of a real run's time is spent waiting for data;
- `RandAffinePatchd` at least 1.5 times as quick as MONAI's `RandAffined` in 3D, and twice in 2D, for the same patch
  with the same settings (linear interpolation, one thread as in a loader's worker);
- a sample of our training in 3D at least four times as quick as one of MONAI's `SupervisedTrainer` at batch 1 in
  float32. That goal came from MONAI's U-Net of 4.8 million parameters and patches of 64 x 64 x 64, which is measured
  here; the hippocampus bundle's DynUNet stands beside it without a goal (most of its time goes into convolutions at
  full resolution, for which PyTorch takes no slow path in float32).

What is compared runs alternately in one process; ratios are medians over rounds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import monai.engines
import torch
from ignite.engine import Events
from monai.losses import DiceCELoss
from monai.networks.nets import DynUNet, UNet
from monai.transforms import RandAffined

from medseg.cases.phantoms import write_phantom
from medseg.handlers import MovingAverage
from medseg.inference import AutocastInferer, ThreadedInferer, best_precision
from medseg.trainers import SupervisedTrainer
from medseg.transforms import RandAffinePatchd
from medseg.workflows.bundles import find_bundle

CPU = torch.device("cpu")
CLIP, DECAY, RATE = 12.0, 0.995, 5.0e-3
Timed = Callable[[], float]


def main() -> None:
    """Print every ratio beside its goal; exit 1 where one is missed."""
    rows = [
        ("trainer / bare loop, 3D", overhead(3, (32, 48, 40), 2), "<=", 1.05),
        ("trainer / bare loop, 2D", overhead(2, (256, 256), 8), "<=", 1.10),
        ("share of time waiting for data", waiting(), "<=", 0.05),
        ("RandAffined / RandAffinePatchd, 3D", augmentation((44, 60, 48), (32, 48, 40)), ">=", 1.5),
        ("RandAffined / RandAffinePatchd, 2D", augmentation((512, 512), (256, 256)), ">=", 2.0),
        ("MONAI's sample at batch 1, float32 / ours, U-Net", samples(_unet, (64, 64, 64)), ">=", 4.0),
    ]
    for name, value, sense, goal in rows:
        print(f"{name:52s} {value:6.3f}  (goal {sense} {goal})")
    print(f"{'the same, DynUNet of hippocampus_mri':52s} {samples(lambda: _network(3), (32, 48, 40)):6.3f}")
    if not all(value <= goal if sense == "<=" else value >= goal for _, value, sense, goal in rows):
        sys.exit(1)


def overhead(axes: int, size: tuple[int, ...], batch_size: int) -> float:
    """Seconds a step of our trainer over those of a bare loop, batches in memory."""
    batches = _batches(size, batch_size, 8)
    return _ratio(_ours(_network(axes), batches), _bare(_network(axes), batches))


def samples(network: Callable[[], torch.nn.Module], size: tuple[int, ...]) -> float:
    """Seconds a sample of MONAI's trainer over those of ours."""
    ours = _ours(network(), _batches(size, 2, 8))
    return _ratio(_monai(network(), _batches(size, 1, 16)), ours)


def augmentation(volume: tuple[int, ...], patch: tuple[int, ...]) -> float:
    """Seconds a patch of MONAI's transform over those of ours: rotation, scaling, shift of image and label, linear."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, *volume, generator=generator)
    item = {"image": image, "label": (image > 0.5).to(torch.uint8)}
    ours = RandAffinePatchd(["image", "label"], "label", patch, foreground=0.0, rotate_degrees=15.0, scale=(0.85, 1.15),
                            translate=0.1, refine=1, label_mode="nearest")  # fmt: skip
    theirs = RandAffined(
        ["image", "label"], prob=1.0, spatial_size=patch, rotate_range=[0.26] * (3 if len(patch) == 3 else 1),
        scale_range=[0.15] * len(patch), translate_range=[0.1 * side for side in patch],
        mode=["bilinear", "nearest"], padding_mode="border",
    )  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ratio = _ratio(lambda: _seconds(lambda: theirs(dict(item)), 40), lambda: _seconds(lambda: ours(dict(item)), 40))
    torch.set_num_threads(threads)
    return ratio


def waiting() -> float:
    """The share of a short run of `hippocampus_mri`, loader running, that is spent waiting for a batch."""
    from monai.bundle import ConfigWorkflow

    root = find_bundle("hippocampus_mri")
    with tempfile.TemporaryDirectory() as folder:
        data = write_phantom("hippocampus_mri", Path(folder) / "data", 50)
        workflow = ConfigWorkflow(
            str(root / "configs" / "train.yaml"), workflow_type="train", bundle_root=str(root), dataset_dir=str(data),
            output_dir=str(Path(folder) / "run"), epochs=3, validations=1, cache_dir=str(Path(folder) / "cache"),
        )  # fmt: skip
        workflow.initialize()
        trainer, spent = workflow.parser.get_parsed_content("train::trainer"), {"waited": 0.0, "all": 0.0}
        _watch(trainer, spent)
        trainer.run()
    return spent["waited"] / spent["all"]


def _watch(trainer: monai.engines.SupervisedTrainer, spent: dict[str, float]) -> None:
    """Add up, from the second epoch on (volumes are in the cache then), the waits and the whole time of epochs."""
    marks = {}

    def mark(name: str) -> Callable[[], None]:
        return lambda: marks.__setitem__(name, time.perf_counter())

    def add(name: str, total: str) -> Callable[[], None]:
        def adding() -> None:
            if trainer.state.epoch > 1:
                spent[total] += time.perf_counter() - marks[name]

        return adding

    trainer.add_event_handler(Events.GET_BATCH_STARTED, mark("batch"))
    trainer.add_event_handler(Events.GET_BATCH_COMPLETED, add("batch", "waited"))
    trainer.add_event_handler(Events.ITERATION_STARTED, mark("step"))
    trainer.add_event_handler(Events.ITERATION_COMPLETED, add("step", "all"))
    trainer.add_event_handler(Events.GET_BATCH_COMPLETED, add("batch", "all"))


def _network(axes: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return DynUNet(axes, 1, 3, [3] * 4, [1, 2, 2, 2], [2] * 3, filters=[16, 32, 64, 128])


def _unet() -> torch.nn.Module:
    torch.manual_seed(0)
    return UNet(3, 1, 3, (16, 32, 64, 128, 256), (2, 2, 2, 2), num_res_units=2)


def _loss() -> DiceCELoss:
    return DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)


def _batches(size: tuple[int, ...], batch_size: int, count: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "image": torch.randn(batch_size, 1, *size, generator=generator),
            "label": torch.randint(0, 3, (batch_size, 1, *size), generator=generator).float(),
        }
        for _ in range(count)
    ]


def _ours(network: torch.nn.Module, batches: list[dict[str, torch.Tensor]]) -> Timed:
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, fused=True)
    evaluator = monai.engines.SupervisedEvaluator(device=CPU, val_data_loader=[], network=network)
    inferer = AutocastInferer(ThreadedInferer(), best_precision(CPU))
    trainer = SupervisedTrainer(
        networks={"model": network}, optimizers={"optimizer": optimizer}, device=CPU, max_epochs=0,
        train_data_loader=batches, loss_function=_loss(), inferer=inferer,
        average=MovingAverage(network, DECAY, evaluator), clip_norm=CLIP,
    )  # fmt: skip
    return _an_epoch(trainer, sum(len(batch["image"]) for batch in batches))


def _monai(network: torch.nn.Module, batches: list[dict[str, torch.Tensor]]) -> Timed:
    trainer = monai.engines.SupervisedTrainer(
        device=CPU, max_epochs=0, train_data_loader=batches, network=network, loss_function=_loss(),
        optimizer=torch.optim.AdamW(network.parameters(), lr=RATE),
    )  # fmt: skip
    return _an_epoch(trainer, sum(len(batch["image"]) for batch in batches))


def _an_epoch(trainer: monai.engines.SupervisedTrainer, count: int) -> Timed:
    """Seconds a sample of one more epoch."""

    def timed() -> float:
        trainer.state.max_epochs += 1
        start = time.perf_counter()
        trainer.run()
        return (time.perf_counter() - start) / count

    return timed


def _bare(network: torch.nn.Module, batches: list[dict[str, torch.Tensor]]) -> Timed:
    loss = _loss()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, fused=True)
    average = [parameter.detach().clone() for parameter in network.parameters()]
    precision = {"float32": torch.float32, "bfloat16": torch.bfloat16}[best_precision(CPU)]

    def timed() -> float:
        start = time.perf_counter()
        network.train()
        for batch in batches:
            optimizer.zero_grad()
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                output = network(batch["image"])
            value = loss(output.float(), batch["label"])
            value.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, list(network.parameters()), 1 - DECAY)
            value.item()
        return (time.perf_counter() - start) / sum(len(batch["image"]) for batch in batches)

    return timed


def _seconds(work: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - start


def _ratio(one: Timed, other: Timed, rounds: int = 9) -> float:
    """The median over rounds of the time of `one` over that of `other`; the first round warms up."""
    ratios = []
    for number in range(rounds + 1):
        first, second = (one, other) if number % 2 else (other, one)
        values = {first: first(), second: second()}
        ratios.append(values[one] / values[other])
    return statistics.median(ratios[1:])


if __name__ == "__main__":
    main()
