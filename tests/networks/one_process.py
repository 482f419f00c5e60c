"""DistributedDataParallel in this process alone: what it asks of a network, without a second one."""

from contextlib import contextmanager

import torch


@contextmanager
def wrapped(network, folder):
    """The network as `multi_gpu_train.yaml` wraps it."""
    place = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=place, rank=0, world_size=1)
    try:
        yield torch.nn.parallel.DistributedDataParallel(network, broadcast_buffers=False)
    finally:
        torch.distributed.destroy_process_group()
