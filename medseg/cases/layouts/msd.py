"""Medical Segmentation Decathlon: `dataset.json`, `imagesTr/`, `labelsTr/`, `imagesTs/` (medicaldecathlon.com).

`labelsTs/` is read where it exists: phantoms know the truth of their test cases.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from medseg.cases.case import Case
from medseg.errors import DataError, Fault
from medseg.volumes import stem

logger = logging.getLogger(__name__)

LOOKS_LIKE = "dataset.json beside imagesTr/ and labelsTr/"


def matches(root: Path) -> bool:
    """Whether the folder holds a `dataset.json`."""
    return (root / "dataset.json").is_file()


def find(root: Path, subset: str) -> list[Case]:
    """Cases of one subset (see `medseg.cases.layouts.find_cases`)."""
    description = _read(root / "dataset.json")
    training = [_labelled(root, entry) for entry in _entries(root, description, "training")]
    test = [_unlabelled(root, entry) for entry in _entries(root, description, "test")]
    labelled_test = [
        (path, root / "labelsTs" / path.name) for path in test if (root / "labelsTs" / path.name).is_file()
    ]
    if subset == "test" and labelled_test and len(labelled_test) < len(test):
        logger.warning("[W101] %s: %d of %d test images have no label and are not scored", root / "labelsTs",
                       len(test) - len(labelled_test), len(test))  # fmt: skip
    if subset == "images":
        images = test or [image for image, _ in training]
        _refuse_missing(images)
        return [_case(image, None) for image in images]
    pairs = training if subset == "labelled" else labelled_test
    _refuse_missing([path for pair in pairs for path in pair])
    return [_case(image, label) for image, label in pairs]


def _case(image: Path, label: Path | None) -> Case:
    return Case(id=stem(image), images=(image,), label=label)


def _labelled(root: Path, entry: Any) -> tuple[Path, Path]:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
        fix = "give every training entry an image and a label, or drop the entry"
        what = "a training entry has an image without a label"
        raise DataError(Fault("E101", what, fix, '{"image": …, "label": …}', repr(entry), root / "dataset.json"))
    return _inside(root, entry["image"]), _inside(root, entry["label"])


def _unlabelled(root: Path, entry: Any) -> Path:
    name = entry.get("image") if isinstance(entry, dict) else entry
    if not isinstance(name, str):
        fix = "give every test entry an image"
        raise DataError(Fault("E104", "a test entry names no image", fix, "a path", repr(entry), root / "dataset.json"))
    return _inside(root, name)


def _entries(root: Path, description: dict[str, Any], key: str) -> list[Any]:
    entries = description.get(key) or []
    if not isinstance(entries, list):
        fix = "list the cases of this subset"
        raise DataError(Fault("E104", f"'{key}' is no list", fix, "a list", repr(entries), root / "dataset.json"))
    return entries


def _inside(root: Path, name: str) -> Path:
    path = root / name
    if root.resolve() not in path.resolve().parents:
        fix = "keep the paths in dataset.json inside the data folder"
        raise DataError(Fault("E501", "a path leaves the data folder", fix, found=name, file=root / "dataset.json"))
    return path


def _refuse_missing(paths: list[Path]) -> None:
    fix = "download the file again, or drop the case from dataset.json"
    missing = [Fault("E101", f"{_kind(path)} is missing", fix, file=path) for path in paths if not path.is_file()]
    if missing:
        raise DataError(*missing)


def _kind(path: Path) -> str:
    return "a label" if path.parent.name.startswith("labels") else "an image"


def _read(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(Fault("E104", f"not readable as JSON ({error})", "mend the file", file=path)) from error
    if not isinstance(description, dict):
        raise DataError(Fault("E104", "not a data-set description", "mend the file", "an object", "a list", path))
    return description
