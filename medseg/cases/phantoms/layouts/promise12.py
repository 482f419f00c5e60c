"""PROMISE12: prostate MR as MetaImage in parts, and test cases whose numbers begin anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medseg.cases.phantoms.layouts._drawing import draw, itk, n_tests

SHAPE = (32, 32, 12)
SPACING_MM = (0.625, 0.625, 3.6)
PARTS = 3


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` volumes with a segmentation in three parts, and test volumes without.

    Images are int16, masks 0 and 1. Returns `folder`.
    """
    for number in range(cases):
        image, label = draw(seed, 0, number, shape=SHAPE)
        part = folder / f"TrainingData_Part{number * PARTS // cases + 1}"
        itk(part / f"Case{number:02d}.mhd", np.rint(image * 1000).astype(np.int16), SPACING_MM)
        itk(part / f"Case{number:02d}_segmentation.mhd", (label > 0).astype(np.uint8), SPACING_MM)
    for number in range(n_tests(cases)):
        image, _ = draw(seed, 1, number, shape=SHAPE)
        itk(folder / "TestData" / f"Case{number:02d}.mhd", np.rint(image * 1000).astype(np.int16), SPACING_MM)
    return folder
