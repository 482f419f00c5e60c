"""Colour pictures to grey ones."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_tensor

from medseg.errors import DataError, Fault
from medseg.settings import switch

RED, GREEN, BLUE = 0.299, 0.587, 0.114


class ToGrayd(MapTransform):
    """Red, green and blue (3, X, Y[, Z]) to their luma (1, X, Y[, Z]), float32, in the range of the input.

    0.299 red + 0.587 green + 0.114 blue, with the weights of ITU-R BT.601-7, section 2.5.1 (Pillow's mode ``L`` and
    OpenCV's ``COLOR_RGB2GRAY`` have the same).

    Args:
        keys: colour images.
        keep_grey: take an image of one channel as it is: of grey pictures some are often stored in colours.

    Raises:
        DataError: E205, an image without three channels (or one, with `keep_grey`).
    """

    def __init__(self, keys: KeysCollection, keep_grey: bool = False, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.keep_grey = switch("keep_grey", keep_grey)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key's colours by grey."""
        result = dict(data)
        for key in self.key_iterator(result):
            if self.keep_grey and len(data[key]) == 1:
                result[key] = convert_to_tensor(data[key], dtype=torch.float32, track_meta=True)
                continue
            red, green, blue = three_colours(key, data[key])
            grey = (RED * red + GREEN * green + BLUE * blue)[None]
            result[key] = convert_to_dst_type(grey, data[key], dtype=torch.float32)[0]
        return result


def three_colours(key: Hashable, image: Any) -> torch.Tensor:
    """`image` (3, X, Y[, Z]) as a plain float32 tensor; DataError E205 if it has not three channels."""
    if len(image) != 3:
        fix = "leave this transform out, or name the colour images alone in its keys"
        file = image.meta.get("filename_or_obj", "") if isinstance(image, MetaTensor) else ""
        found = f"shape {tuple(image.shape)}"
        raise DataError(Fault("E205", f"{key} is not in colours", fix, "3 channels: red, green, blue", found, file))
    return convert_to_tensor(image, dtype=torch.float32, track_meta=False)
