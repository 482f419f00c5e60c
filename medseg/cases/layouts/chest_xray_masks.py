"""Chest X-ray masks and labels: Shenzhen and Montgomery on Kaggle (``CXR_png/`` beside ``masks/``).

A Shenzhen mask is ``CHNCXR_0001_0_mask.png``, a Montgomery mask has its image's own name. About a hundred images have
no mask; ``test/`` holds such images. One of its own whose mask stands in ``masks/`` is a labelled test case. Candemir
et al. 2014 (doi:10.1109/TMI.2013.2290491), Jaeger et al. 2014 (doi:10.3978/j.issn.2223-4292.2014.11.20).
"""

from __future__ import annotations

from medseg.cases.case import Case
from medseg.cases.layouts.pairs import by_stem, paired
from medseg.cases.listing import Listing

LOOKS_LIKE = "CXR_png/ beside masks/ (chest X-ray masks and labels)"
LABELS = {"background": 0, "lung": 1}


def matches(listing: Listing) -> bool:
    """Whether a ``CXR_png`` has a ``masks`` beside it."""
    return any(listing.beside(folder, "masks") for folder in listing.named("CXR_png"))


def find(listing: Listing) -> list[Case]:
    """The images, with their masks where there are any. What ``test/`` repeats is ignored."""
    cases = []
    for folder in listing.named("CXR_png"):
        masks = listing.beside(folder, "masks")
        if masks is None:
            continue
        labels = by_stem(listing.volumes(masks).values(), drop="_mask")
        images = by_stem(listing.volumes(folder).values())
        tests = by_stem(listing.volumes(listing.beside(folder, "test")).values())
        again = {path for name, path in tests.items() if name in images}
        listing.ignored.update((path.relative_to(listing.root), "stands in CXR_png/ too") for path in again)
        cases += paired(images, labels, modality="X-ray")
        own = {name: path for name, path in tests.items() if path not in again}
        cases += paired(own, labels, "test", modality="X-ray")
    return cases
