"""A folder a patient with ``…image….nrrd`` (or ``…volume…``) and ``…mask….nrrd``, as DuneAI takes them.

Primakov et al. 2022 (doi:10.1038/s41467-022-30841-3).
"""

from __future__ import annotations

from pathlib import Path

from medseg.cases.case import Case
from medseg.cases.listing import Listing
from medseg.errors import DataError, Fault

LOOKS_LIKE = "<patient>/image.nrrd (or volume.nrrd) beside <patient>/mask.nrrd"
IMAGE, MASK = r"(?!.*mask).*(image|volume).*\.nrrd", r".*mask.*\.nrrd"


def matches(listing: Listing) -> bool:
    """Whether a folder holds both."""
    return not _folders(listing, IMAGE).keys().isdisjoint(_folders(listing, MASK))


def find(listing: Listing) -> list[Case]:
    """A case for each folder with an image, named after it.

    Raises:
        DataError: E501, several images or masks in one folder.
    """
    images, masks = _folders(listing, IMAGE), _folders(listing, MASK)
    crowded = [paths for paths in (*images.values(), *masks.values()) if len(paths) > 1]
    if crowded:
        what, fix = "several files of one kind in one folder", "keep one image and one mask a patient"
        names = [", ".join(path.name for path in paths) for paths in crowded]
        raise DataError(
            *(
                Fault("E501", what, fix, "1", found, paths[0].parent)
                for found, paths in zip(names, crowded, strict=True)
            )
        )
    return [Case(folder.name, (paths[0],), masks[folder][0] if folder in masks else None)
            for folder, paths in images.items()]  # fmt: skip


def _folders(listing: Listing, pattern: str) -> dict[Path, list[Path]]:
    found: dict[Path, list[Path]] = {}
    for path in listing.files(pattern):
        found.setdefault(path.parent, []).append(path)
    return found
