"""How long a network takes to predict a case, and a patch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from medseg.reports.description import InferenceTime

Inferer = Callable[[torch.Tensor, torch.nn.Module], Any]

IMAGE = "image"
WINDOWS = 5  # patches that are timed


def time_inference(
    network: torch.nn.Module,
    inferer: Inferer,
    window: Inferer,
    prepare: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    cases: Iterable[Mapping[str, Any]],
    patch: torch.Tensor,
    device: torch.device,
) -> InferenceTime:
    """Predict a few cases and patches with a network, whose mode comes back afterwards.

    Args:
        network: on `device`.
        inferer: how a whole case is predicted.
        window: how one patch is.
        prepare: the transforms from paths to ``image``, (C, X, Y[, Z]).
        cases: paths of each case.
        patch: (1, C, X, Y[, Z]), for `window`.
        device: where all of it runs.
    """
    training, found = network.training, []
    network.eval()
    try:
        with torch.no_grad():
            for number, case in enumerate(cases):
                start = time.perf_counter()
                image = prepare(dict(case))[IMAGE]
                prepared = time.perf_counter() - start
                given = image[None].to(device)
                if number == 0:
                    _seconds(lambda: inferer(given, network), device)  # noqa: B023 - called at once
                predicted = _seconds(lambda: inferer(given, network), device)  # noqa: B023 - called at once
                found.append((prepared, predicted, tuple(image.shape)))
            given = patch.to(device)
            windows = [_seconds(lambda: window(given, network), device) for _ in range(1 + WINDOWS)][1:]
    finally:
        network.train(training)
    on_cpu = f"{device.type.upper()}, torch threads: {torch.get_num_threads()}"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else on_cpu
    return InferenceTime(tuple(found), statistics.median(windows), name)


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    """How long `work` takes until the device has done it."""
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
