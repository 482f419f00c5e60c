"""Plain folders: `images/` beside `labels/` or `masks/` with the same file names, or nothing but images."""

from __future__ import annotations

from pathlib import Path

from medseg.cases.case import Case
from medseg.errors import DataError, Fault
from medseg.volumes import is_volume, stem

LOOKS_LIKE = "images/ beside labels/ or masks/ with the same file names; or image files in the folder itself"
LABEL_FOLDERS = ("labels", "masks")


def matches(root: Path) -> bool:
    """Whether there are volumes in the folder itself or in its `images/`."""
    return bool(_volumes(root) or _volumes(root / "images"))


def find(root: Path, subset: str) -> list[Case]:
    """Cases of one subset (see `medseg.cases.layouts.find_cases`)."""
    images = _volumes(root / "images") or _volumes(root)
    if subset == "images":
        return [Case(id=name, images=(path,)) for name, path in images.items()]
    if subset == "test":
        return []
    labels = next((found for folder in LABEL_FOLDERS if (found := _volumes(root / folder))), {})
    faults = [
        Fault(
            "E101", "an image has no label", f"put {path.name} into labels/, or remove the image", file=path, case=name
        )
        for name, path in images.items()
        if name not in labels
    ] + [
        Fault(
            "E101", "a label has no image", f"put {path.name} into images/, or remove the label", file=path, case=name
        )
        for name, path in labels.items()
        if name not in images
    ]
    if faults:
        raise DataError(*faults)
    return [Case(id=name, images=(path,), label=labels[name]) for name, path in images.items()]


def _volumes(folder: Path) -> dict[str, Path]:
    """Volumes directly in a folder, by case id. Two files of one id (x.nii and x.nii.gz) are refused."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.is_file() and is_volume(path):
            if stem(path) in found:
                other = found[stem(path)].name
                raise DataError(
                    Fault("E501", "two files of one case", "keep one", found=f"{other}, {path.name}", file=path)
                )
            found[stem(path)] = path
    return found
