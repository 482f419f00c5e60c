"""Liver CT as a MONAI tutorial lays it out: ``TrainVolumes/``, ``TrainSegmentation/``, ``TestVolumes/``, …

Both files of a case have one name, or LiTS' names: ``volume-0.nii`` and ``segmentation-0.nii``.
"""

from __future__ import annotations

import re
from pathlib import Path

from medseg.cases.case import Case
from medseg.cases.layouts.pairs import by_stem, paired
from medseg.cases.listing import Listing

LOOKS_LIKE = "TrainVolumes/ beside TrainSegmentation/"
HALVES = {"Train": "", "Test": "test"}
KIND = re.compile(r"^segmentation(?=-\d+$)", re.IGNORECASE)


def matches(listing: Listing) -> bool:
    """Whether there are training volumes beside their segmentations."""
    return any(listing.beside(folder, "TrainSegmentation") for folder in listing.named("TrainVolumes"))


def find(listing: Listing) -> list[Case]:
    """A case for each volume."""
    cases = []
    for name, subset in HALVES.items():
        for folder in listing.named(f"{name}Volumes"):
            labels = _labels(listing, listing.beside(folder, f"{name}Segmentation"))
            cases += paired(by_stem(listing.volumes(folder).values()), labels, subset, modality="CT")
    return cases


def _labels(listing: Listing, folder: Path | None) -> dict[str, Path]:
    return {KIND.sub("volume", name): path for name, path in by_stem(listing.volumes(folder).values()).items()}
