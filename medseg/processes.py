"""What the processes of one run tell each other; a run of one process tells itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist


def several() -> bool:
    """Whether the run has several processes (those of `torchrun`)."""
    return dist.is_available() and dist.is_initialized()


def from_first(value: Any) -> Any:
    """What the first process has."""
    values = [value]
    if several():
        dist.broadcast_object_list(values)
    return values[0]


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether any process says yes; all of them get the same answer."""
    if not several():
        return flag
    value = torch.tensor([float(flag)], device=device)
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return bool(value.item())


def gathered(own: list[Any]) -> list[Any]:
    """The parts of all processes, one after the other."""
    if not several():
        return own
    parts: list[list[Any]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, own)
    return [each for part in parts for each in part]


def share(items: Sequence[Any]) -> Sequence[Any]:
    """This process's share of a list."""
    return items[dist.get_rank() :: dist.get_world_size()] if several() else items


def average_(buffer: torch.Tensor) -> None:
    """Replace a tensor by its mean over the processes."""
    if several():
        dist.all_reduce(buffer)
        buffer /= dist.get_world_size()
