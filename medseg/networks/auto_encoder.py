"""MONAI's convolutional autoencoder as a segmentation network."""

from __future__ import annotations

import monai.networks.nets
import torch

from medseg.networks.fit import cropped


class AutoEncoder(monai.networks.nets.AutoEncoder):
    """`monai.networks.nets.AutoEncoder` for images of any size: strided convolutions, a middle, transposed ones.

    MONAI's takes any size, but its logits have the next multiple of the strides' product (37 becomes 40 with three
    strides of 2), because a transposed convolution gives the stride times what it gets. They begin where the image
    does; here they are cropped to it. All arguments are MONAI's, kernel sizes are odd. There are no skip connections:
    ``encode`` and ``intermediate`` alone give the features of an image.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (B, in_channels, X, Y[, Z]) to logits (B, out_channels, X, Y[, Z])."""
        return cropped(super().forward(x), x)
