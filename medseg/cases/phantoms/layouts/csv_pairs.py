"""A CSV of pairs: two channels a case, groups, subsets and meta data."""

from __future__ import annotations

from pathlib import Path

from medseg import files
from medseg.cases.phantoms.layouts._drawing import draw, grey, n_tests, volume

SHAPE = (24, 32, 20)


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` training cases of two channels, two a patient, and a few to test, in ``pairs.csv`` and ``scans/``.

    NIfTI of uint8; labels 0, 1 and 2. Returns `folder`.
    """
    rows = []
    for number in range(cases + n_tests(cases)):
        image, label = draw(seed, number, shape=SHAPE)
        names = {kind: f"scans/{number + 1}_{kind}.nii.gz" for kind in ("pre", "post", "drawn")}
        for kind, array in (("pre", grey(image)), ("post", grey(1 - image)), ("drawn", label)):
            volume(folder / names[kind], array)
        row = {"case": f"c{number + 1}", "image_0": names["pre"], "image_1": names["post"], "label": names["drawn"]}
        if number < cases:
            row |= {"group": f"p{number // 2 + 1}", "subset": "train"}
        else:
            row |= {"group": f"t{number - cases + 1}", "subset": "test"}
        rows.append({**row, "modality": "MR", "age": str(40 + number)})
    files.write_csv(folder / "pairs.csv", rows)
    return folder
