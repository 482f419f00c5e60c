"""nnU-Net's raw format: two channels, and labels that overlap as regions."""

from __future__ import annotations

from pathlib import Path

from medseg import files
from medseg.cases.phantoms.layouts._drawing import draw, grey, n_tests, volume

SHAPE = (28, 32, 20)


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write ``Dataset001_Phantom/`` with `cases` training cases, and test cases without labels.

    Images are uint8; labels 0 background, 1 the tumour's rim, 2 its core. Returns `folder`.
    """
    root = folder / "Dataset001_Phantom"
    for number in range(cases + n_tests(cases)):
        image, label = draw(seed, number, shape=SHAPE)
        name, suffix = f"phantom_{number:03d}", "Tr" if number < cases else "Ts"
        for channel, array in enumerate((grey(image), grey(1 - image))):
            volume(root / f"images{suffix}" / f"{name}_{channel:04d}.nii.gz", array)
        if number < cases:
            volume(root / "labelsTr" / f"{name}.nii.gz", label)
    description = {
        "channel_names": {"0": "T1", "1": "FLAIR"},
        "labels": {"background": 0, "tumour": [1, 2], "core": 2},
        "regions_class_order": [1, 2],
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    files.write_json(root / "dataset.json", description)
    return folder
