"""The network inside a wrapper for several processes."""

from __future__ import annotations

import torch


def unwrapped(network: torch.nn.Module) -> torch.nn.Module:
    """The module that `DistributedDataParallel` wraps, or `network` itself: state dicts are named without a wrapper."""
    wrapped = isinstance(network, torch.nn.parallel.DistributedDataParallel)
    return network.module if wrapped else network
