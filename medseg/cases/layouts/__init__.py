"""Known data-set layouts, one file each; `find_cases` recognises a folder by looking at it."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import ModuleType

from medseg.cases.case import Case
from medseg.cases.layouts import flat, msd
from medseg.errors import DataError, Fault

# Most specific first: the first one whose `matches(folder)` holds reads the folder.
LAYOUTS: tuple[ModuleType, ...] = (msd, flat)


def find_cases(folder: str | Path | None, subset: str = "labelled") -> list[Case]:
    """The cases of a data folder, in the order of their ids.

    Args:
        folder: a data set as downloaded, or a folder of images.
        subset: ``labelled`` (training cases), ``test`` (held back by the data set itself, with labels) or ``images``
            (what a trained model is applied to: the data set's own test images where it has some, else every image).

    Raises:
        DataError: the folder is not given, does not exist, holds no images, an image lacks its label, or two cases
            have one id.
    """
    root = checked_folder(folder)
    for layout in LAYOUTS:
        if layout.matches(root):
            cases = sorted(layout.find(root, subset), key=lambda case: case.id)
            _refuse_duplicates(cases)
            if cases or subset == "test":
                return cases
            break
    looked_for = "; ".join(layout.LOOKS_LIKE for layout in LAYOUTS)
    what = "no images were found in the data folder"
    raise DataError(Fault("E609", what, "point dataset_dir at the folder that holds the images", looked_for,
                          _contents(root), root))  # fmt: skip


def checked_folder(folder: str | Path | None) -> Path:
    """The folder as a path; DataError when it is not given or does not exist."""
    if folder is None or str(folder).strip() in ("", "None"):
        fix = "pass the data folder: --data <folder> (of python -m monai.bundle run: --dataset_dir <folder>)"
        raise DataError(Fault("E101", "dataset_dir is not set", fix))
    root = Path(folder)
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        fix = "check the path given as dataset_dir"
        raise DataError(Fault("E101", "the data folder does not exist", fix, "a folder", found, root))
    return root


def _refuse_duplicates(cases: list[Case]) -> None:
    """Two cases of one id would be written to one prediction. `cases` are in the order of their ids."""
    fix = "rename one of the two, or list it once"
    faults = [
        Fault("E501", "two cases have one id", fix, found=f"{case.images[0]}", file=other.images[0], case=case.id)
        for case, other in itertools.pairwise(cases)
        if case.id == other.id
    ]
    if faults:
        raise DataError(*faults)


def _contents(root: Path) -> str:
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return shown or "an empty folder"
