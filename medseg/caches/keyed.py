"""What both caches share: a private folder, keys by content and preprocessing, and samples drawn from pure seeds."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shlex
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from medseg.caches.source import sources
from medseg.errors import Fault, MedsegError
from medseg.seeds import pure_seed
from medseg.volumes import SECOND_HALVES, digest, is_volume
from medseg.volumes.member import member_of


class KeyedDataset(PersistentDataset):
    """MONAI's ``PersistentDataset`` whose entries are keyed by all that they depend on.

    A key holds what the files hold and where they lie, the transforms up to the first random one with their source, and
    the versions of MONAI, torch and medseg. The folder belongs to the user alone.

    Args:
        data: items whose strings that name files, members of stacks or series are read.
        transform: deterministic transforms first, random ones after.
        cache_dir: the folder, shared between runs; None for ``$MEDSEG_CACHE`` or ``~/.cache/medseg``.
        seed: random transforms of item i in epoch e are drawn from (seed, e, i), so that neither the number of
            workers nor the order matters. An index may be given as ``(epoch, index)``.

    Attributes:
        entry_format: what an entry looks like, a part of its key; each cache has its own.

    Raises:
        MedsegError: E504, if the cache folder belongs to another user or others may write to it.
    """

    entry_format: Any = None

    def __init__(self, data: Sequence, transform: Any, cache_dir: str | Path | None = None, seed: int = 0) -> None:
        folder = Path(cache_dir or os.environ.get("MEDSEG_CACHE") or Path.home() / ".cache" / "medseg")
        _private(folder)
        super().__init__(data, _flat(transform), cache_dir=folder, hash_transform=_hashed)
        self.seed = seed

    def __getitem__(self, index: int | tuple[int, int]) -> Any:  # type: ignore[override]
        """The item at an index (of epoch 0), or at ``(epoch, index)``."""
        epoch, place = epoch_and_place(index)
        with self._drawn_from(epoch, place):
            return Dataset.__getitem__(self, place)

    def set_data(self, data: Sequence) -> None:
        """Take other items. MONAI's own removes the whole cache folder; this one is shared and keyed by content."""
        self.data = data

    @contextmanager
    def _drawn_from(self, epoch: int, place: int) -> Iterator[None]:
        """Random transforms as functions of (seed, epoch, place) alone; torch's own state comes back afterwards."""
        seed = pure_seed(self.seed, epoch, place)
        if isinstance(self.transform, Compose):
            self.transform.set_random_state(seed=seed)
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed notes a stack trace for each absent device
            if torch.cuda.is_initialized():
                torch.cuda.manual_seed_all(seed)
            np.random.seed(seed)
            random.seed(seed)
            yield

    def _key(self, item: dict[str, Any]) -> str:
        contents = {key: _content(value) for key, value in item.items()}
        versions = [self.entry_format, monai.__version__, torch.__version__, medseg.__version__]
        text = json.dumps([contents, self.transform_hash, versions], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def _flat(transform: Any) -> Any:
    """Without a chain in the chain: MONAI hashes what is in one, but does not apply it to what is kept."""
    nested = isinstance(transform, Compose) and any(isinstance(step, Compose) for step in transform.transforms)
    return transform.flatten() if nested else transform


def epoch_and_place(index: int | tuple[int, int]) -> tuple[int, int]:
    """The two parts of ``(epoch, index)``; an index alone is of epoch 0."""
    return index if isinstance(index, tuple) else (0, index)


def _hashed(steps: list[Any]) -> bytes:
    """What the transforms are set to, and what they are made of."""
    text = pickle_hashing(steps) + json.dumps(sources(steps)).encode()
    return hashlib.blake2b(text, digest_size=20).hexdigest().encode()


def _content(value: Any) -> Any:
    """Volumes by content and path (the path goes into the meta data), everything else as it is."""
    if isinstance(value, (list, tuple)):
        return [_content(part) for part in value]
    if isinstance(value, (np.ndarray, torch.Tensor)):  # their repr leaves voxels out
        array = np.asarray(value)
        affine = value.affine.tolist() if isinstance(value, MetaTensor) else None
        return [hashlib.blake2b(array.tobytes()).hexdigest(), str(array.dtype), array.shape, affine]
    if isinstance(value, (str, Path)) and _is_volume_on_disk(member_of(value)[0]):
        return [digest(value), os.path.abspath(value)]
    is_file = isinstance(value, (str, Path)) and os.path.isfile(value)
    return [files.digest(value), os.path.abspath(value)] if is_file else repr(value)


def _is_volume_on_disk(path: Path) -> bool:
    """A file of a kind that is read, or a folder with a series: not one whose name a case happens to bear."""
    if path.is_dir():
        from medseg.volumes.dicom import is_series  # SimpleITK takes a moment to start

        return is_series(path)
    return path.is_file() and (is_volume(path) or path.suffix.lower() in SECOND_HALVES)


def _private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not hasattr(os, "getuid"):  # Windows tells neither
        return
    status, other = folder.stat(), "choose another cache_dir, or set MEDSEG_CACHE"
    owner, mode = status.st_uid, stat.S_IMODE(status.st_mode)
    if owner != os.getuid():
        raise MedsegError(
            Fault("E504", "the cache folder belongs to another user", other, str(os.getuid()), str(owner), folder)
        )
    if mode & 0o022:
        fix = f"chmod 700 {shlex.quote(str(folder))} if its entries are your own; else {other}"
        raise MedsegError(Fault("E504", "others may write to the cache folder", fix, "700", f"{mode:o}", folder))
