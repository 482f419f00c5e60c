"""Slices of pre-processed volumes, mapped from disk: for training on slices of more volumes than memory holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms import RandomizableTrait, Transform
from tqdm import tqdm

from medseg import settings
from medseg.caches.keyed import KeyedDataset, epoch_and_place
from medseg.caches.one_thread import one_thread, without_onednn
from medseg.caches.slice_file import AXES, LABEL, SliceFile, open_slices, write_slices
from medseg.errors import DataError, Fault

FORMAT = 1  # of a file; raise it when what `write_slices` writes changes


class CachedSlices(KeyedDataset):
    """Every slice of every case an item, after the transforms up to the first random one.

    The volumes are computed when the data set is made, those that the cache folder lacks, and written slice by slice
    with a check sum; a damaged file is computed again. A slice is copied from the map of its file when it is asked
    for: loader workers share the system's copy of the file, and a process's own memory does not grow with the volumes,
    of which a table of slices and a description of each case stay.

    An item holds each tensor as (C, X, Y), the array's other two axes in their order, with the (4, 4) affine of the
    slice's own place, RAS+ in mm; ``slice``, its index along the array axis; and the case's other entries as they are.

    Args:
        data, transform, cache_dir, seed: as for `medseg.caches.keyed.KeyedDataset`. The deterministic transforms work
            on volumes (C, X, Y, Z) and leave them on one grid, the random ones work on slices (C, X, Y).
        axis: ``axial``, ``coronal`` or ``sagittal``; the array axis nearest to that direction is found from the
            affine, case by case.
        drop_empty: leave out slices whose ``label`` is 0 everywhere.
        samples_per_slice: how many items each slice is, as many random patches an epoch of it; item i is one of slice
            i modulo the number of slices, and each draws for itself.

    Raises:
        DataError: E201 or E202 tensors on different grids, E204 no volumes; with `drop_empty` E302 no label, or none
            that holds anything.
        UsageError: E903, if `axis`, `drop_empty` or `samples_per_slice` has no such value.
        MedsegError: E504, if the cache folder belongs to another user or others may write to it; E701, when the disk is
            full.
    """

    def __init__(
        self,
        data: Sequence,
        transform: Any,
        cache_dir: str | Path | None = None,
        seed: int = 0,
        axis: str = "axial",
        drop_empty: bool = False,
        samples_per_slice: int = 1,
    ) -> None:
        self.axis = settings.choice("axis", axis, AXES)
        self.drop_empty = settings.switch("drop_empty", drop_empty)
        self.samples_per_slice = settings.whole_number("samples_per_slice", samples_per_slice)
        self.entry_format = ["slices", FORMAT, axis]
        super().__init__(data, transform, cache_dir, seed)
        self._is_random = not all(_is_deterministic(step) for step in self.transform.flatten().transforms)
        self._tabulate()

    def __len__(self) -> int:
        return len(self._slices) * self.samples_per_slice

    def __getitem__(self, index: int | tuple[int, int]) -> Any:
        """The slice at an index (of epoch 0), or at ``(epoch, index)``."""
        epoch, place = epoch_and_place(index)
        item = self._item(place)
        if not self._is_random:  # seeds would take longer than the slice
            return item
        with self._drawn_from(epoch, place):
            return self._post_transform(item)

    def set_data(self, data: Sequence) -> None:
        """Take other cases; what the cache folder lacks of them is computed."""
        super().set_data(data)
        self._tabulate()

    def _tabulate(self) -> None:
        """Open or compute the file of each case, and number the slices of all of them."""
        self._files: list[SliceFile] = []
        kept = []
        with one_thread():
            for item in tqdm(self.data, "slices", unit="case", disable=None, dynamic_ncols=True):
                file = self._file(item)
                self._files.append(file)
                kept.append(self._kept(file, item))
        self._slices = np.concatenate([np.empty(0, np.int32), *kept])
        self._cases = np.repeat(
            np.arange(len(kept), dtype=np.int32), np.array([len(places) for places in kept], np.intp)
        )
        if self.drop_empty and self._files and not len(self._slices):
            fix = "look at the labels, or set drop_empty to false"
            raise DataError(Fault("E302", "no slice of any case holds label", fix))

    def _kept(self, file: SliceFile, item: dict[str, Any]) -> npt.NDArray[np.int32]:
        if not self.drop_empty:
            return np.arange(file.count, dtype=np.int32)
        if file.holds_label is None:
            fix = "read the label under this key, or set drop_empty to false"
            raise DataError(
                Fault("E302", "empty slices cannot be told without a label", fix, LABEL, str(list(file.tensors)),
                      case=str(item.get("case", "")))
            )  # fmt: skip
        return np.flatnonzero(file.holds_label).astype(np.int32)

    def _file(self, item: dict[str, Any]) -> SliceFile:
        path = self.cache_dir / f"{self._key(item)}.slices"
        found = open_slices(path)
        if found is not None:
            return found
        with without_onednn():
            computed = self._pre_transform(dict(item))
        tensors = {key: value for key, value in computed.items() if isinstance(value, torch.Tensor)}
        return write_slices(path, tensors, self.axis, str(item.get("case", "")))

    def _item(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        index %= len(self._slices)
        case, place = int(self._cases[index]), int(self._slices[index])
        tensors = self._files[case].read(place)
        rest = {key: value for key, value in self.data[case].items() if key not in tensors}
        return rest | tensors | {"slice": place}


def _is_deterministic(step: Any) -> bool:
    """MONAI's own test (`monai.data.PersistentDataset`)."""
    return isinstance(step, Transform) and not isinstance(step, RandomizableTrait)
