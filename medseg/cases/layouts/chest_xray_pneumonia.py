"""Chest X-Ray Images (Pneumonia): ``train|val|test/NORMAL|PNEUMONIA/*.jpeg``; labels of whole images, no masks.

Kermany et al. 2018 (doi:10.1016/j.cell.2018.02.010). Children's radiographs; several may be of one patient, whom a file
name gives: ``person100_bacteria_475.jpeg``, ``NORMAL2-IM-0927-0001.jpeg``.
"""

from __future__ import annotations

import re
from pathlib import Path

from medseg.cases.case import Case
from medseg.cases.listing import Listing
from medseg.volumes import stem

LOOKS_LIKE = "train/NORMAL/ beside train/PNEUMONIA/ (Chest X-Ray Images)"
SUBSETS = {"train": "", "val": "validate", "test": "test"}
KINDS = ("NORMAL", "PNEUMONIA")
PATIENT = re.compile(r"person\d+|(NORMAL2-)?IM-\d+", re.IGNORECASE)


def matches(listing: Listing) -> bool:
    """Whether both classes stand in ``train/``."""
    return all(listing.named("train", kind) for kind in KINDS)


def find(listing: Listing) -> list[Case]:
    """A case for each image: ``image_labels`` is ``{"pneumonia": 0 or 1}``."""
    return [
        _case(path, name, kind)
        for name in SUBSETS
        for kind in KINDS
        for folder in listing.named(name, kind)
        for path in listing.volumes(folder).values()
    ]


def _case(path: Path, name: str, kind: str) -> Case:
    patient = PATIENT.match(path.name)
    # The numbers of patients begin anew in each subset and class.
    group = f"{name}_{kind}_{patient[0]}" if patient else ""
    meta = {"modality": "X-ray", **({"subset": SUBSETS[name]} if SUBSETS[name] else {})}
    labels = {"pneumonia": int(kind == "PNEUMONIA")}
    return Case(f"{name}_{stem(path)}", (path,), group=group, image_labels=labels, meta=meta)
