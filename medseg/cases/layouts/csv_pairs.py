"""A CSV of pairs: columns ``image`` (or ``image_0``, ``image_1``, … of several channels) and ``label`` or ``mask``.

``case``, ``group`` and ``subset`` (``train``, ``validate`` or ``test``) where there are such columns, and every other
column as meta data. Paths are relative to the table, which lies in the data folder itself.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from medseg.cases.case import Case
from medseg.cases.layouts import table
from medseg.cases.listing import Listing, natural_sort
from medseg.errors import DataError, Fault
from medseg.volumes import is_volume, stem
from medseg.volumes.member import member_of

LOOKS_LIKE = "a CSV with the columns image and label (or mask), which names files"
OWN = ("case", "group", "label", "mask", "subset")
IMAGE = re.compile(r"image(_\d+)?")
SUBSETS = {"": "", "train": "", "training": "", "val": "validate", "validate": "validate", "validation": "validate",
           "test": "test", "testing": "test"}  # fmt: skip

Row = dict[str, str]


def matches(listing: Listing) -> bool:
    """Whether a table in the folder itself has the columns and names files."""
    return bool(_tables(listing))


def find(listing: Listing) -> list[Case]:
    """A case for each row; without a label where that cell is empty.

    Raises:
        DataError: E501 several tables, or a path that leaves the data folder; E101 a file that is not there, or a row
            that lacks a channel; E104 a table that cannot be read, or a subset that is none.
    """
    tables = _tables(listing)
    if len(tables) > 1:
        names, fix = ", ".join(path.name for path in tables), "keep one table, or point at a folder with one"
        raise DataError(Fault("E501", "several tables of pairs", fix, "1", names, listing.root))
    faults: list[Fault] = []
    cases = [_case(listing, tables[0], row, faults) for row in _rows(tables[0])]
    if faults:
        raise DataError(*faults)
    return cases


def _case(listing: Listing, file: Path, row: Row, faults: list[Fault]) -> Case:
    named = [row[name] for name in natural_sort(row) if IMAGE.fullmatch(name)]
    if not all(named):
        fix = "fill in every image column, or drop the row"
        faults.append(Fault("E101", "a row lacks an image", fix, found=", ".join(row.values()), file=file))
    images = tuple(_inside(listing, file, name, faults) for name in named if name) or (file,)
    label = row.get("label") or row.get("mask") or ""
    subset = SUBSETS.get(row.get("subset", "").lower())
    if subset is None:
        fix = "write train, validate or test"
        faults.append(Fault("E104", "no such subset", fix, "train, validate or test", row["subset"], file))
    meta = {key: value for key, value in row.items() if key not in OWN and not IMAGE.fullmatch(key) and value}
    return Case(
        row.get("case") or stem(images[0]),
        images,
        _inside(listing, file, label, faults) if label else None,
        row.get("group", ""),
        meta={**meta, **({"subset": subset} if subset else {})},
    )


def _inside(listing: Listing, file: Path, name: str, faults: list[Fault]) -> Path:
    path = listing.inside(Path(), name)
    if path is None:
        fix = "keep the files inside the data folder, and name them from there, without '..'"
        faults.append(Fault("E501", "a path leaves the data folder", fix, found=name, file=file))
        return file
    if not listing.has(member_of(path)[0]):
        faults.append(Fault("E101", "no such file", "correct the path in the table", file.name, name, path))
    return path


def _tables(listing: Listing) -> list[Path]:
    return [path for path in listing.files(r".*\.csv") if path.parent == listing.root and _names_files(path)]


def _names_files(file: Path) -> bool:
    """Whether the table has both columns, and its first row names a file or a folder (a DICOM series)."""
    names, values = (*table.start(file), [], [])[:2]
    named = dict(zip((name.lower() for name in names), values, strict=False))
    images = [name for name in named if IMAGE.fullmatch(name)]
    labels = [name for name in ("label", "mask") if name in named]
    files = [named[name] for name in images + labels if named[name]]
    if not images or not labels:
        return False
    return bool(files) and all(is_volume(member_of(name)[0]) or os.path.isdir(file.parent / name) for name in files)


def _rows(file: Path) -> list[Row]:
    return [{name.lower(): value for name, value in row.items()} for row in table.rows(file)]
