"""A task of the Medical Segmentation Decathlon: liver and tumour, with the AppleDouble files of its archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medseg import files
from medseg.cases.phantoms.layouts._drawing import apple_double, draw, hounsfield, n_tests, volume

SHAPE = (32, 32, 16)


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write ``Task03_Liver/`` with `cases` training cases, and test cases without labels.

    Hounsfield units; labels are float32: 0 background, 1 liver, 2 cancer. Returns `folder`.
    """
    root = folder / "Task03_Liver"
    names = [f"liver_{number}.nii.gz" for number in range(cases + n_tests(cases))]
    for number, name in enumerate(names):
        image, label = draw(seed, number, shape=SHAPE)
        path = volume(root / ("imagesTr" if number < cases else "imagesTs") / name, hounsfield(image))
        apple_double(path)
        if number < cases:
            volume(root / "labelsTr" / name, label.astype(np.float32))
    about = {"name": "Liver", "description": "Phantoms: no patient data"}
    content = description(about, "CT", ("background", "liver", "cancer"), names[:cases], names[cases:])
    files.write_json(root / "dataset.json", content)
    return folder


def description(
    about: Mapping[str, str], modality: str, labels: Sequence[str], training: Sequence[str], test: Sequence[str]
) -> dict[str, Any]:
    """What ``dataset.json`` says of phantoms.

    Args:
        about: what it begins with: ``name``, ``description``, ``reference``.
        modality: of the images' only channel.
        labels: names of the values 0, 1, ….
        training, test: names of the images' files.
    """
    return {
        **about,
        "licence": "CC0 1.0",
        "tensorImageSize": "3D",
        "modality": {"0": modality},
        "labels": {str(value): name for value, name in enumerate(labels)},
        "numTraining": len(training),
        "numTest": len(test),
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in training],
        "test": [f"./imagesTs/{name}" for name in test],
    }
