"""The order of samples as a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
from torch.utils.data import Sampler

from medseg.seeds import pure_seed


class EpochSampler(Sampler):
    """Yields ``(epoch, index)`` in an order drawn from (seed, epoch); `medseg.caches.CachedDataset` takes the pairs.

    Set `epoch` when an epoch starts, and `skip`, how many of its samples this process has had already (the trainers
    do). With several processes each takes every world-th sample; a remainder that would give some of them one more is
    left to other epochs.

    Args:
        data_source: what is sampled; only its length is used.
        rank, world: this process and how many there are.
    """

    def __init__(self, data_source: Sized, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        self.size, self.seed, self.rank, self.world = len(data_source), seed, rank, world
        self.epoch, self.skip = 1, 0

    def __len__(self) -> int:
        return self.size // self.world

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng(pure_seed("order", self.seed, self.epoch)).permutation(self.size)
        mine = order[: len(self) * self.world][self.rank :: self.world][self.skip :]
        return iter([(self.epoch, int(index)) for index in mine])
