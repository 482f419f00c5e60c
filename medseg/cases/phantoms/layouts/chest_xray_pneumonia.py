"""Chest X-Ray Images (Pneumonia), as on Kaggle: three subsets, two classes, no masks, the tree twice, macOS's files."""

from __future__ import annotations

import shutil
from pathlib import Path

from medseg.cases.phantoms.layouts._drawing import apple_double, draw, grey, n_tests, picture

KINDS = ("NORMAL", "PNEUMONIA")


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` training images (two at least), two to validate and a few to test.

    Grey JPEG of several sizes: two bodies, or one for pneumonia, of which a patient has two images. Returns `folder`.
    """
    tree = folder / "chest_xray"
    for subset, (part, images) in enumerate((("train", max(2, cases)), ("val", 2), ("test", n_tests(cases)))):
        for number in range(images):
            kind = KINDS[number % 2]
            place = number // 2
            image, _ = draw(seed, subset, number, shape=(60 - 4 * (number % 3), 44), bodies=2 - number % 2)
            names = (f"IM-{place + 1:04d}-0001", f"person{place // 2 + 1}_bacteria_{place + 1}")
            path = picture(tree / part / kind / f"{names[number % 2]}.jpeg", grey(image))
            apple_double(folder / "__MACOSX" / path.relative_to(folder))
    shutil.copytree(tree, tree / "chest_xray")
    return folder
