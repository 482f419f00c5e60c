"""R2U-Net, RU-Net and R2U-Net with attention: U-Nets whose convolutions are applied several times."""

from __future__ import annotations

import torch
from monai.networks.nets.attentionunet import AttentionBlock
from torch import nn

from medseg.networks.fit import channels_last, cropped, padded
from medseg.settings import whole_number

LEVELS = 5


class R2UNet(nn.Module):
    """The networks of Alom et al., "Recurrent Residual Convolutional Neural Network based on U-Net" (2018).

    https://doi.org/10.48550/arXiv.1802.06955, as in https://github.com/LeeJunHyun/Image_Segmentation: five levels of
    64 to 1024 channels with a `RecurrentBlock` each, max-pooled by 2; nearest-neighbour upsampling with a 3 x 3
    convolution, batch normalisation and ReLU; skips joined, and a `RecurrentBlock` again; a 1 x 1 convolution.

    RU-Net is the same without what a block adds to its output (``residual=False``). Neither that nor `steps` changes
    the number of parameters: the block's 1 x 1 convolution stays, for the recurrent layers need its channels. For one
    logit there are 39,091,265 parameters (RGB: 39,091,393), with attention 39,442,797 (RGB: 39,442,925).

    Args:
        in_channels: channels of the image.
        out_channels: logits for each pixel.
        width: channels of the finest level, at least 2.
        steps: how often a convolution is applied again, the paper's t; each layer applies its own steps + 1 times.
        residual: R2U-Net; False is RU-Net.
        attention: weight each skip by an attention gate on the decoder's upsampled features (R2AttU-Net), after
            Oktay et al., https://doi.org/10.48550/arXiv.1804.03999. The gate is MONAI's.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        steps: int = 2,
        residual: bool = True,
        attention: bool = False,
    ) -> None:
        super().__init__()
        widths = [whole_number("width", width, least=2) * 2**level for level in range(LEVELS)]
        whole_number("steps", steps)
        self.levels = nn.ModuleList(
            RecurrentBlock(before, channels, steps, residual)
            for before, channels in zip([in_channels, *widths], widths, strict=False)
        )
        coarse_to_fine = widths[-2::-1]
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), *_normalised(2 * channels, channels))
            for channels in coarse_to_fine
        )
        self.gates = nn.ModuleList(
            AttentionBlock(spatial_dims=2, f_int=channels // 2, f_g=channels, f_l=channels)
            for channels in coarse_to_fine
            if attention
        )
        self.merges = nn.ModuleList(
            RecurrentBlock(2 * channels, channels, steps, residual) for channels in coarse_to_fine
        )
        self.head = nn.Conv2d(width, out_channels, 1)
        channels_last(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (B, out_channels, X, Y) of images (B, in_channels, X, Y) of any size."""
        features = padded(images, multiple=2 ** (LEVELS - 1))
        skips = []
        for level in self.levels[:-1]:
            skips.append(level(features))
            features = nn.functional.max_pool2d(skips[-1], 2)
        features = self.levels[-1](features)
        for index, (up, merge) in enumerate(zip(self.ups, self.merges, strict=True)):
            features, skip = up(features), skips.pop()
            if self.gates:
                skip = self.gates[index](g=features, x=skip)
            features = merge(torch.cat([skip, features], dim=1))
        return cropped(self.head(features), images)


class RecurrentBlock(nn.Module):
    """A 1 x 1 convolution to the block's channels, then two recurrent layers, whose result is added where residual.

    Args:
        in_channels: channels of the input.
        channels: channels of the output.
        steps: of each `RecurrentLayer`.
        residual: add the recurrent layers' input to their output.
    """

    def __init__(self, in_channels: int, channels: int, steps: int, residual: bool) -> None:
        super().__init__()
        self.project = nn.Conv2d(in_channels, channels, 1)
        self.recurrent = nn.Sequential(RecurrentLayer(channels, steps), RecurrentLayer(channels, steps))
        self.residual = residual

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, channels, X, Y) of features (B, in_channels, X, Y)."""
        projected = self.project(features)
        result = self.recurrent(projected)
        return projected + result if self.residual else result


class RecurrentLayer(nn.Module):
    """One convolution c, applied again and again: h = c(x), then `steps` times h = c(x + h).

    c is a 3 x 3 convolution with batch normalisation and ReLU. All applications share its weights and also, as
    published, its running mean and variance, which therefore mix the statistics of all steps.

    Args:
        channels: channels of input and output.
        steps: applications beyond the first.
    """

    def __init__(self, channels: int, steps: int) -> None:
        super().__init__()
        self.convolution = _normalised(channels, channels)
        self.steps = steps

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """h after the last step, of features x (B, channels, X, Y)."""
        state = self.convolution(features)
        for _ in range(self.steps):
            state = self.convolution(features + state)
        return state


def _normalised(in_channels: int, out_channels: int) -> nn.Sequential:
    """A 3 x 3 convolution, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)
    )
