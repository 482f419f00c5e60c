"""Plain folders: `images/` beside `masks/`, whose names end in ``_mask``."""

from __future__ import annotations

from pathlib import Path

from medseg.cases.phantoms.layouts._drawing import apple_double, draw, grey, picture, white

SHAPE = (48, 40)


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` grey PNG, ``scan_1.png`` and so on; masks are 0 and 255. Returns `folder`."""
    for number in range(cases):
        image, label = draw(seed, number, shape=SHAPE)
        path = picture(folder / "images" / f"scan_{number + 1}.png", grey(image))
        picture(folder / "masks" / f"scan_{number + 1}_mask.png", white(label))
        apple_double(path)
    return folder
