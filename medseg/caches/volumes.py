"""Pre-processed cases on disk, keyed by the files' content, the transforms and the library versions."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from medseg import files
from medseg.caches.keyed import KeyedDataset
from medseg.caches.one_thread import one_thread, without_onednn
from medseg.processes import share

logger = logging.getLogger(__name__)

DIGEST_BYTES = 16
FORMAT = 1  # of an entry; raise it when `_stored` changes


class CachedDataset(KeyedDataset):
    """Items after the transforms up to the first random one, computed once and read back from disk.

    An entry is keyed as `medseg.caches.keyed.KeyedDataset` says and written atomically with a digest; a damaged entry
    is computed again.

    Args:
        data, transform, cache_dir, seed: as for `medseg.caches.keyed.KeyedDataset`.
        keep_mb: how many megabytes of entries stay in memory (in each worker); the rest is read each time.

    Raises:
        MedsegError: E504, if the cache folder belongs to another user or others may write to it.
    """

    entry_format = FORMAT

    def __init__(
        self,
        data: Sequence,
        transform: Any,
        cache_dir: str | Path | None = None,
        seed: int = 0,
        keep_mb: float = 512.0,
    ) -> None:
        super().__init__(data, transform, cache_dir, seed)
        self.keep_mb = keep_mb
        self._forget()

    def set_data(self, data: Sequence) -> None:
        """Take other items, and forget those that were kept in memory."""
        super().set_data(data)
        self._forget()

    def fill(self, workers: int = 0) -> None:
        """Compute the entries that the cache folder lacks, now, with a progress bar; several processes share them.

        Args:
            workers: so many processes compute them; 0 for this one.

        Raises:
            DataError: what the transforms refuse.
        """
        missing = [item for item in share(self.data) if not (self.cache_dir / f"{self._key(item)}.pt").is_file()]
        if missing:
            loader = DataLoader(_Entries(self, missing), batch_size=None, num_workers=min(workers, len(missing)))
            for _ in tqdm(loader, "preprocessing", unit="case", disable=None, dynamic_ncols=True):
                pass

    def _forget(self) -> None:
        self._kept: dict[Path, dict[str, Any]] = {}
        self._room = int(self.keep_mb * 1e6)

    def _cachecheck(self, item_transformed: Any) -> Any:
        path = self.cache_dir / f"{self._key(item_transformed)}.pt"
        entry = self._kept.get(path) or self._read(path)
        if entry is None:
            with without_onednn():
                computed = self._pre_transform(dict(item_transformed))
            entry = {key: _stored(value) for key, value in computed.items() if isinstance(value, torch.Tensor)}
            stream = io.BytesIO()
            torch.save(entry, stream)
            content = stream.getvalue()
            files.write_bytes(path, hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest() + content)
        self._keep(path, entry)
        tensors = {key: _restored(value) for key, value in entry.items()}
        return {key: value for key, value in item_transformed.items() if key not in tensors} | tensors

    def _keep(self, path: Path, entry: dict[str, Any]) -> None:
        if path not in self._kept:
            size = sum(value["data"].nbytes for value in entry.values())
            if size <= self._room:
                self._kept[path], self._room = entry, self._room - size

    def _read(self, path: Path) -> dict[str, Any] | None:
        if not path.is_file():
            return None
        content = path.read_bytes()
        digest, body = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest() != digest:
            logger.warning("the cache entry %s is damaged; it is computed again", path)
            return None
        return torch.load(io.BytesIO(body), weights_only=True)


class _Entries(Dataset):
    """What is computed for each item, for its being written alone."""

    def __init__(self, cached: CachedDataset, items: Sequence) -> None:
        self.cached, self.items = cached, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> int:
        with one_thread():
            self.cached._cachecheck(self.items[place])
        return place


def _stored(tensor: torch.Tensor) -> dict[str, Any]:
    """A tensor in types that ``torch.load(weights_only=True)`` takes; the trace of its transforms is dropped."""
    if not isinstance(tensor, MetaTensor):
        return {"data": tensor}
    meta = {key: _plain(value) for key, value in tensor.meta.items() if key != "affine"}
    return {"data": tensor.as_tensor().contiguous(), "affine": tensor.affine, "meta": meta}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(value.astype(value.dtype.newbyteorder("="), copy=True))
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return str(value) if isinstance(value, (Enum, Path)) else value


def _restored(entry: dict[str, Any]) -> torch.Tensor:
    return MetaTensor(entry["data"], entry["affine"], dict(entry["meta"])) if "meta" in entry else entry["data"]
