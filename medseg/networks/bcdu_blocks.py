"""What BCDU-Net and MCGU-Net are built of: their convolutions, dense connections, ConvLSTM decoder and head."""

from __future__ import annotations

import torch
from monai.networks.blocks import ChannelSELayer
from torch import nn

from medseg.networks.conv_lstm import BidirectionalConvLSTM, ConvLSTM
from medseg.networks.fit import cropped, padded

DROPOUT = 0.5
REDUCTION = 16  # of squeeze and excitation


def convolutions(in_channels: int, out_channels: int, count: int = 2) -> nn.Sequential:
    """`count` 3 x 3 convolutions, each with ReLU behind it and no normalisation."""
    layers: list[nn.Module] = []
    for channels in [in_channels, *[out_channels] * (count - 1)]:
        layers += [he_normal(nn.Conv2d(channels, out_channels, 3, padding=1)), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def he_normal(layer: nn.Module) -> nn.Module:
    """The layer, its weight drawn for ReLU as He et al. do (https://doi.org/10.1109/ICCV.2015.123), its bias 0."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def squeeze_excite(channels: int) -> nn.Module:
    """Channels weighted by their means over the image: MONAI's block, its hidden layer 16 times as narrow, or 1."""
    return ChannelSELayer(spatial_dims=2, in_channels=channels, r=min(REDUCTION, channels))


class DenselyConnected(nn.Module):
    """Blocks D1, D2, … of convolutions, each of which reads the outputs of all blocks before it, the newest first.

    Args:
        first: D1.
        channels: channels of D1's output and of every other block's; each of those ends in dropout.
        blocks: how many there are, D1 included.
    """

    def __init__(self, first: nn.Module, channels: int, blocks: int) -> None:
        super().__init__()
        self.first = first
        self.others = nn.ModuleList(
            nn.Sequential(*convolutions(read * channels, channels), nn.Dropout(DROPOUT)) for read in range(1, blocks)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The last block's output."""
        outputs = [self.first(features)]
        for block in self.others:
            outputs.insert(0, block(torch.cat(outputs, dim=1)))
        return outputs[0]


class RecurrentUp(nn.Module):
    """One level of the decoder: upsampled by 2, merged with the encoder's features by a ConvLSTM, convolved twice.

    The ConvLSTM reads [skip, upsampled] as a sequence of two images, backwards or in both directions.

    Args:
        in_channels: channels of what comes from below.
        channels: channels of the skip and of the result.
        hidden_channels: channels of the ConvLSTM's output.
        bidirectional: merge by a `BidirectionalConvLSTM`.
        squeeze: weight channels by squeeze and excitation, before the batch normalisation and at the end.
    """

    def __init__(
        self, in_channels: int, channels: int, hidden_channels: int, bidirectional: bool, squeeze: bool
    ) -> None:
        super().__init__()
        self.upsample = nn.Sequential(
            he_normal(nn.ConvTranspose2d(in_channels, channels, 2, stride=2)),
            squeeze_excite(channels) if squeeze else nn.Identity(),
            nn.BatchNorm2d(channels, eps=1e-3),  # as in Keras, whose momentum (here 0.01) takes some hundred steps
            nn.ReLU(inplace=True),
        )
        self.merge: nn.Module = (
            BidirectionalConvLSTM(channels, hidden_channels)
            if bidirectional
            else ConvLSTM(channels, hidden_channels, backwards=True)
        )
        for part in self.merge.modules():
            if isinstance(part, ConvLSTM):
                nn.init.kaiming_normal_(part.input.weight, nonlinearity="relu")  # as released; Glorot elsewhere
        self.convolutions = convolutions(hidden_channels, channels)
        self.squeeze = squeeze_excite(channels) if squeeze else nn.Identity()

    def forward(self, features: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """(B, channels, X, Y) of features (B, in_channels, X / 2, Y / 2) and a skip (B, channels, X, Y)."""
        return self.squeeze(self.convolutions(self.merge([skip, self.upsample(features)])))


def head(in_channels: int, out_channels: int) -> nn.Sequential:
    """A 3 x 3 convolution to two channels for each logit, ReLU, and a 1 x 1 convolution to the logits.

    The released head is for one logit and so has two channels; of two channels alone, more logits than two would be
    linear combinations.
    """
    last = nn.Conv2d(2 * out_channels, out_channels, 1)
    nn.init.xavier_uniform_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*convolutions(in_channels, 2 * out_channels, count=1), last)


class DenseRecurrentUNet(nn.Module):
    """How features go through either network; the subclasses build the parts.

    Attributes:
        levels: the encoder's three, the finest first.
        dropout: on the third level's skip, not on what is pooled there.
        dense: the bottom.
        ups: the decoder's levels, the coarsest first.
        head: features to logits.
    """

    levels: nn.ModuleList
    dropout: nn.Module
    dense: nn.Module
    ups: nn.ModuleList
    head: nn.Module

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (B, out_channels, X, Y) of images (B, in_channels, X, Y) of any size."""
        features = padded(images, multiple=8)
        skips = []
        for level in self.levels:  # (B, C, X, Y) to (B, 2C, X/2, Y/2)
            skips.append(level(features))
            features = nn.functional.max_pool2d(skips[-1], 2)
        skips[-1] = self.dropout(skips[-1])
        features = self.dense(features)
        for up in self.ups:  # and back again
            features = up(features, skips.pop())
        return cropped(self.head(features), images)
