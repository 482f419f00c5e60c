"""Plain folders: `images/` beside `labels/` or `masks/` with the same file names, or images in one folder.

In one folder a label lies beside its image: ``case1.nii.gz`` and ``case1_seg.nii.gz``.
"""

from __future__ import annotations

from pathlib import Path

from medseg.cases.case import Case
from medseg.cases.layouts.pairs import by_stem, paired
from medseg.cases.listing import Listing
from medseg.errors import DataError, Fault

LOOKS_LIKE = (
    "images/ beside labels/ or masks/ with the same file names; or image files in the folder itself, with or without "
    "<name>_seg, _mask or _label beside <name>"
)
LABEL_FOLDERS = ("labels", "masks")  # the first of them that holds files is read
LABEL_ENDINGS = ("_mask", "_label", "_seg", "_segmentation")


def matches(listing: Listing) -> bool:
    """Whether there are volumes in an `images/`, or in the folder itself."""
    return bool(_images(listing))


def image_sets(listing: Listing) -> list[set[Path]]:
    """The images of each `images/` that has a folder of labels beside it."""
    return [set(listing.volumes(folder).values()) for folder in _images(listing) if _label_files(listing, folder)]


def find(listing: Listing) -> list[Case]:
    """A case for each image. Where there is a folder of labels, every image has one.

    All labels may carry an ending that their images lack: ``_mask``, ``_label``, ``_seg``, ``_segmentation``.

    Raises:
        DataError: E101 images without label, or labels without image; E501 several such folders, or two files of one
            name.
    """
    folders = _images(listing)
    if len(folders) > 1:
        names, fix = ", ".join(map(str, folders)), "point dataset_dir at one of them"
        raise DataError(Fault("E501", "several folders of images", fix, "1", names, listing.root))
    images = by_stem(listing.volumes(folders[0]).values())
    labels = _labels(listing, folders[0], images)
    if labels:
        _refuse_lonely(images, labels)
        return paired(images, labels)
    return paired(*_side_by_side(images))


def _images(listing: Listing) -> list[Path]:
    named = [folder for folder in listing.named("images") if listing.volumes(folder)]
    return named or ([Path()] if listing.volumes(Path()) else [])


def _labels(listing: Listing, folder: Path, images: dict[str, Path]) -> dict[str, Path]:
    if folder == Path():
        return {}
    labels = by_stem(_label_files(listing, folder))
    for ending in LABEL_ENDINGS:
        if labels and labels.keys().isdisjoint(images) and all(name.lower().endswith(ending) for name in labels):
            return by_stem(labels.values(), drop=ending)
    return labels


def _side_by_side(found: dict[str, Path]) -> tuple[dict[str, Path], dict[str, Path]]:
    """The images and the labels among files of one folder: a label has the name of an image and an ending."""
    labels: dict[str, Path] = {}
    for name, path in found.items():
        ending = next((ending for ending in LABEL_ENDINGS if name.lower().endswith(ending)), None)
        image = None if ending is None else name[: -len(ending)]
        if image in labels:
            both = f"{labels[image].name}, {path.name}"
            raise DataError(Fault("E501", "two labels of one image", "keep one", found=both, file=path, case=image))
        if image in found:
            labels[image] = path
    return {name: path for name, path in found.items() if path not in labels.values()}, labels


def _label_files(listing: Listing, folder: Path) -> list[Path]:
    beside = [listing.volumes(listing.beside(folder, name)) for name in LABEL_FOLDERS]
    return next((list(found.values()) for found in beside if found), [])


def _refuse_lonely(images: dict[str, Path], labels: dict[str, Path]) -> None:
    fix = "add it, or remove {}; to apply a model, point dataset_dir at the images alone"
    faults = [
        Fault("E101", f"{what} has no {other}", fix.format(path.name), file=path, case=name)
        for what, other, some, others in (("an image", "label", images, labels), ("a label", "image", labels, images))
        for name, path in some.items()
        if name not in others
    ]
    if faults:
        raise DataError(*faults)
