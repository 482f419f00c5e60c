"""MAP-Net, whose paths keep three resolutions side by side."""

from __future__ import annotations

import functools
import itertools
import math

import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d

from medseg.networks.fit import channels_last, cropped, padded
from medseg.settings import number, whole_number

POOLED = (2, 3, 5, 6)  # sides of the squares of spatial pooling
MULTIPLE, LEAST = 16, 32  # of the image's sides: the coarsest path has 1/16, and 1/4 must hold the largest square
BLOCKS = 4  # residual blocks of a path between two fusions, and bottlenecks of the first stage


class MAPNet(nn.Module):
    """MAP-Net (Zhu et al., 2021, doi:10.1109/TGRS.2020.3026051) for 2D images of any size.

    As in the authors' code (github.com/lehaifeng/MAPNet): three paths of 1/4, 1/8 and 1/16 of the image's size, with
    64, 128 and 256 channels, are worked on by residual blocks and exchange what they found in fusions, as in HRNet.
    Brought to one size, they are weighted channel by channel (`ChannelSqueeze`), and the two coarse ones are seen at
    five scales (`SpatialPooling`); both go through two upsampling steps to the logits. 24,001,184 parameters from 3 to
    1 channel, 24,000,032 from 1 to 1.

    Convolutions have no bias and follow batch normalisation and ReLU, but for the stem's, which precede them. Weights
    are drawn from normal distributions of variance 1 / N, cut at two standard deviations, N being the values that an
    output value is summed over. Upsampling places pixel centres as PyTorch does, by up to half a coarse pixel
    elsewhere than TensorFlow 1.

    Args:
        in_channels: channels of the image.
        out_channels: channels of the logits.
        width: channels of the finest path, which all others are multiples of but the last, of half as many.
        norm_momentum: the weight of a new batch in the running statistics of batch normalisation. The authors' code has
            0.01 (there called 0.99): for some hundred steps what is predicted has little to do with what was trained.

    Raises:
        UsageError: E903, a channel number below 1, a width below 2, or a momentum that is not between 0 and 1.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 64, norm_momentum: float = 0.1) -> None:
        super().__init__()
        whole_number("in_channels", in_channels)
        whole_number("out_channels", out_channels)
        paths = [whole_number("width", width, 2), 2 * width, 4 * width]
        self.stem = _stem(in_channels, width)
        self.stage1 = nn.Sequential(*(_bottleneck(4 * width if n else width, width) for n in range(BLOCKS)))
        self.transition1 = _Transition([4 * width], paths[:2])
        self.stage2 = nn.Sequential(_Stage(paths[:2]), _Stage(paths[:2]))
        self.transition2 = _Transition(paths[:2], paths)
        self.stage3 = nn.Sequential(_Stage(paths), _Stage(paths), _Blocks(paths))
        self.enlarge = nn.ModuleList(_enlarged(paths[n], paths[n], 2**n) for n in (1, 2))
        self.squeeze = ChannelSqueeze(sum(paths))
        self.pooling = SpatialPooling()
        both = sum(paths) + (1 + len(POOLED)) * sum(paths[1:])
        self.head = nn.Sequential(
            _convolved(both, 2 * width, 1),
            _Bilinear(),
            _convolved(2 * width, width, 3),
            _Bilinear(),
            _convolved(width, width // 2, 3),
            _convolved(width // 2, out_channels, 1),
        )
        self.apply(_draw_as_tensorflow)
        momentum = number("norm_momentum", norm_momentum, 0.0, 1.0)
        for norm in self.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = momentum
        channels_last(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, in_channels, X, Y) to logits (B, out_channels, X, Y)."""
        maps = self.stage1(self.stem(padded(images, MULTIPLE, LEAST)))  # (B, 256, X/4, Y/4)
        paths = self.stage2(self.transition1([maps]))  # [(B, 64, X/4, Y/4), (B, 128, X/8, Y/8)]
        fine, *coarse = self.stage3(self.transition2(paths))  # and [(B, 256, X/16, Y/16)]
        enlarged = [enlarge(path) for enlarge, path in zip(self.enlarge, coarse, strict=True)]  # (B, …, X/4, Y/4)
        squeezed = self.squeeze(torch.cat([*enlarged, fine], 1))  # (B, 448, X/4, Y/4)
        pooled = self.pooling(torch.cat(enlarged, 1))  # (B, 1920, X/4, Y/4)
        return cropped(self.head(torch.cat([pooled, squeezed], 1)), images)


class ChannelSqueeze(nn.Module):
    """Each channel of maps (B, C, X, Y) times a weight between 0 and 1, which the means of all channels decide.

    The weights come from two fully connected layers of C values, with ReLU between them and a sigmoid at the end. Their
    own weights are drawn as TensorFlow does (Glorot and Bengio, 2010, uniform); biases are 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weights = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, channels), nn.Sigmoid()
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """The weighted maps."""
        return maps * self.weights(maps.mean((2, 3)))[:, :, None, None]


class SpatialPooling(nn.Module):
    """Maps (B, C, X, Y), and before them their maxima in squares of 2, 3, 5 and 6 pixels, enlarged: (B, 5C, X, Y).

    Squares lie side by side from the start of each axis; what does not fill one is left out.
    """

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """The maps at five scales."""
        pooled = [max_pool2d(maps, side) for side in POOLED]
        return torch.cat([*(interpolate(each, maps.shape[2:], mode="bilinear") for each in pooled), maps], 1)


class _Residual(nn.Module):
    """What a branch makes of the maps, added to them, or to what `shortcut` makes of them."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut or nn.Identity()

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.branch(maps) + self.shortcut(maps)


class _Transition(nn.Module):
    """Each path convolved to its wanted channels, and one more path, of half the size, from the last."""

    def __init__(self, channels: list[int], wanted: list[int]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(_convolved(*pair, 3) for pair in zip(channels, wanted, strict=False))
        self.new = _convolved(channels[-1], wanted[-1], 3, stride=2)

    def forward(self, paths: list[torch.Tensor]) -> list[torch.Tensor]:
        return [*(layer(path) for layer, path in zip(self.paths, paths, strict=True)), self.new(paths[-1])]


class _Blocks(nn.Module):
    """Four residual blocks of two 3x3 convolutions on each path."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(nn.Sequential(*(_residual_block(n) for _ in range(BLOCKS))) for n in channels)

    def forward(self, paths: list[torch.Tensor]) -> list[torch.Tensor]:
        return [blocks(path) for blocks, path in zip(self.paths, paths, strict=True)]


class _Stage(nn.Module):
    """Residual blocks on each path, then to each path all others, brought to its size and channels, are added."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.blocks = _Blocks(channels)
        self.exchange = nn.ModuleList(
            nn.ModuleList(_brought(channels, source, target) for source in range(len(channels)))
            for target in range(len(channels))
        )

    def forward(self, paths: list[torch.Tensor]) -> list[torch.Tensor]:
        paths = self.blocks(paths)
        brought = ([layer(path) for layer, path in zip(row, paths, strict=True)] for row in self.exchange)
        return [functools.reduce(torch.add, each) for each in brought]


class _Bilinear(nn.Upsample):
    """Maps (B, C, X, Y) to (B, C, 2X, 2Y)."""

    def __init__(self) -> None:
        super().__init__(scale_factor=2, mode="bilinear")


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)  # as in TensorFlow


def _conv(channels: int, wanted: int, kernel: int, stride: int = 1) -> nn.Module:
    """Without bias; of two strides the second pixel of each pair is the centre, as TensorFlow pads."""
    if stride == 1:
        return nn.Conv2d(channels, wanted, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, wanted, kernel, stride, bias=False))


def _convolved(channels: int, wanted: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_norm(channels), nn.ReLU(inplace=True), _conv(channels, wanted, kernel, stride))


def _stem(channels: int, width: int) -> nn.Sequential:
    """(B, channels, X, Y) to (B, width, X/4, Y/4)."""
    layers: list[nn.Module] = []
    for before, stride in ((channels, 2), (width, 1), (width, 1)):
        layers += [_conv(before, width, 3, stride), _norm(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


def _bottleneck(channels: int, width: int) -> _Residual:
    """To 4 times the width, through 1x1, 3x3 and 1x1 convolutions; with a projection where channels differ."""
    branch = nn.Sequential(_convolved(channels, width, 1), _convolved(width, width, 3), _convolved(width, 4 * width, 1))
    return _Residual(branch, _convolved(channels, 4 * width, 1) if channels != 4 * width else None)


def _residual_block(channels: int) -> _Residual:
    return _Residual(nn.Sequential(_convolved(channels, channels, 3), _convolved(channels, channels, 3)))


def _enlarged(channels: int, wanted: int, times: int) -> nn.Sequential:
    return nn.Sequential(_convolved(channels, wanted, 1), nn.Upsample(scale_factor=times, mode="nearest"))


def _brought(channels: list[int], source: int, target: int) -> nn.Module:
    """From one path's size and channels to another's."""
    if source == target:
        return nn.Identity()
    if source > target:
        return _enlarged(channels[source], channels[target], 2 ** (source - target))
    steps = [channels[source]] * (target - source) + [channels[target]]  # channels change at the last step
    layers = [(_convolved(*pair, 1), nn.MaxPool2d(2)) for pair in itertools.pairwise(steps)]
    return nn.Sequential(*(layer for pair in layers for layer in pair))


def _draw_as_tensorflow(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        # 0.8796 is the standard deviation of a standard normal distribution cut at two
        deviation = 1 / math.sqrt(module.weight[0].numel()) / 0.87962566103423978
        nn.init.trunc_normal_(module.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    elif isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
