"""A CT whose values are no Hounsfield units is refused, where a window would show nothing of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from medseg.errors import DataError, Fault

LEAST_RANGE_HU = 300  # from fat or air to bone: also in a CT that was clipped to a narrow window of the abdomen


class RequireHounsfieldd(MapTransform):
    """Images whose intensities can be Hounsfield units, unchanged; others are an error.

    Hounsfield units of a body go below 0 (fat, air) and span some hundreds. Intensities that were brought to 0 to 1 or
    to 0 to 255, that were normalised, or that lack the rescale intercept do not, and a window in Hounsfield units would
    make one grey of them. A CT that was clipped to a window passes, where the window is wide enough to be one.

    Args:
        keys: CT images (C, X, Y[, Z]) as `ReadImaged` gives them.

    Raises:
        DataError: E405, with the file and the range of its intensities.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Look at each key."""
        for key in self.key_iterator(dict(data)):
            image = torch.as_tensor(data[key])
            lowest, highest = float(image.min()), float(image.max())
            if lowest >= 0 or highest - lowest < LEAST_RANGE_HU:
                fix = "use the original CT, in Hounsfield units; a window or rescaling cannot be undone"
                expected = f"values below 0 (air, fat) that span {LEAST_RANGE_HU} or more"
                file = getattr(data[key], "meta", {}).get("filename_or_obj", "")
                found = f"{lowest:g} to {highest:g}"
                raise DataError(Fault("E405", "the image is not in Hounsfield units", fix, expected, found, file))
        return dict(data)
