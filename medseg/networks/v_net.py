"""MONAI's V-Net for images of any size."""

from __future__ import annotations

from typing import Any

import monai.networks.nets
import torch
from torch import nn

from medseg.networks.fit import cropped, padded

MULTIPLE = 16  # four levels down


class VNet(monai.networks.nets.VNet):
    """`monai.networks.nets.VNet` (Milletari et al., 2016, doi:10.1109/3DV.2016.79) for images of any size.

    MONAI's takes sides that 16 divides, and stops at others with "Sizes of tensors must match"; here the image's edge
    is repeated up to such a size and the logits are cropped. In 2D MONAI's drops whole samples instead of channels, as
    its dropout is for volumes; here it is for pictures there. Batch normalisation needs more than one value a channel
    at the coarsest level while it trains: a batch of one image with some side above 16.

    45,597,898 parameters from 1 to 2 channels in 3D.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image; they divide 16.
        out_channels: channels of the logits.
        kwargs: MONAI's own.
    """

    def __init__(self, spatial_dims: int = 3, in_channels: int = 1, out_channels: int = 1, **kwargs: Any) -> None:
        super().__init__(spatial_dims, in_channels, out_channels, **kwargs)
        if spatial_dims == 2:
            _drop_channels_of_pictures(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (B, in_channels, X, Y[, Z]) to logits (B, out_channels, X, Y[, Z])."""
        return cropped(super().forward(padded(x, MULTIPLE)), x)


def _drop_channels_of_pictures(network: nn.Module) -> None:
    """MONAI does not pass its `dropout_dim` on, and `Dropout3d` takes the samples of 2D maps for channels."""
    for part in list(network.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.Dropout3d):
                setattr(part, name, nn.Dropout2d(child.p))
