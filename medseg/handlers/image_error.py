"""How far rebuilt images are from the images, as the score of a validation."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine
from ignite.metrics import Metric
from monai.utils import CommonKeys

from medseg.errors import DataError, Fault
from medseg.processes import gathered


class ImageError(Metric):
    """An ignite metric: minus the mean over images of the mean absolute error of a reconstruction.

    Minus, as checkpoints and early stopping take higher for better. Beside it stand ``<prefix>mae``, the error itself,
    and ``<prefix>mae_constant``, that of an image which is everywhere the median of the one to rebuild: a network has
    learnt something where it is below that. Errors are in the units that the network is fed, on the network's grid.
    With several processes the images of all of them count.

    Args:
        prefix: of the further metrics' names.
        output_transform: from the engine's output to a list of dictionaries with ``pred`` and ``label``, the image.
    """

    def __init__(self, prefix: str = "val_", output_transform: Callable = lambda output: output) -> None:
        self.prefix = prefix
        self.errors: list[tuple[float, float]] = []  # of each image: the network's, the constant's
        super().__init__(output_transform)

    def reset(self) -> None:
        """Forget all images."""
        self.errors = []

    def iteration_completed(self, engine: Engine) -> None:
        """Measure the images of a batch: lists of tensors (C, X, Y[, Z])."""
        for output in self._output_transform(engine.state.output):
            self.update((output[CommonKeys.PRED], output[CommonKeys.LABEL]))

    def update(self, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Measure one image: a reconstruction and the image, of one shape.

        Raises:
            DataError: E201, of different shapes.
        """
        rebuilt, image = (torch.as_tensor(tensor).float() for tensor in output)
        self.errors.append((mean_absolute_error(rebuilt, image), mean_absolute_error(image.median(), image)))

    def compute(self) -> float:
        """Minus the mean error."""
        return -statistics.fmean(error for error, _ in self.errors)

    def completed(self, engine: Engine, name: str) -> None:  # type: ignore[override]
        """Gather the errors of all processes and publish the means."""
        self.errors = sorted(gathered(self.errors))  # in an order that does not hang on the number of processes
        engine.state.metrics[name] = self.compute()
        engine.state.metrics[f"{self.prefix}mae"] = -self.compute()
        engine.state.metrics[f"{self.prefix}mae_constant"] = statistics.fmean(constant for _, constant in self.errors)


def mean_absolute_error(rebuilt: Any, image: torch.Tensor) -> float:
    """The mean of |rebuilt - image| over all voxels; `rebuilt` may be one number.

    Raises:
        DataError: E201, tensors of different shapes.
    """
    if rebuilt.ndim and rebuilt.shape != image.shape:
        fix = "let the network give as many channels as the image has, and leave both on one grid"
        expected, found = (str(tuple(tensor.shape)) for tensor in (image, rebuilt))
        raise DataError(Fault("E201", "a reconstruction is of another shape than its image", fix, expected, found))
    return float((rebuilt - image).abs().mean(dtype=torch.float64))
