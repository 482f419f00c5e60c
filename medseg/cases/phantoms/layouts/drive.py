"""DRIVE: colour photographs as TIFF; vessels of two observers and the field of view as GIF."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medseg.cases.phantoms.layouts._drawing import draw, n_tests, picture, rgb, white

SHAPE = (56, 58)
COLOUR = (0.9, 0.5, 0.3)


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write ``DRIVE/training/`` with `cases` photographs and ``DRIVE/test/``, which has a second observer too.

    RGB; masks are 0 and 255. Returns `folder`.
    """
    tests = n_tests(cases)
    view = np.hypot(*(np.indices(SHAPE) - np.reshape(SHAPE, (2, 1, 1)) / 2)) < min(SHAPE) / 2
    for number in range(1, tests + cases + 1):
        half = "test" if number <= tests else "training"
        root = folder / "DRIVE" / half
        image, label = draw(seed, number, shape=SHAPE)
        picture(root / "images" / f"{number:02d}_{half}.tif", rgb(image * view, COLOUR))
        picture(root / "1st_manual" / f"{number:02d}_manual1.gif", white(label))
        picture(root / "mask" / f"{number:02d}_{half}_mask.gif", white(view.astype(np.uint8)))
        if half == "test":
            picture(root / "2nd_manual" / f"{number:02d}_manual2.gif", white(label == 2))
    return folder
