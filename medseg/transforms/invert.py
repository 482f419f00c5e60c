"""A label's complement within the body."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type

from medseg.classical.body import find_body


class InvertWithinBodyd(MapTransform):
    """Where the body is and the label is not: label maps (1, X, Y, Z) to 0 and 1 of the same type.

    A network that learns this finds lungs by what surrounds them, as BCDU-Net's did (Azad et al. 2019,
    doi:10.1109/ICCVW.2019.00052). `medseg.inference.InvertedInferer` turns its output back. The body comes from the
    image alone (`medseg.classical.body.find_body`): with the reference's lungs in it, scores would know them.

    Args:
        keys: label maps.
        image_key: the image on their grid, of which the first channel is looked at.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key by its complement."""
        result = dict(data)
        for key in self.key_iterator(result):
            body = torch.from_numpy(find_body(np.asarray(torch.as_tensor(data[self.image_key])[0])))
            outside = body[None] & (torch.as_tensor(data[key]) == 0)
            result[key] = convert_to_dst_type(outside, data[key], dtype=torch.as_tensor(data[key]).dtype)[0]
        return result
