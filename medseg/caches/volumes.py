"""Pre-processed cases on disk, keyed by the files' content, the transforms and the library versions."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import random
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.data import Dataset, MetaTensor, PersistentDataset
from monai.data.utils import pickle_hashing
from monai.transforms import Compose

import medseg
from medseg import files
from medseg.caches.one_thread import one_thread
from medseg.errors import Fault, MedsegError
from medseg.seeds import pure_seed

logger = logging.getLogger(__name__)

DIGEST_BYTES = 16
FORMAT = 1  # of an entry; raise it when `_stored` changes


class CachedDataset(PersistentDataset):
    """Items after the transforms up to the first random one, computed once and read back from disk.

    MONAI's ``PersistentDataset`` with other rules: an entry is keyed by what the files hold and where they lie, by
    the transforms and by the versions of MONAI, torch and medseg; it is written atomically with a digest; a damaged
    entry is computed again; the folder belongs to the user alone.

    Args:
        data: items whose strings that name files are read.
        transform: deterministic transforms first, random ones after.
        cache_dir: the folder, shared between runs; None for ``$MEDSEG_CACHE`` or ``~/.cache/medseg``.
        keep_mb: how many megabytes of entries stay in memory (in each worker); the rest is read each time.
        seed: random transforms of item i in epoch e are drawn from (seed, e, i), so that neither the number of
            workers nor the order matters. An index may be given as ``(epoch, index)``.

    Raises:
        MedsegError: E504, if the cache folder belongs to another user.
    """

    def __init__(
        self,
        data: Sequence,
        transform: Any,
        cache_dir: str | Path | None = None,
        seed: int = 0,
        keep_mb: float = 512.0,
    ) -> None:
        folder = Path(cache_dir or os.environ.get("MEDSEG_CACHE") or Path.home() / ".cache" / "medseg")
        _private(folder)
        super().__init__(data, transform, cache_dir=folder, hash_transform=pickle_hashing)
        self.seed = seed
        self._kept: dict[Path, dict[str, Any]] = {}
        self._room = int(keep_mb * 1e6)

    def __getitem__(self, index: int | tuple[int, int]) -> Any:  # type: ignore[override]
        epoch, place = index if isinstance(index, tuple) else (0, index)
        seed = pure_seed(self.seed, epoch, place)
        if isinstance(self.transform, Compose):
            self.transform.set_random_state(seed=seed)
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            return Dataset.__getitem__(self, place)

    def set_data(self, data: Sequence) -> None:
        """Take other items. MONAI's own removes the whole cache folder; this one is shared and keyed by content."""
        self.data = data

    def _cachecheck(self, item_transformed: Any) -> Any:
        path = self.cache_dir / f"{self._key(item_transformed)}.pt"
        entry = self._kept.get(path) or self._read(path)
        if entry is None:
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

    def _key(self, item: dict[str, Any]) -> str:
        contents = {key: _content(value) for key, value in item.items()}
        versions = [FORMAT, monai.__version__, torch.__version__, medseg.__version__]
        text = json.dumps([contents, self.transform_hash, versions], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()

    def _read(self, path: Path) -> dict[str, Any] | None:
        if not path.is_file():
            return None
        content = path.read_bytes()
        digest, body = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest() != digest:
            logger.warning("the cache entry %s is damaged; it is computed again", path)
            return None
        return torch.load(io.BytesIO(body), weights_only=True)


def _content(value: Any) -> Any:
    """Files by content and path (the path goes into the meta data), everything else as it is."""
    if isinstance(value, (list, tuple)):
        return [_content(part) for part in value]
    if isinstance(value, (np.ndarray, torch.Tensor)):  # their repr leaves voxels out
        array = np.asarray(value)
        affine = value.affine.tolist() if isinstance(value, MetaTensor) else None
        return [hashlib.blake2b(array.tobytes()).hexdigest(), str(array.dtype), array.shape, affine]
    is_file = isinstance(value, (str, Path)) and os.path.isfile(value)
    return [files.digest(value), os.path.abspath(value)] if is_file else repr(value)


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


def _private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = folder.stat().st_uid
    if hasattr(os, "getuid") and owner != os.getuid():
        fix = "choose another cache_dir, or set MEDSEG_CACHE"
        raise MedsegError(
            Fault("E504", "the cache folder belongs to another user", fix, str(os.getuid()), str(owner), folder)
        )
