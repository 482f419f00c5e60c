"""Liver CT in the folders of a MONAI tutorial."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medseg.cases.phantoms.layouts._drawing import draw, hounsfield, n_tests, volume

SHAPE = (32, 32, 16)


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` volumes with a segmentation of 0 and 1, and a few to test, which have one too. Returns `folder`."""
    for half, (name, first, last) in enumerate((("Train", 0, cases), ("Test", cases, cases + n_tests(cases)))):
        for number in range(first, last):
            image, label = draw(seed, half, number, shape=SHAPE)
            volume(folder / f"{name}Volumes" / f"liver_{number}.nii.gz", hounsfield(image))
            volume(folder / f"{name}Segmentation" / f"liver_{number}.nii.gz", (label > 0).astype(np.uint8))
    return folder
