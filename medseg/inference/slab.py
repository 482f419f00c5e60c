"""Sliding windows over long volumes in the memory of the scores, with a progress bar."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.inferers import Inferer
from monai.utils import ensure_tuple_rep
from tqdm import tqdm

from medseg.volumes.slabs import slabs

BAR_AFTER_S = 2.0  # shorter predictions show no bar of their own beside that of the cases

Window = tuple[slice, ...]


class SlabInferer(Inferer):
    """MONAI's ``SlidingWindowInferer``, bit for bit in float32, without its map of weights for the whole volume.

    The weights of overlapping windows are summed slab by slab, when all windows are predicted: beside the input and the
    scores little memory is held, whatever the length of the volume. Below autocast the scores of windows are blended in
    the input's type, not in the network's. A prediction that takes more than 2 seconds shows a bar over the windows of
    its volume, on a terminal.

    Args:
        roi_size: the window (voxels); one size for all axes, or one an axis. An input that is smaller is padded.
        sw_batch_size: how many windows the network gets at once.
        overlap: of neighbouring windows, as a share of their size from 0 to below 1.
        mode: ``constant`` or ``gaussian``, the weights of a window's voxels.
        padding_mode: ``constant`` (zeros), ``reflect``, ``replicate`` or ``circular``.

    Raises:
        ValueError: the overlap is no such share, or there is another number of sizes than of axes.
        TypeError: the network gives something else than one tensor (B, C', …) of the windows' size.
    """

    def __init__(
        self,
        roi_size: Sequence[int] | int,
        sw_batch_size: int = 1,
        overlap: float = 0.25,
        mode: str = "constant",
        padding_mode: str = "constant",
    ) -> None:
        if not 0 <= overlap < 1:
            raise ValueError(f"expected an overlap from 0 to below 1, found {overlap}")
        self.roi_size, self.sw_batch_size, self.overlap = roi_size, sw_batch_size, overlap
        self.mode, self.padding_mode = mode, padding_mode

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Scores (B, C', X, Y[, Z]) for `inputs` (B, C, X, Y[, Z]), of their type, on their device."""
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        size = ensure_tuple_rep(self.roi_size, plain.ndim - 2)
        missing = [max(0, wanted - n) for wanted, n in zip(size, plain.shape[2:], strict=True)]
        if any(missing):
            sides = [(gap // 2, gap - gap // 2) for gap in missing]
            padded = F.pad(plain, list(itertools.chain(*reversed(sides))), mode=self.padding_mode)
        else:
            padded = plain
        steps = [max(1, int(n * (1 - self.overlap))) for n in size]
        windows = dense_patch_slices(padded.shape[2:], size, steps)
        weights = compute_importance_map(size, mode=self.mode, device=plain.device, dtype=plain.dtype)
        scores = self._sum(padded, windows, weights, lambda batch: network(batch, *args, **kwargs))
        _divide(scores, windows, weights)
        inner = [slice(gap // 2, gap // 2 + n) for gap, n in zip(missing, plain.shape[2:], strict=True)]
        scores = scores[(slice(None), slice(None), *inner)]
        return MetaTensor(scores).copy_meta_from(inputs, copy_attr=False) if isinstance(inputs, MetaTensor) else scores

    def _sum(
        self, inputs: torch.Tensor, windows: Sequence[Window], weights: torch.Tensor, network: Callable[..., Any]
    ) -> torch.Tensor:
        """The sum over windows of their weighted scores: (B, C', X, Y[, Z])."""
        places = list(itertools.product(range(len(inputs)), windows))  # in MONAI's order, which decides on the last bit
        total: torch.Tensor | None = None
        with tqdm(desc="windows", total=len(places), unit="window", leave=False, disable=None, file=sys.stderr,
                  dynamic_ncols=True, delay=BAR_AFTER_S) as bar:  # fmt: skip
            for first in range(0, len(places), self.sw_batch_size):
                chosen = places[first : first + self.sw_batch_size]
                found = network(torch.stack([inputs[(sample, slice(None), *window)] for sample, window in chosen]))
                _refuse_other(found, (len(chosen), *weights.shape))
                if total is None:
                    total = inputs.new_zeros((len(inputs), found.shape[1], *inputs.shape[2:]))
                for (sample, window), each in zip(chosen, found, strict=True):
                    total[(sample, slice(None), *window)] += each.to(total) * weights
                bar.update(len(chosen))
        assert total is not None  # there is at least one window
        return total


def _divide(scores: torch.Tensor, windows: Sequence[Window], weights: torch.Tensor) -> None:
    """Divide the sums (B, C', X, …) by what the weights of the windows sum to."""
    for slab in slabs(scores.shape[2:]):
        total = scores.new_zeros((slab.stop - slab.start, *scores.shape[3:]))
        for first, *others in windows:
            low, high = max(first.start, slab.start), min(first.stop, slab.stop)
            if low < high:
                place = slice(low - slab.start, high - slab.start)
                total[(place, *others)] += weights[low - first.start : high - first.start]
        scores[:, :, slab] /= total


def _refuse_other(found: Any, expected: tuple[int, ...]) -> None:
    """Scores of another kind than one tensor, or of another size than the windows (B, X, …)."""
    if not isinstance(found, torch.Tensor):
        raise TypeError(f"SlabInferer takes networks that give one tensor, found {type(found).__name__}")
    if (found.shape[0], *found.shape[2:]) != expected:
        raise TypeError(f"SlabInferer takes networks that give their input's size, found {tuple(found.shape)} "
                        f"for windows of {math.prod(expected[:1])} x {expected[1:]}")  # fmt: skip
