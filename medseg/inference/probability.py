"""Average probabilities, not logits, where windows overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer

LEAST = 1e-7  # a probability's distance from 0 and 1: logits lie from -16.1 to 16.1


class ProbabilityInferer(Inferer):
    """Hand another inferer the network's probabilities, and give what it makes of them back as scores.

    MONAI's sliding windows average what a network puts out. Here that is the sigmoid of one channel, the softmax of
    several; the scores are its logit, or the logarithms, so that their sigmoid or softmax is the average of the
    probabilities. Mirrored predictions within the other inferer are averaged so too.

    Args:
        inferer: what splits the input into windows and averages.
    """

    def __init__(self, inferer: Inferer) -> None:
        self.inferer = inferer

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Scores (B, C, …), float32, for `inputs` (B, C', …)."""

        def probabilities(windows: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor:
            scores = network(windows, *more, **named).float()
            return scores.sigmoid() if scores.shape[1] == 1 else scores.softmax(dim=1)

        shares = self.inferer(inputs, probabilities, *args, **kwargs).float()
        return shares.logit(LEAST) if shares.shape[1] == 1 else shares.clamp(min=LEAST).log()
