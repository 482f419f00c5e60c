"""Montgomery County chest X-rays: a mask for each lung."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medseg import files
from medseg.cases.phantoms.layouts._drawing import draw, grey, picture, white

SHAPE = (60, 48)


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` grey PNG with two masks of 0 and 255, and one image whose left mask is missing.

    The left lung is on the right of the image. Returns `folder`.
    """
    root = folder / "MontgomerySet"
    in_left_half = np.indices(SHAPE)[0] >= SHAPE[0] // 2
    for number in range(cases + 1):
        name = f"MCUCXR_{number + 1:04d}_{number % 2}"
        image, label = draw(seed, number, shape=SHAPE, bodies=2)
        picture(root / "CXR_png" / f"{name}.png", grey(image))
        picture(root / "ManualMask" / "rightMask" / f"{name}.png", white(label * ~in_left_half))
        if number < cases:
            picture(root / "ManualMask" / "leftMask" / f"{name}.png", white(label * in_left_half))
        files.write_text(root / "ClinicalReadings" / f"{name}.txt", "a phantom\n")
    return folder
