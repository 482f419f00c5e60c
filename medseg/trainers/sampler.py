"""The order of samples as a pure function of (seed, epoch), and which process takes which."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
from torch.utils.data import Sampler

from medseg.errors import Fault, UsageError
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


class ShareSampler(Sampler):
    """Yields every world-th index in order, from `rank` on: no case is scored twice, also where they do not divide.

    MONAI's ``DistributedSampler`` with ``even_divisible=False`` does so too, but names no fix where cases are too few.

    Args:
        data_source: what is evaluated; only its length is used.
        rank, world: this process and how many there are.

    Raises:
        UsageError: E903, there are fewer cases than processes: ignite has no empty epochs.
    """

    def __init__(self, data_source: Sized, rank: int = 0, world: int = 1) -> None:
        self.indices = range(rank, len(data_source), world)
        if len(data_source) < world:
            fix = "start fewer processes, or evaluate more cases (held_out)"
            raise UsageError(Fault("E903", "there are fewer cases to evaluate than processes", fix,
                                   f"at least {world} cases", f"{len(data_source)}"))  # fmt: skip

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)
