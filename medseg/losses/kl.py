"""What a variational autoencoder adds to a loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from medseg.errors import Fault, UsageError
from medseg.settings import number


def gaussian_kl(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of N(mu, exp(logvar)) from N(0, 1), in nats, summed over the latent numbers.

    -1/2 sum(1 + logvar - mu^2 - exp(logvar)): Kingma and Welling, 2014 (arXiv:1312.6114), appendix B.

    Args:
        mu, logvar: mean and log-variance (B, L).

    Returns:
        One value for each sample, (B,).
    """
    return -0.5 * (1.0 + logvar - mu.square() - logvar.exp()).sum(1)


class WithKL(nn.Module):
    """A loss of logits plus `weight` times the mean `gaussian_kl` of the batch, for variational autoencoders.

    `medseg.networks.VarAutoEncoder` gives (logits, mu, logvar) while it trains, which stand here in the logits' place.

    Args:
        loss: what compares logits with labels.
        weight: of the divergence; 0 leaves it out. Small by default, as a Dice loss lies between 0 and 1, while the
            divergence is a sum of nats without a limit.

    Raises:
        UsageError: E903, `weight` is negative or no number.
    """

    def __init__(self, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], weight: float = 1e-3) -> None:
        super().__init__()
        self.loss, self.weight = loss, 0.0 if weight == 0 else number("weight", weight, 0.0, math.inf)

    def forward(self, prediction: Any, label: torch.Tensor) -> torch.Tensor:
        """The loss of one batch.

        Args:
            prediction: logits (B, C, …), mu and logvar (B, L).
            label: what `loss` compares the logits with.

        Raises:
            UsageError: E903, a prediction without mu and logvar.
        """
        if not isinstance(prediction, (list, tuple)) or len(prediction) != 3:
            fix = "train medseg.networks.VarAutoEncoder, or take the loss without medseg.losses.WithKL"
            found = type(prediction).__name__
            raise UsageError(Fault("E903", "WithKL has no divergence to add", fix, "(logits, mu, logvar)", found))
        logits, mu, logvar = prediction
        value = self.loss(logits, label)
        return value + self.weight * gaussian_kl(mu, logvar).mean() if self.weight else value
