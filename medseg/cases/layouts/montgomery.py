"""Montgomery County chest X-rays as the National Library of Medicine ships them: a mask for each lung.

Jaeger et al. 2014 (doi:10.3978/j.issn.2223-4292.2014.11.20).
"""

from __future__ import annotations

from medseg.cases.case import Case
from medseg.cases.layouts.pairs import by_stem
from medseg.cases.listing import Listing

LOOKS_LIKE = "CXR_png/ beside ManualMask/leftMask/ and ManualMask/rightMask/ (Montgomery)"
LABELS = {"background": 0, "lung": 1}


def matches(listing: Listing) -> bool:
    """Whether there are masks of the left lung."""
    return bool(listing.named("ManualMask", "leftMask"))


def find(listing: Listing) -> list[Case]:
    """Each label is the union of its left and its right mask; with one of the two alone, there is none."""
    cases = []
    for left_folder in listing.named("ManualMask", "leftMask"):
        left = by_stem(listing.volumes(left_folder).values())
        right = by_stem(listing.volumes(listing.beside(left_folder, "rightMask")).values())
        images = by_stem(listing.volumes(listing.beside(left_folder.parent, "CXR_png")).values())
        for name, path in images.items():
            label = (left[name], right[name]) if name in left and name in right else None
            cases.append(Case(id=name, images=(path,), label=label, meta={"modality": "X-ray"}))
    return cases
