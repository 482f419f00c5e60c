"""ISIC 2018 task 1: ``ISIC2018_Task1-2_Training_Input/`` beside ``ISIC2018_Task1_Training_GroundTruth/``.

Codella et al. 2019 (arXiv:1902.03368).
"""

from __future__ import annotations

from medseg.cases.case import Case
from medseg.cases.layouts.pairs import by_stem, paired
from medseg.cases.listing import Listing

LOOKS_LIKE = "ISIC2018_Task1-2_Training_Input/ beside ISIC2018_Task1_Training_GroundTruth/"
LABELS = {"background": 0, "lesion": 1}
SUBSETS = {"Training": "", "Validation": "validate", "Test": "test"}


def matches(listing: Listing) -> bool:
    """Whether there is one of the three folders of images."""
    return any(listing.named(f"ISIC2018_Task1-2_{name}_Input") for name in SUBSETS)


def find(listing: Listing) -> list[Case]:
    """A case for each photograph; validation and test images with their subset."""
    cases = []
    for name, subset in SUBSETS.items():
        for folder in listing.named(f"ISIC2018_Task1-2_{name}_Input"):
            truth = listing.beside(folder, f"ISIC2018_Task1_{name}_GroundTruth")
            labels = by_stem(listing.volumes(truth).values(), drop="_segmentation")
            cases += paired(by_stem(listing.volumes(folder).values()), labels, subset, modality="dermoscopy")
    return cases
