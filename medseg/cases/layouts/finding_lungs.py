"""Kaggle's finding-lungs-in-ct-data: slices in ``2d_images/`` and ``2d_masks/``, volumes in ``3d_images/``.

Slices are int16 TIFF in Hounsfield units, masks 0 and 255. ``ID_0254_Z_0075`` is a slice of patient 0254; how those
relate to the four volumes is not known. ``meta["part"]`` is ``2d`` or ``3d``.
"""

from __future__ import annotations

import re
from pathlib import Path

from medseg.cases.case import Case
from medseg.cases.layouts.pairs import by_number, by_stem
from medseg.cases.listing import Listing

LOOKS_LIKE = (
    "2d_images/ beside 2d_masks/, or 3d_images/ with IMG_0002.nii.gz and MASK_0002.nii.gz (finding lungs in CT)"
)
LABELS = {"background": 0, "lung": 1}
PATIENT = re.compile(r"ID_\d+")
VOLUME, MASK = (re.compile(rf"{name}_\d+\.nii(\.gz)?", re.IGNORECASE) for name in ("IMG", "MASK"))


def matches(listing: Listing) -> bool:
    """Whether there is one of the two parts."""
    return bool(_of_slices(listing)) or any(_files(listing, folder, MASK) for folder in listing.named("3d_images"))


def find(listing: Listing) -> list[Case]:
    """Slices and volumes."""
    slices = [case for folder in _of_slices(listing) for case in _slices(listing, folder)]
    return slices + [case for folder in listing.named("3d_images") for case in _volumes(listing, folder)]


def _of_slices(listing: Listing) -> list[Path]:
    return [folder for folder in listing.named("2d_images") if listing.beside(folder, "2d_masks")]


def _slices(listing: Listing, folder: Path) -> list[Case]:
    labels = by_stem(listing.volumes(listing.beside(folder, "2d_masks")).values())
    meta, cases = {"modality": "CT", "part": "2d"}, []
    for name, path in by_stem(listing.volumes(folder).values()).items():
        patient = PATIENT.match(name)
        cases.append(Case(name, (path,), labels.get(name), patient[0] if patient else "", meta=meta))
    return cases


def _volumes(listing: Listing, folder: Path) -> list[Case]:
    images, labels = (by_number(_files(listing, folder, pattern)) for pattern in (VOLUME, MASK))
    meta = {"modality": "CT", "part": "3d"}
    return [Case(f"IMG_{number}", (path,), labels.get(number), meta=meta) for number, path in images.items()]


def _files(listing: Listing, folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    return [path for name, path in listing.volumes(folder).items() if pattern.fullmatch(name)]
