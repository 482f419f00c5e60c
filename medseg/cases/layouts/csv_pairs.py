"""A CSV of pairs: columns ``image`` (or ``image_0``, ``image_1``, … of several channels) and ``label`` or ``mask``.

``case``, ``group`` (or ``patient``, ``subject``, with ``_id`` or without) and ``subset`` (or ``split``, ``set``:
``train``, ``validate`` or ``test``) where there are such columns, and every other column as meta data; of these
``field_of_view`` and ``second_observer`` name files too. Capitals do not matter, and ``patient id`` is ``patient_id``.
Paths are relative to the table, which lies in the data folder itself, or absolute.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

from medseg.cases.case import Case
from medseg.cases.layouts import table
from medseg.cases.listing import Listing, natural_sort
from medseg.errors import DataError, Fault
from medseg.volumes import is_volume, stem
from medseg.volumes.member import member_of

LOOKS_LIKE = "a CSV with the columns image and label (or mask), which names files"
OWN = ("case", "group", "label", "subset")
FILES = ("field_of_view", "second_observer")  # further columns that name files
MEANINGS = {"mask": "label", "patient": "group", "patient id": "group", "subject": "group", "subject id": "group",
            "split": "subset", "set": "subset"}  # fmt: skip
IMAGE = re.compile(r"image(_\d+)?")
SUBSETS = {"": "", "train": "", "training": "", "val": "validate", "valid": "validate", "validate": "validate",
           "validation": "validate", "test": "test", "testing": "test"}  # fmt: skip

Row = dict[str, str]


def matches(listing: Listing) -> bool:
    """Whether a table in the folder itself has the columns and names files."""
    return bool(tables(listing))


def tables(listing: Listing) -> list[Path]:
    """The tables of pairs in the folder itself."""
    return [path for path in listing.files(r".*\.csv") if path.parent == listing.root and _names_files(path)]


def image_sets(listing: Listing) -> list[set[Path]]:
    """The images that each table names.

    Raises:
        DataError: E104, a table that cannot be read.
    """
    named = [[row[name] for row in _rows(file) for name in row if IMAGE.fullmatch(name)] for file in tables(listing)]
    inside = [[listing.inside(Path(), name) for name in names] for names in named]
    return [{member_of(path)[0] for path in paths if path is not None} for paths in inside]


def find(listing: Listing) -> list[Case]:
    """A case for each row; without a label where that cell is empty.

    Raises:
        DataError: E501 several tables, or a path that leaves the data folder; E101 a file that is not there, or a row
            that lacks a channel; E104 a table that cannot be read, two columns of one meaning, or a subset that is
            none.
    """
    found = tables(listing)
    if len(found) > 1:
        names, fix = ", ".join(path.name for path in found), "keep one table, or point at a folder with one"
        raise DataError(Fault("E501", "several tables of pairs", fix, "1", names, listing.root))
    faults: list[Fault] = []
    file, rows = found[0], _rows(found[0])
    cases = [_case(listing, file, number, row, faults) for number, row in enumerate(rows, start=2)]
    unknown = dict.fromkeys(row["subset"] for row in rows if row.get("subset", "").lower() not in SUBSETS)
    if unknown:
        known, fix = ", ".join(name for name in SUBSETS if name), "write train, validate or test"
        faults.append(Fault("E104", "no such subset", fix, known, ", ".join(unknown), file))
    if faults:
        raise DataError(*faults)
    return cases


def _case(listing: Listing, file: Path, number: int, row: Row, faults: list[Fault]) -> Case:
    named = [row[name] for name in natural_sort(row) if IMAGE.fullmatch(name)]
    if not all(named):
        fix = "fill in every image column, or drop the row"
        faults.append(Fault("E101", f"row {number} lacks an image", fix, found=", ".join(row.values()), file=file))
    images = tuple(_inside(listing, file, number, name, faults) for name in named if name) or (file,)
    label, subset = row.get("label", ""), SUBSETS.get(row.get("subset", "").lower())
    meta = {key: str(_inside(listing, file, number, value, faults)) if key in FILES else value
            for key, value in row.items() if key not in OWN and not IMAGE.fullmatch(key) and value}  # fmt: skip
    return Case(
        row.get("case") or stem(images[0]),
        images,
        _inside(listing, file, number, label, faults) if label else None,
        row.get("group", ""),
        meta={**meta, **({"subset": subset} if subset else {})},
    )


def _inside(listing: Listing, file: Path, number: int, name: str, faults: list[Fault]) -> Path:
    path = listing.inside(Path(), name)
    if path is None:
        fix = "keep the files inside the data folder, and name them from there, without '..'"
        faults.append(Fault("E501", f"a path in row {number} leaves the data folder", fix, found=name, file=file))
        return file
    if not listing.has(member_of(path)[0]):
        what, fix = f"row {number} names a file that is not there", "correct the path, or add the file"
        faults.append(Fault("E101", what, fix, found=name, file=file))
    return path


def _names_files(file: Path) -> bool:
    """Whether the table has both columns, and its first row names a file or a folder (a DICOM series)."""
    names, values = (*table.start(file), [], [])[:2]
    named = [(_meaning(name), value) for name, value in zip(names, values, strict=False)]
    images = [value for name, value in named if IMAGE.fullmatch(name)]
    labels = [value for name, value in named if name == "label"]
    files = [value for value in images + labels if value]
    if not images or not labels:
        return False
    return bool(files) and all(is_volume(member_of(name)[0]) or os.path.isdir(file.parent / name) for name in files)


def _rows(file: Path) -> list[Row]:
    rows = table.rows(file)
    meanings = {name: _meaning(name) for name in (rows or [{}])[0]}
    faults = []
    for meaning, n in Counter(meanings.values()).items():
        if n > 1:
            names = ", ".join(name for name in meanings if meanings[name] == meaning)
            what, fix = "several columns of one meaning", "keep one of them"
            faults.append(Fault("E104", what, fix, f"one for {meaning}", names, file))
    if faults:
        raise DataError(*faults)
    return [{meanings[name]: value for name, value in row.items()} for row in rows]


def _meaning(column: str) -> str:
    """What a column is read as: ``Patient ID`` as ``group``, ``Image 1`` as ``image_1``, any other in lower case."""
    words = column.lower().replace("_", " ").split()
    if IMAGE.fullmatch("_".join(words)):
        return "_".join(words)
    return MEANINGS.get(" ".join(words), column.lower())
