"""LiTS: ``volume-0.nii`` and ``segmentation-0.nii``, in one folder or in two; test volumes are ``test-volume-0.nii``.

Bilic et al. 2023 (doi:10.1016/j.media.2022.102680).
"""

from __future__ import annotations

from medseg.cases.case import Case
from medseg.cases.layouts.pairs import by_number
from medseg.cases.listing import Listing

LOOKS_LIKE = "volume-0.nii beside segmentation-0.nii (LiTS)"
LABELS = {"background": 0, "liver": 1, "tumour": 2}
IMAGES, TESTS, MASKS = (rf"{name}-\d+\.nii(\.gz)?" for name in ("volume", "test-volume", "segmentation"))


def matches(listing: Listing) -> bool:
    """Whether there are volumes and segmentations of those names, elsewhere than in the folders of `liver_folders`."""
    return bool(listing.files(MASKS) and listing.files(IMAGES)) and not listing.named("TrainSegmentation")


def find(listing: Listing) -> list[Case]:
    """A case for each volume, wherever its folder.

    Raises:
        DataError: E501, two volumes or two segmentations of one number.
    """
    images, tests, labels = (by_number(listing.files(pattern)) for pattern in (IMAGES, TESTS, MASKS))
    return [Case(f"volume-{n}", (path,), labels.get(n), meta={"modality": "CT"}) for n, path in images.items()] + [
        Case(f"test-volume-{n}", (path,), meta={"modality": "CT", "subset": "test"}) for n, path in tests.items()
    ]
