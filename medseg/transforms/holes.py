"""Label maps without holes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_tensor

from medseg.classical.holes import fill_holes


class FillLabelHolesd(MapTransform):
    """Give background that a label encloses that label, in label maps (1, X, Y[, Z]) (`medseg.classical.holes`).

    Takes the place of MONAI's ``FillHolesd``, which overwrites labels within labels and fills nothing where Z is 1.

    Args:
        keys: label maps, such as `ToNativeGridd` gives.
        applied_labels: whose holes; None for all labels'.
    """

    def __init__(
        self,
        keys: KeysCollection,
        applied_labels: Sequence[int] | int | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.applied_labels = [applied_labels] if isinstance(applied_labels, int) else applied_labels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key by its label map without holes."""
        result = dict(data)
        for key in self.key_iterator(result):
            labels = np.asarray(convert_to_tensor(data[key], track_meta=False).cpu())
            filled = np.stack([fill_holes(channel, self.applied_labels) for channel in labels])
            result[key] = convert_to_dst_type(filled, data[key])[0]
        return result
