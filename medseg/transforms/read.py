"""Files to channel-first tensors that know where they lie."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import SpaceKeys

from medseg.errors import DataError, Fault
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.settings import whole_number
from medseg.volumes import Volume, read_volume
from medseg.volumes.fill import fill
from medseg.volumes.label_map import read_label

NATIVE_AFFINE, NATIVE_SHAPE = "original_affine", "spatial_shape"  # MONAI's names
UNIT = "unit"


class ReadImaged(MapTransform):
    """Paths (one, or a list with one a channel) to a float32 `MetaTensor` of shape (C, X, Y, Z) with an RAS+ affine.

    A picture in colours gives three channels. Takes the place of MONAI's ``LoadImaged`` and ``EnsureChannelFirstd``:
    `medseg.volumes.read_volume` refuses damaged files and untrustworthy geometry. Meta data: ``filename_or_obj``,
    ``original_affine``, ``spatial_shape``, ``unit`` (``mm``, or ``px`` for a picture).

    Args:
        keys: where the paths stand.
        channels: how many there must be, where the next transforms or the network count on it.

    Raises:
        DataError: what `read_volume` refuses; channels of different shapes; E205, another number of channels; NaN or
            infinity.
    """

    def __init__(self, keys: KeysCollection, channels: int | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.channels = None if channels is None else whole_number("channels", channels)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each path by its tensor."""
        result = dict(data)
        for key in self.key_iterator(result):
            paths: Sequence[str | Path] = [data[key]] if isinstance(data[key], (str, Path)) else data[key]
            volumes = [read_volume(path) for path in paths]
            _refuse_shapes(volumes, paths)
            channels = _channels(volumes, paths)
            if self.channels not in (None, len(channels)):
                raise DataError(_other_channels(self.channels, len(channels), paths[0]))
            result[key] = _tensor(channels, volumes[0].geometry, paths[0])
        return result


class ReadLabeld(MapTransform):
    """Paths to label maps of shape (1, X, Y, Z), stored as uint8, uint16 or int32 `MetaTensor`s.

    A label whose grid is its image's but for rounding (0.01 voxel) gets its image's affine.

    Args:
        keys: where the paths stand; a list of paths is joined (`medseg.volumes.label_map.read_label`), and None instead
            of a path gives an empty label on the grid of `image_key`.
        names: keys to write to, where they are not `keys` themselves.
        labels: what the values mean; a mask of 0 and 255 is read as 0 and 1 where the only label is 1.

    Raises:
        DataError: what `read_label` refuses.
    """

    def __init__(
        self,
        keys: KeysCollection,
        names: KeysCollection | None = None,
        image_key: str = "image",
        allow_missing_keys: bool = False,
        labels: Mapping[str, int | Sequence[int]] | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.names = self.keys if names is None else ((names,) if isinstance(names, str) else tuple(names))
        self.image_key = image_key
        self.labels = None if labels is None else Labels(labels)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each path by its label map, or write that to `names`."""
        result = dict(data)
        for key, name in self.key_iterator(result, self.names):
            if data[key] is None:
                result[name] = torch.zeros_like(result[self.image_key][:1], dtype=torch.uint8)
            else:
                label = read_label(data[key], self.labels)
                geometry = _without_rounding(label.geometry, result.get(self.image_key))
                path = data[key] if isinstance(data[key], (str, Path)) else data[key][0]
                result[name] = _tensor(label.array[None], geometry, path)
        return result


def native_geometry(image: MetaTensor) -> Geometry:
    """The grid on which an image that `ReadImaged` read is stored."""
    x, y, z = (int(n) for n in image.meta[NATIVE_SHAPE])
    return Geometry(np.asarray(image.meta[NATIVE_AFFINE]), (x, y, z), image.meta.get(UNIT, "mm"))


def _without_rounding(label: Geometry, image: Any) -> Geometry:
    """The image's grid where the label's differs by rounding: resampling would give the two different shapes."""
    if not isinstance(image, MetaTensor) or NATIVE_AFFINE not in image.meta:
        return label
    native = native_geometry(image)
    return native if native.is_same_grid(label) else label


def _tensor(array: npt.NDArray, geometry: Geometry, path: str | Path) -> MetaTensor:
    meta = {
        "filename_or_obj": str(path),
        NATIVE_AFFINE: torch.from_numpy(geometry.affine.copy()),
        NATIVE_SHAPE: list(geometry.shape),
        UNIT: geometry.unit,
        "space": SpaceKeys.RAS,
    }
    if not array.flags.c_contiguous:
        stored, array = array, np.empty(array.shape, array.dtype)
        for channel, target in zip(stored, array, strict=True):
            fill(target, channel)
    tensor = torch.from_numpy(np.require(array, requirements="W"))
    return MetaTensor(tensor, torch.from_numpy(geometry.affine.copy()), meta)


def _refuse_shapes(volumes: Sequence[Volume], paths: Sequence[str | Path]) -> None:
    first = volumes[0].geometry.shape
    for volume, path in zip(volumes, paths, strict=True):
        if volume.geometry.shape != first:
            fix = "export all channels on one grid"
            found = str(volume.geometry.shape)
            raise DataError(Fault("E201", "the channels have different shapes", fix, str(first), found, path))


def _other_channels(expected: int | None, found: int, path: str | Path) -> Fault:
    names = {1: "1 channel (grey)", 3: "3 channels (colours)"}
    fix = "convert the picture, or train with network_def::in_channels as many as the images have"
    what = "the image has another number of channels than the bundle takes"
    wanted, there = (names.get(n, f"{n} channels") for n in (expected or 0, found))
    return Fault("E205", what, fix, wanted, there, path)


def _channels(volumes: Sequence[Volume], paths: Sequence[str | Path]) -> npt.NDArray[np.float32]:
    """(C, X, Y, Z): the channels of all files, in their order."""
    parts = [volume.array if volume.array.ndim == 4 else volume.array[None] for volume in volumes]
    channels = np.empty((sum(len(part) for part in parts), *volumes[0].geometry.shape), np.float32)
    place = 0
    for part, path in zip(parts, paths, strict=True):
        _refuse_infinite(part, path)
        for channel in part:
            fill(channels[place], channel)
            place += 1
    return channels


def _refuse_infinite(array: npt.NDArray, path: str | Path) -> None:
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        fix = "replace them in the file, or leave the case out"
        raise DataError(Fault("E401", "NaN or infinity in the image", fix, "finite intensities", file=path))
