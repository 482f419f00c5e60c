"""CT numbers through a window of level and width, optionally in bins."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_tensor

from medseg.settings import number, whole_number

LARGEST_HU = 1e5


class WindowIntensityd(MapTransform):
    """Hounsfield units from `level_hu` - `width_hu`/2 to `level_hu` + `width_hu`/2 onto [0, 1]; the rest is clipped.

    With `bins`, steps of `width_hu` / `bins` HU become one value each, 0, 1/(bins - 1), …, 1, so that scanners'
    noise within a step is gone; a value on the border of two steps belongs to the upper one. The images (C, X, Y[, Z])
    become float32. Deterministic.

    Primakov et al., "Automated detection and segmentation of non-small cell lung cancer computed tomography images",
    Nature Communications 13:3423 (2022), https://doi.org/10.1038/s41467-022-30841-3, look at lungs from air to the
    upper end of a window of level -600 and width 1500, [-1000, 150] HU, in steps of 25 HU: ``level_hu=-425,
    width_hu=1150, bins=46``.

    Args:
        keys: CT images in Hounsfield units.
        level_hu, width_hu: the middle of the window and its size.
        bins: how many steps; None keeps the values between.

    Raises:
        UsageError: E903, a level beyond 100000 HU, a width that is not above 0, or fewer than 2 bins.
    """

    def __init__(
        self,
        keys: KeysCollection,
        level_hu: float,
        width_hu: float,
        bins: int | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.level_hu = number("level_hu", level_hu, -LARGEST_HU, LARGEST_HU)
        self.width_hu = number("width_hu", width_hu, 0, LARGEST_HU)
        self.bins = None if bins is None else whole_number("bins", bins, least=2)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key's Hounsfield units."""
        result = dict(data)
        for key in self.key_iterator(result):
            image = convert_to_tensor(data[key], dtype=torch.float32, track_meta=False)
            result[key] = convert_to_dst_type(self._window(image), data[key], dtype=torch.float32)[0]
        return result

    def _window(self, image: torch.Tensor) -> torch.Tensor:
        above = image - (self.level_hu - self.width_hu / 2)  # a copy, on which all else is done in place
        if self.bins is None:
            return above.div_(self.width_hu).clamp_(0, 1)
        step_hu = self.width_hu / self.bins  # whole Hounsfield units on a border divide without rounding
        return above.div_(step_hu).floor_().clamp_(0, self.bins - 1).div_(self.bins - 1)
