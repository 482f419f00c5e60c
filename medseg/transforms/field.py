"""The field of view of photographs: read or found, and made smaller."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_tensor
from scipy import ndimage

from medseg.classical.field_of_view import Mask, field_of_view
from medseg.errors import DataError, Fault
from medseg.settings import number
from medseg.transforms.read import UNIT, native_geometry
from medseg.volumes import read_volume
from medseg.volumes.label_map import grid_faults


class ReadFieldd(MapTransform):
    """The field of view of an image as a mask of 0 and 1, uint8, (1, X, Y, Z), on the image's grid.

    Read from the file that stands under the key; where there is none, found from the image, slice by slice along the
    last axis (`medseg.classical.field_of_view`). A file's mask is what is brighter than half of its brightest.

    Args:
        keys: where the paths stand, and the masks will.
        image_key: the image, as `ReadImaged` left it.

    Raises:
        DataError: what `read_volume` refuses; E201 to E203, a mask on another grid than its image; E302, an empty one.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image") -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Put a mask under each key."""
        result = dict(data)
        image = result[self.image_key]
        for key in self.keys:
            mask = _read(data[key], image) if data.get(key) else _found(image)
            meta = {name: image.meta[name] for name in ("filename_or_obj", UNIT) if name in image.meta}
            result[key] = MetaTensor(torch.from_numpy(mask[None].astype(np.uint8)), image.affine.clone(), meta)
        return result


class ErodeMaskd(MapTransform):
    """Take from masks (C, X, Y[, Z]) what lies less than `margin` voxels from a voxel outside; uint8 of 0 and 1.

    What lies beyond the image is outside. Of a volume every slice along the last axis is a picture by itself. A margin
    of half a patch's diagonal keeps patches whose centres lie in what is left within the mask, however they are turned.

    Args:
        keys: masks; what is not 0 is inside.
        margin: voxels; 0 takes nothing away.

    Raises:
        UsageError: E903, `margin` is no number of 0 or more.
        DataError: E302, nothing is left.
    """

    def __init__(self, keys: KeysCollection, margin: float, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.margin = margin if margin == 0 and not isinstance(margin, bool) else number("margin", margin, 0, np.inf)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key by the smaller mask."""
        result = dict(data)
        for key in self.key_iterator(result):
            mask = np.asarray(convert_to_tensor(data[key], track_meta=False).cpu()) > 0
            left = _eroded(mask, self.margin)
            if not left.any():
                what, fix = f"a margin of {self.margin:g} voxels leaves nothing of {key}", "choose a smaller margin"
                file = data[key].meta.get("filename_or_obj", "") if isinstance(data[key], MetaTensor) else ""
                raise DataError(Fault("E302", what, fix, file=file, case=str(data.get("case", ""))))
            result[key] = convert_to_dst_type(left.astype(np.uint8), data[key], dtype=torch.uint8)[0]
        return result


def _read(path: str | Path, image: MetaTensor) -> Mask:
    volume = read_volume(path)
    faults = grid_faults(path, "the field of view", volume.geometry, native_geometry(image))
    if faults:
        raise DataError(*faults)
    brightness = volume.array.max(axis=0) if volume.array.ndim == 4 else volume.array
    if not brightness.max() > 0:
        fix = "draw where the image shows anything, or take the file away: the field is found from the image then"
        raise DataError(Fault("E302", "the field of view is empty", fix, file=path))
    return np.asarray(brightness > brightness.max() / 2)


def _found(image: MetaTensor) -> Mask:
    array = np.asarray(image.as_tensor().cpu())
    return np.stack([field_of_view(array[..., place]) for place in range(array.shape[-1])], axis=-1)


def _eroded(mask: Mask, margin: float) -> Mask:
    """Of (C, X, Y[, Z]) the voxels that lie `margin` or more from the nearest one outside."""
    if margin == 0:
        return mask
    slices = mask.reshape(*mask.shape[:3], -1)
    left = np.empty_like(slices)
    for channel, place in np.ndindex(len(slices), slices.shape[-1]):
        around = np.pad(slices[channel, :, :, place], 1)
        left[channel, :, :, place] = ndimage.distance_transform_edt(around)[1:-1, 1:-1] >= margin
    return left.reshape(mask.shape)
