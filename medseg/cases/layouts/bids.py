"""BIDS: images in ``sub-*/`` and masks or segmentations in ``derivatives/``, matched by their entities.

Gorgolewski et al. 2016 (doi:10.1038/sdata.2016.44). A derivative is ``…_mask``, ``…_dseg`` or ``…_seg``. It belongs to
the image of its subject that has all of its entities (``ses-``, ``acq-``, ``run-``, …), and where several have, to
the one that its ``space-`` names (``space-T1w``). The subject is the group.
"""

from __future__ import annotations

import re
from pathlib import Path

from medseg.cases.case import Case
from medseg.cases.listing import Listing
from medseg.errors import DataError, Fault
from medseg.volumes import stem

LOOKS_LIKE = "sub-01/ with images, and derivatives/ with sub-01_…_mask or _dseg (BIDS)"
NIFTI = re.compile(r"sub-.*\.nii(\.gz)?", re.IGNORECASE)
DERIVED = re.compile(r"sub-[A-Za-z0-9]+.*_(mask|dseg|seg)")
LABEL_ENTITIES = ("desc-", "label-", "space-", "res-", "den-", "atlas-", "seg-")
SPACE = "space-"


def matches(listing: Listing) -> bool:
    """Whether `derivatives/` holds masks."""
    return bool(_derivatives(listing))


def find(listing: Listing) -> list[Case]:
    """A case for each image of a kind (``T1w``, …) that has masks; a session without a mask is a case without a label.

    Raises:
        DataError: E501, a mask fits no image or several, or several masks fit one image.
    """
    subjects: dict[str, list[Path]] = {}
    for path in _files(listing, derived=False):
        subjects.setdefault(_subject(path), []).append(path)
    chosen: dict[Path, Path] = {}
    faults = []
    for label in _derivatives(listing):
        fitting = _fitting(label, subjects.get(_subject(label), []))
        if len(fitting) != 1:
            found = ", ".join(path.name for path in fitting) or "none"
            fix = "give the mask the entities of its image (ses-, acq-, run-), or name it: space-T1w"
            faults.append(Fault("E501", "a mask belongs to no one image", fix, "1 image", found, label))
        elif fitting[0] in chosen:
            found, fix = f"{chosen[fitting[0]]}", "keep one of the two in derivatives/"
            faults.append(Fault("E501", "two masks of one image", fix, "1 mask", found, label))
        else:
            chosen[fitting[0]] = label
    if faults:
        raise DataError(*faults)
    kinds = {_kind(path) for path in chosen}
    return [Case(stem(path), (path,), chosen.get(path), group=subject)
            for subject, paths in subjects.items() for path in paths if _kind(path) in kinds]  # fmt: skip


def _derivatives(listing: Listing) -> list[Path]:
    return [path for path in _files(listing, derived=True) if DERIVED.fullmatch(stem(path))]


def _files(listing: Listing, derived: bool) -> list[Path]:
    """The NIfTI files of subjects below `derivatives/`, or elsewhere."""
    return [
        listing.root / folder / name
        for folder, names in listing.folders.items()
        if ("derivatives" in {part.lower() for part in folder.parts}) == derived
        for name in names
        if NIFTI.fullmatch(name)
    ]


def _fitting(label: Path, images: list[Path]) -> list[Path]:
    parts = stem(label).split("_")[:-1]
    wanted = {part for part in parts if not part.startswith(LABEL_ENTITIES)}
    fitting = [image for image in images if wanted <= set(stem(image).split("_"))]
    spaces = {part.removeprefix(SPACE) for part in parts if part.startswith(SPACE)}
    return [image for image in fitting if _kind(image) in spaces] or fitting


def _subject(path: Path) -> str:
    return path.name.split("_")[0]


def _kind(path: Path) -> str:
    """The suffix of BIDS: ``T1w``, ``FLAIR``, …"""
    return stem(path).split("_")[-1]
