"""LiTS: liver and tumours in ``volume-0.nii`` and ``segmentation-0.nii``, in batches."""

from __future__ import annotations

from pathlib import Path

from medseg.cases.phantoms.layouts._drawing import draw, hounsfield, n_tests, volume

SHAPE = (32, 32, 16)


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` volumes with a segmentation in two batches, and test volumes without.

    Hounsfield units; 0 background, 1 liver, 2 tumour. Returns `folder`.
    """
    for number in range(cases):
        image, label = draw(seed, 0, number, shape=SHAPE)
        batch = folder / ("Training Batch 1" if number < (cases + 1) // 2 else "Training Batch 2")
        volume(batch / f"volume-{number}.nii", hounsfield(image))
        volume(batch / f"segmentation-{number}.nii", label)
    for number in range(n_tests(cases)):
        image, _ = draw(seed, 1, number, shape=SHAPE)
        volume(folder / "LITS-Challenge-Test-Data" / f"test-volume-{number}.nii", hounsfield(image))
    return folder
