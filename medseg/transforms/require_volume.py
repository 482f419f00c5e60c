"""Single slices are refused where a method wants volumes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from medseg.errors import DataError, Fault


class RequireVolumed(MapTransform):
    """Images of several slices, unchanged; a single slice is an error.

    A method in 3D would take it, padded to the size of a patch, and its score would stand among those of volumes.

    Args:
        keys: images (C, X, Y, Z) as `ReadImaged` gives them.

    Raises:
        DataError: E204, with the file and its size.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Look at each key."""
        for key in self.key_iterator(dict(data)):
            size = tuple(data[key].shape[1:])
            if min(size) < 2:
                file = getattr(data[key], "meta", {}).get("filename_or_obj", "")
                fix = "use a method that works on slices, or volumes"
                raise DataError(Fault("E204", "a single slice, where the method wants volumes", fix,
                                      "2 slices or more", " x ".join(map(str, size)), file))  # fmt: skip
        return dict(data)
