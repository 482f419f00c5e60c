"""PROMISE12: ``Case00.mhd`` and ``Case00_segmentation.mhd``; test cases come without a segmentation.

In ``TrainingData_Part1/`` and so on, in one folder, or in ``img/`` beside ``gt/``. The numbers of test cases may begin
anew, so a case below a folder of tests is named after it too: ``TestData_Case00``. Litjens et al. 2014
(doi:10.1016/j.media.2013.12.002).
"""

from __future__ import annotations

import re
from pathlib import Path

from medseg.cases.case import Case
from medseg.cases.layouts.pairs import by_stem
from medseg.cases.listing import Listing

LOOKS_LIKE = "Case00.mhd beside Case00_segmentation.mhd, or img/ beside gt/ with Case00.mhd (PROMISE12)"
LABELS = {"background": 0, "prostate": 1}
TEST = re.compile(r"(.*_)?test.*", re.IGNORECASE)
PLAIN, SEGMENTATION = r"case\d+\.mhd", r"case\d+_segmentation\.mhd"


def matches(listing: Listing) -> bool:
    """Whether there is a segmentation of that name or in a folder of that name."""
    return bool(_labels(listing) and _images(listing))


def find(listing: Listing) -> list[Case]:
    """A case for each volume, wherever its folder.

    Raises:
        DataError: E501, two volumes or two segmentations of one number.
    """
    cases = []
    for test, paths in _by_test_folder(listing, _images(listing)).items():
        labels = by_stem(_by_test_folder(listing, _labels(listing)).get(test, []), drop="_segmentation")
        for name, path in by_stem(paths).items():
            is_test = bool(test) or name not in labels
            meta = {"modality": "MR", **({"subset": "test"} if is_test else {})}
            cases.append(Case(f"{test}_{name}" if test else name, (path,), labels.get(name), meta=meta))
    return cases


def _images(listing: Listing) -> list[Path]:
    return [path for path in listing.files(PLAIN) if not _is_truth(listing, path)]


def _labels(listing: Listing) -> list[Path]:
    return listing.files(SEGMENTATION) + [path for path in listing.files(PLAIN) if _is_truth(listing, path)]


def _is_truth(listing: Listing, path: Path) -> bool:
    folder = path.parent.relative_to(listing.root)
    return folder.name.lower() == "gt" and listing.beside(folder, "img") is not None


def _by_test_folder(listing: Listing, paths: list[Path]) -> dict[str, list[Path]]:
    """The name of the folder of tests that a file lies in, "" for none, to files."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        folder = path.parent.relative_to(listing.root).name
        found.setdefault(folder if TEST.fullmatch(folder) else "", []).append(path)
    return found
