"""U-Net in the forms that published segmentations of chest, prostate, lung tumour and skin were made with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from medseg.errors import DataError, Fault, UsageError
from medseg.networks.fit import channels_last, cropped, padded
from medseg.settings import choice, switch, whole_number

MARGIN = 92  # pixels that valid convolutions of five levels cost at each side: 572 become 388
LEAST_OUTPUT = 4  # pixels of the smallest output of those, of an image of 188


@dataclass(frozen=True)
class _Form:
    """What distinguishes the forms. Channels are multiples of the width.

    Attributes:
        encoder: channels of each level, the finest first.
        decoder: for each step up, the coarsest first: channels after upsampling, first and second convolution.
        up: how each step doubles the size: ``bilinear``, ``transposed`` convolution, or ``nearest`` and a convolution.
        norm: whether batch normalisation follows each 3x3 convolution.
        valid: whether the 3x3 convolutions take a pixel off each side.
        dropout: that of the two coarsest levels.
        rectified_head: whether rectified maps, two for each output, come before the last 1x1 convolution.
    """

    encoder: tuple[int, ...]
    decoder: tuple[tuple[int, int, int], ...]
    up: str
    norm: bool = False
    valid: bool = False
    dropout: float = 0.0
    rectified_head: bool = False


_FIVE = (1, 2, 4, 8, 16)
_HALVED = ((8, 8, 8), (4, 4, 4), (2, 2, 2), (1, 1, 1))
_FORMS = {
    "padded": _Form((1, 2, 4, 8, 8), ((8, 8, 4), (4, 4, 2), (2, 2, 1), (1, 1, 1)), "bilinear", norm=True),
    "padded_transposed": _Form(_FIVE, _HALVED, "transposed", norm=True),
    "ronneberger": _Form(_FIVE, _HALVED, "transposed", valid=True),
    "primakov": _Form(_FIVE, _HALVED, "nearest", dropout=0.5, rectified_head=True),
    "bcdu_baseline": _Form(
        (1, 2, 4, 8), ((8, 4, 4), (4, 2, 2), (1, 1, 1)), "nearest", dropout=0.5, rectified_head=True
    ),
}


class UNet(nn.Module):
    """U-Net (Ronneberger et al., 2015, doi:10.1007/978-3-319-24574-4_28) for 2D images of any size.

    Every level is two 3x3 convolutions with ReLU, 2x2 max-pooling lies between levels, and each step up doubles the
    size, takes the encoder's maps of that size beside its own, and convolves twice. Forms:

    - ``padded``: zero-padded convolutions with batch normalisation, as many channels at the fifth level as at the
      fourth, bilinear upsampling; github.com/DavidSriker/Unet, for chest X-ray and prostate MRI.
      17,266,241 parameters from 1 to 1 channel.
    - ``padded_transposed``: that repository's other option, 2x2 transposed convolutions and 16 times the width at the
      fifth level; 31,042,369.
    - ``ronneberger``: the paper's, with valid convolutions and without normalisation; 31,030,658 from 1 to 2 channels.
    - ``primakov``: for lung tumours in CT (Primakov et al., 2022, doi:10.1038/s41467-022-30841-3), model_v7; nearest
      upsampling and a 2x2 convolution, dropout; 31,031,685 from 1 to 1.
    - ``bcdu_baseline``: what BCDU-Net was compared with (Azad et al., 2019, doi:10.1109/ICCVW.2019.00052); as the
      former with four levels and a third step up that takes channels from 128 to 64 at once; 9,091,461 from 3 to 1.

    The last two end in a 3x3 convolution to 2 rectified maps and a 1x1 convolution to the one output; here there are 2
    maps for each output channel. Forms without normalisation draw their weights from normal distributions of variance
    2 / N, N being the values that one output value is summed over (He et al., 2015); biases are 0.

    Valid convolutions lose 92 pixels at each side. The paper makes up for them by mirroring the image at its border
    pixels (which are not repeated); here an image smaller than that is mirrored to and fro, and one of a single pixel
    repeated. `mirror` does that, so that logits have the image's size. Without it they are those of its middle, 16k + 4
    pixels wide (388 of 572, 68 of 256); there, the encoder's maps of an image whose size is not 16k + 12 are cropped up
    to 7 pixels away from where those that they join come from, since pooling drops what it cannot halve.

    Args:
        in_channels: channels of the image.
        out_channels: channels of the logits.
        width: channels of the finest level, which all others are multiples of.
        form: one of those above.
        mirror: for ``ronneberger``, logits of the image's size instead of the smaller ones.

    Raises:
        UsageError: E903, a channel number or width below 1, another form, or `mirror` false where nothing is lost.
    """

    def __init__(
        self, in_channels: int, out_channels: int, width: int = 64, form: str = "padded", mirror: bool = True
    ) -> None:
        super().__init__()
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels), ("width", width)):
            whole_number(name, value)
        settings = _FORMS[choice("form", form, _FORMS)]
        if not switch("mirror", mirror) and not settings.valid:
            fix = "set form to ronneberger, or leave mirror out"
            raise UsageError(Fault("E903", "mirror is for valid convolutions", fix, "true", "false"))
        self.valid, self.mirror, self.multiple = settings.valid, mirror, 2 ** (len(settings.encoder) - 1)
        self.encoder, self.ups, self.decoder = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels = in_channels
        levels = [width * factor for factor in settings.encoder]
        for level, wanted in enumerate(levels):
            pool = [nn.MaxPool2d(2)] if level else []
            drop = [nn.Dropout(settings.dropout)] if settings.dropout and level >= len(levels) - 2 else []
            self.encoder.append(nn.Sequential(*pool, *_double(settings, channels, wanted, wanted), *drop))
            channels = wanted
        for skip, factors in zip(levels[-2::-1], settings.decoder, strict=True):
            risen, middle, wanted = (width * factor for factor in factors)
            self.ups.append(_up(settings.up, channels, risen))
            self.decoder.append(nn.Sequential(*_double(settings, skip + risen, middle, wanted)))
            channels = wanted
        self.head = _head(channels, out_channels, settings.rectified_head)
        if not settings.norm:
            self.apply(_draw_as_he)
        channels_last(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, in_channels, X, Y) to logits (B, out_channels, X, Y), or smaller ones without `mirror`.

        Raises:
            DataError: E204, without `mirror`, an image below 188 x 188, of which nothing would be left.
        """
        maps, skips = self._fitted(images), []
        for level in self.encoder:  # (B, C, X, Y) to (B, 2C, X/2, Y/2), less what valid convolutions cost
            maps = level(maps)
            skips.append(maps)
        skips.pop()  # the coarsest maps go up themselves
        for up, level in zip(self.ups, self.decoder, strict=True):  # back again
            maps = up(maps)
            maps = level(torch.cat([_middle(skips.pop(), maps), maps], 1))
        return cropped(self.head(maps), images)

    def _fitted(self, images: torch.Tensor) -> torch.Tensor:
        """Images of a size that the levels halve evenly, with what valid convolutions will cost."""
        if not self.valid:
            return padded(images, self.multiple)
        if self.mirror:
            for axis in (2, 3):
                images = _mirrored(images, axis, (LEAST_OUTPUT - images.shape[axis]) % self.multiple)
            return images
        least, size = LEAST_OUTPUT + 2 * MARGIN, tuple(images.shape[2:])
        if min(size) < least:
            fix = "take larger images, or set mirror to true"
            raise DataError(Fault("E204", "too small for valid convolutions", fix, f"{least} or more", str(size)))
        return images


def conv_2x2(in_channels: int, out_channels: int) -> nn.Sequential:
    """A 2x2 convolution with ReLU that keeps the size as Keras does: the zeros lie at the end of each axis."""
    return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(in_channels, out_channels, 2), nn.ReLU(inplace=True))


def _double(form: _Form, channels: int, middle: int, wanted: int) -> list[nn.Module]:
    """Two 3x3 convolutions, each with the form's normalisation and with ReLU."""
    layers: list[nn.Module] = []
    for before, after in ((channels, middle), (middle, wanted)):
        norm = [nn.BatchNorm2d(after)] if form.norm else []
        layers += [nn.Conv2d(before, after, 3, padding=0 if form.valid else 1), *norm, nn.ReLU(inplace=True)]
    return layers


def _up(kind: str, channels: int, wanted: int) -> nn.Module:
    """From (B, channels, X, Y) to (B, wanted, 2X, 2Y)."""
    if kind == "bilinear":  # `wanted` is `channels`
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    if kind == "transposed":
        return nn.ConvTranspose2d(channels, wanted, 2, stride=2)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), conv_2x2(channels, wanted))


def _head(channels: int, wanted: int, rectified: bool) -> nn.Module:
    if not rectified:
        return nn.Conv2d(channels, wanted, 1)
    maps = 2 * wanted
    return nn.Sequential(nn.Conv2d(channels, maps, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(maps, wanted, 1))


def _draw_as_he(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        summed = module.weight[0].numel()
    elif isinstance(module, nn.ConvTranspose2d):
        summed = module.in_channels  # kernel and stride are the same, so that each pixel comes from one
    else:
        return
    nn.init.normal_(module.weight, std=math.sqrt(2 / summed))
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _middle(skip: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The middle of the maps (B, C, X', Y') that has the size of `like` (B, C', X, Y)."""
    if skip.shape[2:] == like.shape[2:]:
        return skip
    (x, y), (wide, high) = ((a - b) // 2 for a, b in zip(skip.shape[2:], like.shape[2:], strict=True)), like.shape[2:]
    return skip[:, :, x : x + wide, y : y + high]


def _mirrored(images: torch.Tensor, axis: int, more: int) -> torch.Tensor:
    """Images with `MARGIN` pixels of their mirror image at each end of an axis, and `more` at its end.

    Written in indices, since `torch.nn.functional.pad` mirrors once only, and so that an exported network fits images
    of any size.
    """
    length = images.shape[axis]
    places = torch.arange(-MARGIN, length + MARGIN + more, device=images.device)
    there_and_back = max(2 * (length - 1), 1)
    places = (length - 1) - ((places % there_and_back) - (length - 1)).abs()
    return images.index_select(axis, places)
