"""What images a network takes: any size, for networks that halve it several times, or one size alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from medseg.errors import DataError, Fault, UsageError
from medseg.settings import whole_number


def padded(images: torch.Tensor, multiple: int, least: int = 1) -> torch.Tensor:
    """Images (B, C, X, Y[, Z]), their edge repeated at the end of each axis up to a multiple and a least size.

    Args:
        multiple: what the sizes of the result divide by.
        least: the smallest size of the result.
    """
    least = math.ceil(least / multiple) * multiple
    more = [max(n + (-n) % multiple, least) - n for n in images.shape[2:]]
    if not torch.jit.is_tracing() and not any(more):
        return images
    ends = [end for extra in reversed(more) for end in (0, extra)]  # torch counts from the last axis
    return torch.nn.functional.pad(images, ends, mode="replicate")


def cropped(logits: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Logits (B, C, X', Y'[, Z']) without what lies beyond the images `like` (B, C, X, Y[, Z]) at each axis's end."""
    return logits[(slice(None), slice(None), *(slice(n) for n in like.shape[2:]))]


def channels_last(network: torch.nn.Module) -> None:
    """Lay out the weights of a network's 2D convolutions with the channels last, as the maps that they give then are.

    The result is the same but for the last digits. On a CPU a step takes about 5 to 15 % less time, a prediction
    about 20 % (``docs/networks.md``). Of volumes it makes nothing quicker.
    """
    network.to(memory_format=torch.channels_last)


def per_axis(name: str, value: Sequence[int] | int, axes: int) -> tuple[int, ...]:
    """`value` for each of the spatial axes: one number for all of them, or as many as there are.

    Raises:
        UsageError: E903, another number of values, or one that is no whole number above 0.
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * axes
    if len(values) != axes:
        fix = f"set {name} to one number, or to one for each of the {axes} spatial axes"
        raise UsageError(Fault("E903", f"{name} has the wrong length", fix, str(axes), f"{len(values)}: {values}"))
    return tuple(whole_number(name, each) for each in values)


def refuse_other_sizes(images: torch.Tensor, size: Sequence[int], network: str) -> None:
    """Nothing, if images (B, C, X, Y[, Z]) have the one spatial size that a network takes.

    Raises:
        DataError: E204, they have another.
    """
    if tuple(images.shape[2:]) != tuple(size):
        fix = "predict in sliding windows of that size (patch_size), or set img_size to the images' own and train anew"
        found = str(tuple(images.shape[2:]))
        raise DataError(Fault("E204", f"{network} takes images of one size alone", fix, str(tuple(size)), found))
