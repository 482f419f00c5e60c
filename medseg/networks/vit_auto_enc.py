"""MONAI's vision-transformer autoencoder as a segmentation network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import monai.networks.nets
import torch

from medseg.errors import Fault, UsageError
from medseg.networks.fit import per_axis, refuse_other_sizes


class ViTAutoEnc(monai.networks.nets.ViTAutoEnc):
    """`monai.networks.nets.ViTAutoEnc` (after Dosovitskiy et al., 2021, arXiv:2010.11929) that gives logits alone.

    An image becomes one token a patch, with a learnt position for each; transformer blocks follow, and two transposed
    convolutions whose kernels are the square roots of the patch's sides. MONAI's gives the hidden states beside the
    logits. ``patch_embedding``, ``blocks`` and ``norm`` are named as those of MONAI's `ViT` and of `UNETR.vit`.
    89,178,386 parameters from 1 to 2 channels of (128, 128, 64) voxels in patches of 16 with the defaults; 18,432 of
    them are of layers that MONAI builds and never uses, and are not trained.

    Args:
        in_channels: channels of the image.
        img_size: the one size (X, Y[, Z]) that it takes, or one number for all sides.
        patch_size: a patch's sides: perfect squares (4, 9, 16, 25, …) that divide the image's.
        out_channels: channels of the logits.
        spatial_dims: 2 or 3.
        kwargs: MONAI's own (``hidden_size``, ``mlp_dim``, ``num_layers``, ``num_heads``, ``deconv_chns``, …).

    Raises:
        UsageError: E903, sizes that do not fit each other; it says which would.
    """

    def __init__(
        self,
        in_channels: int,
        img_size: Sequence[int] | int,
        patch_size: Sequence[int] | int,
        out_channels: int = 1,
        spatial_dims: int = 3,
        **kwargs: Any,
    ) -> None:
        sides = per_axis("img_size", img_size, spatial_dims)
        patch = per_axis("patch_size", patch_size, spatial_dims)
        for side, part in zip(sides, patch, strict=True):
            _refuse_patch(side, part)
        super().__init__(in_channels, sides, patch, out_channels, spatial_dims=spatial_dims, **kwargs)
        for name, parameter in self.named_parameters():
            if "norm_cross_attn" in name:  # never used, on which DistributedDataParallel would stop
                parameter.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (B, in_channels, X, Y[, Z]) of `img_size` to logits (B, out_channels, X, Y[, Z]).

        Raises:
            DataError: E204, images of another size.
        """
        refuse_other_sizes(x, self.img_size, "ViTAutoEnc")
        return super().forward(x)[0]


def _refuse_patch(side: int, part: int) -> None:
    """Nothing, if patches with a side of `part` voxels fit an image with one of `side`; UsageError E903 otherwise."""
    square = math.isqrt(part) ** 2 == part
    if square and side % part == 0:
        return
    fits = [str(root**2) for root in range(2, math.isqrt(side) + 1) if side % root**2 == 0]
    expected = f"patch_size {' or '.join(fits)} for a side of {side}" if fits else "a side that 4, 9, 16 or 25 divides"
    sizes = sorted({max(1, side // part) * part, -(-side // part) * part})
    other = f"img_size to {' or '.join(map(str, sizes))}" if square else "img_size to a multiple of 4, 9, 16 or 25"
    fix = f"set patch_size to one of those, or {other}" if fits else f"set {other}"
    what = "the sides of a patch are perfect squares, and divide the image's"
    raise UsageError(Fault("E903", what, fix, expected, f"patch_size {part} for a side of {side}"))
