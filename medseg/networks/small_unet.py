"""The smallest U-Net that is in wide use, of 23,017 parameters."""

from __future__ import annotations

import torch
from torch import nn

from medseg.networks.fit import channels_last, cropped, padded
from medseg.networks.unet import conv_2x2
from medseg.settings import whole_number


class SmallUNet(nn.Module):
    """The U-Net of the Kaggle kernel "A lung U-Net in Keras" (toregil), for 2D images of any size.

    Three levels of one 3x3 convolution with ReLU (8, 16 and 32 channels) and 2x2 max-pooling, a 1x1 convolution below
    them, and three steps up: nearest upsampling, the encoder's maps beside it, a 2x2 convolution (32, 24 and 16
    channels). Then a 1x1 convolution to 64 channels, dropout of one half, and a 1x1 convolution to the logits; the
    kernel's sigmoid is left to the loss. 23,017 parameters from 1 to 1 channel. Weights are drawn as Keras does
    (Glorot and Bengio, 2010, uniform); biases are 0.

    Args:
        in_channels: channels of the image.
        out_channels: channels of the logits.
        width: channels of the finest level, which all others are multiples of.

    Raises:
        UsageError: E903, a channel number or width below 1.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 8) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels), ("width", width)):
            whole_number(name, value)
        levels = [width, 2 * width, 4 * width]
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for before, after in zip([in_channels, *levels], levels, strict=False):
            self.encoder.append(nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)))
        self.pool, self.enlarge = nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="nearest")
        self.bottom = nn.Sequential(nn.Conv2d(4 * width, 4 * width, 1), nn.ReLU(inplace=True))
        channels = 4 * width
        for skip, after in zip(reversed(levels), (4 * width, 3 * width, 2 * width), strict=True):
            self.decoder.append(conv_2x2(channels + skip, after))
            channels = after
        self.head = nn.Sequential(
            nn.Conv2d(channels, 8 * width, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(8 * width, out_channels, 1),
        )
        self.apply(_draw_as_keras)
        channels_last(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, in_channels, X, Y) to logits (B, out_channels, X, Y)."""
        maps, skips = padded(images, 8), []
        for level in self.encoder:  # (B, C, X, Y) to (B, 2C, X/2, Y/2)
            skips.append(level(maps))
            maps = self.pool(skips[-1])
        maps = self.bottom(maps)
        for level in self.decoder:  # back again
            maps = level(torch.cat([self.enlarge(maps), skips.pop()], 1))
        return cropped(self.head(maps), images)


def _draw_as_keras(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
