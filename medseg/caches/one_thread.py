"""The same bits however many cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from monai.data import Dataset


class OneThreadDataset(Dataset):
    """MONAI's ``Dataset`` whose transforms run with one thread of PyTorch.

    Sums and products of matrices round in another way with more threads, and a loader's worker has one: without this a
    case would differ by a bit between worker and main process, and a mask by a voxel between two computers.
    """

    def __getitem__(self, index: Any) -> Any:
        """The transformed item."""
        with one_thread(), without_onednn():
            return super().__getitem__(index)


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch's operations with one thread, in this thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def without_onednn() -> Iterator[None]:
    """Convolutions by PyTorch's own code.

    oneDNN keeps what it prepares for each size of an image, over a hundred megabytes where a whole volume is smoothed
    before it is made smaller, and volumes hardly ever have one size twice: memory grew with each of them.
    """
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # its context manager `flags` warns of GPUs on every computer
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before
