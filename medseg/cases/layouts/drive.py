"""DRIVE retina vessels: ``training/`` and ``test/`` with ``images/``, ``1st_manual/``, ``mask/`` and ``2nd_manual/``.

``mask/`` is the field of view, not a label: ``meta["field_of_view"]``. ``2nd_manual`` is another observer:
``meta["second_observer"]``. Today's download has no vessels of the test half. Staal et al. 2004
(doi:10.1109/TMI.2004.825627).
"""

from __future__ import annotations

from pathlib import Path

from medseg.cases.case import Case
from medseg.cases.layouts.pairs import by_number
from medseg.cases.listing import Listing
from medseg.volumes import stem

LOOKS_LIKE = "training/images/ beside training/1st_manual/ (DRIVE)"
LABELS = {"background": 0, "vessel": 1}
HALVES = {"training": "", "test": "test", "testing": "test"}
PARTS = ("1st_manual", "2nd_manual", "mask")


def matches(listing: Listing) -> bool:
    """Whether a half has images and vessels of a first observer."""
    return any(listing.beside(folder, "1st_manual") for name in HALVES for folder in listing.named(name, "images"))


def find(listing: Listing) -> list[Case]:
    """A case for each photograph, ``21_training`` or ``01_test``."""
    return [
        case
        for name, subset in HALVES.items()
        for folder in listing.named(name, "images")
        for case in _half(listing, folder, subset)
    ]


def _half(listing: Listing, folder: Path, subset: str) -> list[Case]:
    """The photographs of a half, matched by the number that a file's name begins with."""
    vessels, second, view = (by_number(listing.volumes(listing.beside(folder, part)).values()) for part in PARTS)
    cases = []
    for number, path in by_number(listing.volumes(folder).values()).items():
        known = {"field_of_view": view.get(number), "second_observer": second.get(number), "subset": subset}
        meta = {"modality": "fundus", **{key: str(value) for key, value in known.items() if value}}
        cases.append(Case(stem(path), (path,), vessels.get(number), meta=meta))
    return cases
