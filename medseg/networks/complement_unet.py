"""A U-Net that learns what is outside a structure."""

from __future__ import annotations

from typing import Any

import torch

from medseg.networks.unet import UNet


class ComplementUNet(UNet):
    """`UNet`, whose logits are of what is in the body and not the structure (`medseg.transforms.InvertWithinBodyd`).

    Its weights hold one tensor more than those of a U-Net, ``outside``, so that neither takes the other's: predictions
    would be each other's complement, and nobody would be told. `medseg.inference.InvertedInferer` turns them back.

    Args:
        args, kwargs: those of `UNet`.
    """

    outside: torch.Tensor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("outside", torch.ones(()))
