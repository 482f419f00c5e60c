"""Images of any size for networks that halve it several times."""

from __future__ import annotations

import math

import torch


def padded(images: torch.Tensor, multiple: int, least: int = 1) -> torch.Tensor:
    """Images (B, C, X, Y), their edge repeated at the end of each axis up to a multiple and a least size.

    Args:
        multiple: what the sizes of the result divide by.
        least: the smallest size of the result.
    """
    least = math.ceil(least / multiple) * multiple
    x, y = (max(n + (-n) % multiple, least) - n for n in images.shape[2:])
    if not torch.jit.is_tracing() and x == y == 0:
        return images
    return torch.nn.functional.pad(images, [0, y, 0, x], mode="replicate")


def cropped(logits: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Logits (B, C, X', Y') without what `padded` added to the images `like` (B, C, X, Y)."""
    return logits[:, :, : like.shape[2], : like.shape[3]]
