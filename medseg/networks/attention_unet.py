"""MONAI's Attention U-Net for images of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import monai.networks.nets
import torch

from medseg.networks.fit import channels_last, cropped, padded
from medseg.settings import whole_number

LEVELS = 5


class AttentionUnet(monai.networks.nets.AttentionUnet):
    """`monai.networks.nets.AttentionUnet` (Oktay et al., 2018, arXiv:1804.03999) for 2D images of any size.

    MONAI's takes sides that the strides' product divides, and stops at others; here the image's edge is repeated up to
    such a size and the logits are cropped. 31,739,185 parameters from 1 to 1 channel with the default width.

    Args:
        in_channels: channels of the image.
        out_channels: channels of the logits.
        width: channels of the finest level, doubled at each of the four below.

    Raises:
        UsageError: E903, a channel number or width below 1.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 64) -> None:
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels), ("width", width)):
            whole_number(name, value)
        channels: Sequence[int] = [width * 2**level for level in range(LEVELS)]
        strides = [2] * (LEVELS - 1)
        super().__init__(2, in_channels, out_channels, channels, strides)
        self.multiple = math.prod(strides)
        channels_last(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (B, in_channels, X, Y) to logits (B, out_channels, X, Y)."""
        return cropped(super().forward(padded(x, self.multiple)), x)
