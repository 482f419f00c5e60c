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
from medseg.errors import Fault, MedsegError
from medseg.seeds import pure_seed

logger = logging.getLogger(__name__)

DIGEST_BYTES = 16
FORMAT = 1  # of an entry; raise it when `_stored` changes


class CachedDataset(PersistentDataset):
    """Items after the transforms up to the first random one, computed once and read back from disk.

    MONAI's ``PersistentDataset`` with other rules: an entry is keyed by what the files hold (not by their path), by
    the transforms and by the versions of MONAI, torch and medseg; it is written atomically with a digest; a damaged
    entry is computed again; the folder belongs to the user alone.

    Args:
        data: items whose strings that name files are read.
        transform: deterministic transforms first, random ones after.
        cache_dir: the folder, shared between runs; None for ``$MEDSEG_CACHE`` or ``~/.cache/medseg``.
        seed: random transforms of item i in epoch e are drawn from (seed, e, i), so that neither the number of
            workers nor the order matters. An index may be given as ``(epoch, index)``.

    Raises:
        MedsegError: E504, if the cache folder belongs to another user.
    """

    def __init__(
        self, data: Sequence, transform: Any, cache_dir: str | Path | None = None, seed: int = 0
    ) -> None:
        folder = Path(cache_dir or os.environ.get("MEDSEG_CACHE") or Path.home() / ".cache" / "medseg")
        _private(folder)
        super().__init__(data, transform, cache_dir=folder, hash_transform=pickle_hashing)
        self.seed = seed

    def __getitem__(self, index: int | tuple[int, int]) -> Any:
        epoch, place = index if isinstance(index, tuple) else (0, index)
        seed = pure_seed(self.seed, epoch, place)
        if isinstance(self.transform, Compose):
            self.transform.set_random_state(seed=seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            return Dataset.__getitem__(self, place)

    def _cachecheck(self, item_transformed: Any) -> Any:
        path = self.cache_dir / f"{self._key(item_transformed)}.pt"
        entry = self._read(path)
        if entry is None:
            computed = self._pre_transform(dict(item_transformed))
            entry = {key: _stored(value) for key, value in computed.items() if isinstance(value, torch.Tensor)}
            stream = io.BytesIO()
            torch.save(entry, stream)
            content = stream.getvalue()
            files.write_bytes(path, hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest() + content)
        tensors = {key: _restored(value) for key, value in entry.items()}
        return {key: value for key, value in item_transformed.items() if key not in tensors} | tensors

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
    is_file = isinstance(value, str) and os.path.isfile(value)
    return [files.digest(value), os.path.abspath(value)] if is_file else repr(value)


def _stored(tensor: torch.Tensor) -> dict[str, Any]:
    """A tensor in types that ``torch.load(weights_only=True)`` takes; the trace of its transforms is dropped."""
    if not isinstance(tensor, MetaTensor):
        return {"data": tensor}
    meta = {key: str(value) if isinstance(value, Enum) else value for key, value in tensor.meta.items() if key != "affine"}
    return {"data": tensor.as_tensor().contiguous(), "affine": tensor.affine, "meta": meta}


def _restored(entry: dict[str, Any]) -> torch.Tensor:
    return MetaTensor(entry["data"], entry["affine"], dict(entry["meta"])) if "meta" in entry else entry["data"]


def _private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = folder.stat().st_uid
    if hasattr(os, "getuid") and owner != os.getuid():
        fix = "choose another cache_dir, or set MEDSEG_CACHE"
        raise MedsegError(Fault("E504", "the cache folder belongs to another user", fix, str(os.getuid()), str(owner), folder))
