"""A BIDS data set: two sessions a subject, masks of the T1w images in ``derivatives/manual/``."""

from __future__ import annotations

from pathlib import Path

from medseg import files
from medseg.cases.phantoms.layouts._drawing import draw, grey, n_tests, volume

SHAPE = (32, 28, 20)


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` sessions with a mask, some without, and a FLAIR image that no mask belongs to.

    Images are uint8, masks 0 and 1. Returns `folder`.
    """
    masks = folder / "derivatives" / "manual"
    people = []
    for number in range(cases + n_tests(cases)):
        subject, session = f"sub-{number // 2 + 1:02d}", f"ses-{number % 2 + 1}"
        people += [] if subject in people else [subject]
        image, label = draw(seed, number, shape=SHAPE)
        inside, name = Path(subject) / session / "anat", f"{subject}_{session}"
        volume(folder / inside / f"{name}_T1w.nii.gz", grey(image))
        if number == 0:
            volume(folder / inside / f"{name}_FLAIR.nii.gz", grey(1 - image))
        if number < cases:
            mask = (label > 0).astype("uint8")
            volume(masks / inside / f"{name}_space-T1w_desc-lesion_mask.nii.gz", mask)
    description = {"Name": "Phantoms", "BIDSVersion": "1.9.0"}
    files.write_json(folder / "dataset_description.json", description)
    files.write_json(masks / "dataset_description.json", {**description, "DatasetType": "derivative"})
    files.write_text(folder / "participants.tsv", "\n".join(["participant_id", *people]) + "\n")
    return folder
