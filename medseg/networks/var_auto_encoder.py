"""MONAI's variational autoencoder as a segmentation network, or as one that draws new images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import monai.networks.nets
import torch
from torch import nn

from medseg.networks.fit import per_axis, refuse_other_sizes
from medseg.seeds import pure_seed
from medseg.settings import whole_number


class VarAutoEncoder(monai.networks.nets.VarAutoEncoder):
    """`monai.networks.nets.VarAutoEncoder` (Kingma and Welling, 2014, arXiv:1312.6114) that gives logits.

    The encoder gives each image a normal distribution over a few latent numbers, the decoder makes logits of a draw
    from it. MONAI's ends in a sigmoid, on which a loss with a sigmoid of its own can hardly learn, and decodes mean
    plus standard deviation in evaluation; here there is no sigmoid, and evaluation decodes the mean.

    In evaluation it gives logits alone, as every network does. While it trains it gives (logits, mu, logvar), which
    `medseg.losses.WithKL` takes. What the loss needs thus travels with the output. An attribute that the last forward
    leaves behind would not do: a loss that holds the network does not see a copy of it train (`plan_epochs`), and
    threads that share the network overwrite it. `ThreadedInferer` leaves the batch whole, as it does where there is
    dropout.

    Parameters depend on the image's size: 1,662,287 and 204,341 in the report on liver segmentation with autoencoders,
    for (128, 128, 64) voxels. That size need not divide by the strides.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        out_channels: channels of the logits; those of the image, to reconstruct it.
        img_size: the one size (X, Y[, Z]) that it takes, or one number for all sides; with `in_channels` before it,
            MONAI's ``in_shape``.
        latent_size: latent numbers an image.
        channels, strides: of each level, the finest first.
        kernel_size, up_kernel_size: odd; one number, or one for each axis.
        kwargs: MONAI's own (``num_res_units``, ``norm``, …), but for ``use_sigmoid`` and ``use_mean_at_inference``.

    Raises:
        UsageError: E903, a size with the wrong number of axes, or no whole number above 0.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        img_size: Sequence[int] | int,
        latent_size: int,
        channels: Sequence[int],
        strides: Sequence[int],
        kernel_size: Sequence[int] | int = 3,
        up_kernel_size: Sequence[int] | int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            spatial_dims,
            (whole_number("in_channels", in_channels), *per_axis("img_size", img_size, spatial_dims)),
            out_channels,
            whole_number("latent_size", latent_size),
            channels,
            strides,
            per_axis("kernel_size", kernel_size, spatial_dims),
            per_axis("up_kernel_size", up_kernel_size, spatial_dims),
            use_sigmoid=False,
            use_mean_at_inference=True,
            **kwargs,
        )
        self.draw = _Draw()

    def forward(self, x: torch.Tensor) -> Any:
        """Images (B, in_channels, X, Y[, Z]) of `img_size` to logits (B, out_channels, X, Y[, Z]).

        Returns:
            In evaluation the logits of the latent mean. In training (logits, mu, logvar): the logits of a draw, and
            mean and log-variance (B, latent_size) of what it was drawn from.

        Raises:
            DataError: E204, images of another size.
        """
        refuse_other_sizes(x, self.in_shape, "VarAutoEncoder")
        mu, logvar = self.encode_forward(x)
        logits = self._logits(self.reparameterize(mu, logvar))
        return (logits, mu, logvar) if self.training else logits

    def reparameterize(self, mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
        """A draw (B, latent_size) while it trains, the mean otherwise."""
        return self.draw(torch.cat([mu, logvar], 1))

    @torch.no_grad()
    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """What evaluation gives for images, whatever the mode is; it comes back afterwards."""
        with _evaluating(self):
            return self(images)

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0) -> torch.Tensor:
        """`n` new outputs (n, out_channels, X, Y[, Z]), decoded from draws of the prior N(0, 1).

        A draw depends on (seed, index) alone: not on `n`, the device or any random state. They are decoded one by one,
        for sums of a batch run in another order than those of one.

        Raises:
            UsageError: E903, `n` is no whole number above 0.
        """
        whole_number("n", n)
        generators = [torch.Generator().manual_seed(pure_seed("sample", seed, index)) for index in range(n)]
        draws = [torch.randn(1, self.latent_size, generator=each).to(self.decodeL.weight) for each in generators]
        with _evaluating(self):
            return torch.cat([self._logits(draw) for draw in draws])

    def _logits(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent numbers (B, latent_size) decoded; what the strides add to the image's size is cropped."""
        logits = self.decode_forward(latent, use_sigmoid=False)
        return logits[(slice(None), slice(None), *(slice(side) for side in self.in_shape))]


class _Draw(nn.Dropout):
    """mu and logvar, side by side (B, 2 L), to mu + exp(logvar / 2) N(0, 1) in training, and to mu in evaluation.

    A kind of dropout: by that class, what depends on the order of random draws knows the layers that draw.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        mu, logvar = input.chunk(2, 1)
        return mu + torch.randn_like(mu) * torch.exp(0.5 * logvar) if self.training else mu


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
