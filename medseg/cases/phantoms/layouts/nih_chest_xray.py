"""The NIH chest X-ray sample: images with findings in a table, no masks, the tree twice."""

from __future__ import annotations

import shutil
from pathlib import Path

from medseg import files
from medseg.cases.phantoms.layouts._drawing import draw, grey, picture

SHAPE = (48, 48)
FINDINGS = ("No Finding", "Hernia", "Edema|Emphysema", "No Finding", "Infiltration|Hernia")


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` grey PNG, two a patient, and a table that names one more. Returns `folder`."""
    rows = []
    for number in range(cases + 1):
        patient, follow_up = number // 2 + 1, number % 2
        name = f"{patient:08d}_{follow_up:03d}.png"
        image, _ = draw(seed, number, shape=SHAPE)
        if number < cases:
            picture(folder / "sample" / "images" / name, grey(image))
        rows.append(
            {"Image Index": name, "Finding Labels": FINDINGS[number % len(FINDINGS)], "Follow-up #": str(follow_up),
             "Patient ID": f"{patient:08d}", "Patient Age": f"{40 + patient:03d}Y", "Patient Gender": "MF"[patient % 2],
             "View Position": "PA", "OriginalImageWidth": str(SHAPE[0]), "OriginalImageHeight": str(SHAPE[1])}
        )  # fmt: skip
    for place in (folder, folder / "sample"):
        files.write_csv(place / "sample_labels.csv", rows)
    shutil.copytree(folder / "sample" / "images", folder / "sample" / "sample" / "images")
    return folder
