"""Chest X-ray masks and labels, as on Kaggle: Shenzhen and Montgomery names, images without a mask, the tree twice."""

from __future__ import annotations

import shutil
from pathlib import Path

from medseg import files
from medseg.cases.phantoms.layouts._drawing import apple_double, draw, grey, n_tests, picture, rgb, white


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` images with a mask and a few without, of which ``test/`` holds copies and one image of its own.

    PNG of several sizes, every fifth as RGB, though grey; masks are 0 and 255. The tree stands in ``data/`` too.
    Returns `folder`.
    """
    tree = folder / "Lung Segmentation"
    tests = n_tests(cases)
    for number in range(cases + tests + 1):
        name = f"{'MCU' if number % 3 == 2 else 'CHN'}CXR_{number + 1:04d}_{number % 2}"
        image, label = draw(seed, number, shape=(48 + 4 * (number % 3), 56), bodies=2)
        pixels = rgb(image, (1, 1, 1)) if number % 5 == 4 else grey(image)
        if number < cases + tests:
            picture(tree / "CXR_png" / f"{name}.png", pixels)
        if number < cases:
            picture(tree / "masks" / (f"{name}.png" if name.startswith("MCU") else f"{name}_mask.png"), white(label))
        else:
            picture(tree / "test" / f"{name}.png", pixels)
        files.write_text(tree / "ClinicalReadings" / f"{name}.txt", "a phantom\n")
    apple_double(tree / "CXR_png" / "CHNCXR_0001_0.png")
    shutil.copytree(tree, folder / "data" / tree.name)
    return folder
