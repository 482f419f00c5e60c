"""Medical Segmentation Decathlon: `dataset.json`, `imagesTr/`, `labelsTr/`, `imagesTs/` (medicaldecathlon.com).

`labelsTs/` is read where it exists: phantoms know the truth of their test cases. Where `dataset.json` names several
modalities, an image has four axes, of which the last is the channel: ``BRATS_001.nii.gz::0``, ``::1``, …
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from medseg.cases.case import Case
from medseg.cases.layouts import description
from medseg.cases.listing import Listing
from medseg.errors import DataError, Fault
from medseg.labels import Labels
from medseg.volumes import stem

logger = logging.getLogger(__name__)

LOOKS_LIKE = "dataset.json that lists training cases, beside imagesTr/ and labelsTr/ (Decathlon)"


def matches(listing: Listing) -> bool:
    """Whether the folder, or one below it, holds a `dataset.json` that lists cases."""
    return bool(_descriptions(listing))


def labels(listing: Listing) -> Labels | None:
    """What `dataset.json` says the values mean."""
    return description.labels(description.only(_descriptions(listing)))


def find(listing: Listing) -> list[Case]:
    """The training cases, and the test cases with the label that `labelsTs/` holds, if it does.

    Raises:
        DataError: E104 a description that cannot be read; E501 a path that leaves the data folder; E101 a file that is
            not there, or half an entry; E609 several data sets.
    """
    path = description.only(_descriptions(listing))
    content, channels = description.read(path), description.channel_names(path)
    training = [_labelled(listing, path, entry) for entry in _entries(path, content, "training")]
    test = [_unlabelled(listing, path, entry) for entry in _entries(path, content, "test")]
    _refuse_missing(listing, [*(path for pair in training for path in pair), *test])
    truth = listing.volumes(path.parent.relative_to(listing.root) / "labelsTs")
    without = [image for image in test if image.name not in truth]
    if truth and without:
        logger.warning("[W101] %s: %d of %d test images have no label and are not scored", path.parent / "labelsTs",
                       len(without), len(test))  # fmt: skip
    meta = {"modality": ", ".join(channels)} if channels else {}

    def images(image: Path) -> tuple[Path, ...]:
        return (image,) if len(channels) < 2 else tuple(Path(f"{image}::{n}") for n in range(len(channels)))

    return [Case(stem(image), images(image), label, meta=meta) for image, label in training] + [
        Case(stem(image), images(image), truth.get(image.name), meta={**meta, "subset": "test"}) for image in test
    ]


def _descriptions(listing: Listing) -> list[Path]:
    """Each `dataset.json` but nnU-Net's; a broken one too, so that reading it says what is wrong."""
    return [path for path in description.found(listing)
            if not description.is_nnunet(listing, path) and _lists_cases(path)]  # fmt: skip


def _lists_cases(path: Path) -> bool:
    try:
        return not {"training", "test"}.isdisjoint(description.read(path))
    except DataError:
        return True


def _labelled(listing: Listing, file: Path, entry: Any) -> tuple[Path, Path]:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
        fix = "give every training entry an image and a label, or drop the entry"
        what = "a training entry has an image without a label"
        raise DataError(Fault("E101", what, fix, '{"image": …, "label": …}', repr(entry), file))
    return _inside(listing, file, entry["image"]), _inside(listing, file, entry["label"])


def _unlabelled(listing: Listing, file: Path, entry: Any) -> Path:
    name = entry.get("image") if isinstance(entry, dict) else entry
    if not isinstance(name, str):
        fix = "give every test entry an image"
        raise DataError(Fault("E104", "a test entry names no image", fix, "a path", repr(entry), file))
    return _inside(listing, file, name)


def _entries(file: Path, content: dict[str, Any], key: str) -> list[Any]:
    entries = content.get(key) or []
    if not isinstance(entries, list):
        fix = "list the cases of this subset"
        raise DataError(Fault("E104", f"'{key}' is no list", fix, "a list", repr(entries), file))
    return entries


def _inside(listing: Listing, file: Path, name: str) -> Path:
    path = listing.inside(file.parent.relative_to(listing.root), name)
    if path is None:
        fix = "keep the files inside the data folder, and name them from there, without '..'"
        raise DataError(Fault("E501", "a path leaves the data folder", fix, found=name, file=file))
    return path


def _refuse_missing(listing: Listing, paths: list[Path]) -> None:
    fix = "download the file again, or drop the case from dataset.json"
    missing = [Fault("E101", f"{_kind(path)} is missing", fix, file=path) for path in paths if not listing.has(path)]
    if missing:
        raise DataError(*missing)


def _kind(path: Path) -> str:
    return "a label" if path.parent.name.startswith("labels") else "an image"
