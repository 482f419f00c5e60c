"""Label maps to files."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from medseg.errors import DataError, Fault
from medseg.geometry import Geometry
from medseg.transforms.read import UNIT
from medseg.volumes import Volume, mask_suffix, write_volume


class SaveVolumed(MapTransform):
    """Write a label map (1, X, Y, Z) as ``<output_dir>/<case>.nii.gz``, on the grid that its affine says; atomic.

    That of a picture becomes ``<case>.png``, whose indices are the labels (`medseg.volumes.picture.write_mask`).

    Takes the place of MONAI's ``SaveImaged``, which names files after their source (two cases may share a name) and
    can leave a part of one behind.

    Args:
        overwrite: replace files that were there before; without it a folder of images or labels cannot be overwritten
            by mistake. The image itself never is.

    Raises:
        DataError: E503, if a file is in the way.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | Path,
        overwrite: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir, self.overwrite = Path(output_dir), overwrite

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the file; the data go through unchanged."""
        for key in self.key_iterator(dict(data)):
            tensor = data[key]
            array = torch.as_tensor(tensor).cpu().numpy()[0]
            volume = Volume(array, Geometry(np.asarray(tensor.affine), array.shape, tensor.meta.get(UNIT, "mm")))
            path = self.output_dir / f"{data['case']}{mask_suffix(volume)}"
            self._refuse_overwriting(path, Path(str(tensor.meta["filename_or_obj"])))
            write_volume(path, volume)
        return dict(data)

    def _refuse_overwriting(self, path: Path, source: Path) -> None:
        if not path.exists():
            return
        if source.exists() and path.samefile(source):
            fix = "choose another output_dir"
            raise DataError(Fault("E503", "the prediction would overwrite its image", fix, file=path))
        if not self.overwrite:
            fix = "choose another output_dir, or pass overwrite=true (--overwrite True)"
            raise DataError(Fault("E503", "a file of this name is there already", fix, file=path))
