"""Kaggle's finding-lungs-in-ct-data: slices as int16 TIFF, a few volumes, a table, an archive that was not unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from medseg import files
from medseg.cases.phantoms.layouts._drawing import draw, hounsfield, picture, volume, white

SLICE, VOLUME = (40, 40), (20, 32, 32)
VOLUMES = ("0002", "0031")
PADDING_HU = -2000


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` slices, each of another patient, and two volumes.

    Hounsfield units, some slices padded with -2000; masks are 0 and 255. Returns `folder`.
    """
    rows = []
    for number in range(cases):
        name = f"ID_{number:04d}_Z_{70 + number:04d}.tif"
        image, label = draw(seed, 0, number, shape=SLICE, bodies=2)
        values = hounsfield(image)
        if number % 3 == 0:
            values[:3] = PADDING_HU
        picture(folder / "2d_images" / name, values)
        picture(folder / "2d_masks" / name, white(label))
        rows.append({"img_id": name, "lung_volume_fraction": f"{(label > 0).mean():.4f}"})
    for number, name in enumerate(VOLUMES):
        image, label = draw(seed, 1, number, shape=VOLUME, bodies=2)
        volume(folder / "3d_images" / f"IMG_{name}.nii.gz", hounsfield(image))
        volume(folder / "3d_images" / f"MASK_{name}.nii.gz", white(label).astype(np.int16))
    files.write_csv(folder / "lung_stats.csv", rows)
    with zipfile.ZipFile(folder / "3d_images.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("README.txt"), "Unpack me.\n")
    return folder
