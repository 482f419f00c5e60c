"""A folder a patient with an image and a mask as NRRD, as DuneAI takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medseg.cases.phantoms.layouts._drawing import draw, hounsfield, itk

SHAPE = (32, 32, 16)


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` patients with a mask of 0 and 1, and one without. Hounsfield units. Returns `folder`."""
    for number in range(cases + 1):
        image, label = draw(seed, number, shape=SHAPE)
        patient = folder / f"LUNG1-{number + 1:03d}"
        itk(patient / ("CT_volume.nrrd" if number % 2 else "image.nrrd"), hounsfield(image))
        if number < cases:
            itk(patient / "GTV-1_mask.nrrd", (label > 0).astype(np.uint8))
    return folder
