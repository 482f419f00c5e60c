"""Stacks of slices in numpy: ``X_train.npy`` beside ``y_train.npy``, (N, H, W, 1), as Kaggle's prostate set has them.

``X_test.npy`` and ``y_test.npy`` are test slices. ``X_train(Clahe).npy`` and ``X_train(Hist).npy`` are the same slices
after histogram changes, and are left alone. The names say neither what is shown nor which slices are of one patient:
each is a group of its own.
"""

from __future__ import annotations

from pathlib import Path

from medseg.cases.case import Case
from medseg.cases.listing import Listing
from medseg.errors import DataError, Fault
from medseg.volumes.arrays import stack_size

LOOKS_LIKE = "X_train.npy beside y_train.npy (stacks of slices, as Kaggle's prostate set)"
SUBSETS = {"train": {}, "test": {"subset": "test"}}
CHANGED = r"x_(train|test).+\.npy"


def matches(listing: Listing) -> bool:
    """Whether there are both stacks."""
    return bool(_stacks(listing, "train"))


def find(listing: Listing) -> list[Case]:
    """A case for each slice, ``train_0000`` or ``test_0000``; empty ones are kept.

    Raises:
        DataError: E201, the two stacks differ in length; what reading their headers refuses.
    """
    for path in listing.files(CHANGED):
        listing.ignored[path.relative_to(listing.root)] = "the same slices, their histogram changed"
    cases = []
    for subset, meta in SUBSETS.items():
        for images, labels in _stacks(listing, subset):
            n, m = stack_size(images), stack_size(labels)
            if n != m:
                fix = "download both files again"
                raise DataError(Fault("E201", "the two stacks differ in length", fix, f"{n} labels", str(m), labels))
            cases += [
                Case(f"{subset}_{i:04d}", (Path(f"{images}::{i}"),), Path(f"{labels}::{i}"), meta=meta)
                for i in range(n)
            ]
    return cases


def _stacks(listing: Listing, subset: str) -> list[tuple[Path, Path]]:
    labels = {path.parent: path for path in listing.files(rf"y_{subset}\.npy")}
    return [(path, labels[path.parent]) for path in listing.files(rf"x_{subset}\.npy") if path.parent in labels]
