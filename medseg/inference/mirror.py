"""Predict an image and its mirror images, and average."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer, SimpleInferer


class MirrorInferer(Inferer):
    """The mean of another inferer's output over the input and its mirror images, each mirrored back.

    Costs two predictions for one axis, four for two. Helps where training mirrored too.

    Args:
        axes: spatial axes, 0 for the first after batch and channel; none predicts once.
        inferer: what predicts; None applies the network to the whole input.
    """

    def __init__(self, axes: Sequence[int], inferer: Inferer | None = None) -> None:
        self.inferer = SimpleInferer() if inferer is None else inferer
        chosen = [axis + 2 for axis in axes]
        self.mirrors = [mirror for n in range(len(chosen) + 1) for mirror in itertools.combinations(chosen, n)]

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The mean prediction for `inputs` (B, C, X, Y[, Z])."""
        if len(self.mirrors) == 1:  # a mean would copy the scores of a whole volume
            return self.inferer(inputs, network, *args, **kwargs)
        total: Any = 0
        for mirror in self.mirrors:
            output = self.inferer(inputs.flip(mirror) if mirror else inputs, network, *args, **kwargs)
            total = total + (output.flip(mirror) if mirror else output)
        return total / len(self.mirrors)
