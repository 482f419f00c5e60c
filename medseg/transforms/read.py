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
from medseg.labels import as_label_map
from medseg.volumes import Volume, read_volume

NATIVE_AFFINE, NATIVE_SHAPE = "original_affine", "spatial_shape"  # MONAI's names


class ReadImaged(MapTransform):
    """Paths (one, or a list with one a channel) to a float32 `MetaTensor` of shape (C, X, Y, Z) with an RAS+ affine.

    Takes the place of MONAI's ``LoadImaged`` and ``EnsureChannelFirstd``: `medseg.volumes.read_volume` refuses damaged
    files and untrustworthy geometry. Meta data: ``filename_or_obj``, ``original_affine``, ``spatial_shape``.

    Raises:
        DataError: what `read_volume` refuses; channels of different shapes; NaN or infinity.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each path by its tensor."""
        result = dict(data)
        for key in self.key_iterator(result):
            paths: Sequence[str | Path] = [data[key]] if isinstance(data[key], (str, Path)) else data[key]
            volumes = [read_volume(path) for path in paths]
            _refuse_shapes(volumes, paths)
            array = np.stack([_finite(volume.array, path) for volume, path in zip(volumes, paths, strict=True)])
            result[key] = _tensor(array.astype(np.float32, copy=False), volumes[0].geometry, paths[0])
        return result


class ReadLabeld(MapTransform):
    """Paths to label maps of shape (1, X, Y, Z), stored as uint8, uint16 or int32 `MetaTensor`s.

    A label whose grid is its image's but for rounding (0.01 voxel) gets its image's affine.

    Args:
        keys: where the paths stand; None instead of a path gives an empty label on the grid of `image_key`.
        names: keys to write to, where they are not `keys` themselves.

    Raises:
        DataError: what `read_volume` refuses; fractions, NaN or negative values.
    """

    def __init__(
        self,
        keys: KeysCollection,
        names: KeysCollection | None = None,
        image_key: str = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.names = self.keys if names is None else ((names,) if isinstance(names, str) else tuple(names))
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each path by its label map, or write that to `names`."""
        result = dict(data)
        for key, name in self.key_iterator(result, self.names):
            if data[key] is None:
                result[name] = torch.zeros_like(result[self.image_key][:1], dtype=torch.uint8)
            else:
                volume = read_volume(data[key])
                label_map = as_label_map(volume.array, data[key])
                geometry = _without_rounding(volume.geometry, result.get(self.image_key))
                result[name] = _tensor(label_map[None], geometry, data[key])
        return result


def native_geometry(image: MetaTensor) -> Geometry:
    """The grid on which an image that `ReadImaged` read is stored."""
    x, y, z = (int(n) for n in image.meta[NATIVE_SHAPE])
    return Geometry(np.asarray(image.meta[NATIVE_AFFINE]), (x, y, z))


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
        "space": SpaceKeys.RAS,
    }
    return MetaTensor(torch.from_numpy(np.array(array, order="C")), torch.from_numpy(geometry.affine.copy()), meta)


def _refuse_shapes(volumes: Sequence[Volume], paths: Sequence[str | Path]) -> None:
    first = volumes[0].geometry.shape
    for volume, path in zip(volumes, paths, strict=True):
        if volume.geometry.shape != first:
            fix = "export all channels on one grid"
            found = str(volume.geometry.shape)
            raise DataError(Fault("E201", "the channels have different shapes", fix, str(first), found, path))


def _finite(array: npt.NDArray, path: str | Path) -> npt.NDArray:
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        fix = "replace them in the file, or leave the case out"
        raise DataError(Fault("E401", "NaN or infinity in the image", fix, "finite intensities", file=path))
    return array
