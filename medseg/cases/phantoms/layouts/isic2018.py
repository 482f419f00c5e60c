"""ISIC 2018 task 1: colour JPEG of skin, and masks as PNG, in three subsets."""

from __future__ import annotations

from pathlib import Path

from medseg import files
from medseg.cases.phantoms.layouts._drawing import draw, n_tests, picture, rgb, white

COLOUR = (1.0, 0.8, 0.7)


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` training images, and a few to validate and to test, each with its mask of 0 and 255.

    Images differ in size; ``ATTRIBUTION.txt`` and ``LICENSE.txt`` lie among them. Returns `folder`.
    """
    number = 0
    for subset, images in (("Training", cases), ("Validation", 2), ("Test", n_tests(cases))):
        inputs = folder / f"ISIC2018_Task1-2_{subset}_Input"
        for _ in range(images):
            image, label = draw(seed, number, shape=(56 + 4 * (number % 3), 44))
            name = f"ISIC_{number * 3:07d}"
            picture(inputs / f"{name}.jpg", rgb(image, COLOUR))
            picture(folder / f"ISIC2018_Task1_{subset}_GroundTruth" / f"{name}_segmentation.png", white(label))
            number += 1
        for text in ("ATTRIBUTION", "LICENSE"):
            files.write_text(inputs / f"{text}.txt", "Phantoms: no photograph of anybody.\n")
    return folder
