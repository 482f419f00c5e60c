"""Images and labels matched by name; nothing here knows a data set."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from medseg.cases.case import Case
from medseg.errors import DataError, Fault
from medseg.volumes import stem


def by_stem(paths: Iterable[Path], drop: str = "") -> dict[str, Path]:
    """Name without suffix (and without the ending `drop`) to path.

    A name is in Unicode's composed form (NFC), whichever form the file system keeps: macOS parts ``ä`` in two.

    Raises:
        DataError: E501, two files of one name (``x.nii`` and ``x.nii.gz``).
    """
    named = ((unicodedata.normalize("NFC", stem(path)), path) for path in paths)
    return _once(
        (name[: -len(drop)] if drop and name.lower().endswith(drop.lower()) else name, path) for name, path in named
    )


def by_number(paths: Iterable[Path]) -> dict[str, Path]:
    """The first number in a file's name, as it is written, to path; files without a number are left out.

    Raises:
        DataError: E501, two files of one number.
    """
    return _once((found[0], path) for path in paths if (found := re.search(r"\d+", path.name)))


def paired(images: Mapping[str, Path], labels: Mapping[str, Path], subset: str = "", **meta: object) -> list[Case]:
    """A case for each image, with its label where there is one."""
    about = {**meta, **({"subset": subset} if subset else {})}
    return [Case(id=name, images=(path,), label=labels.get(name), meta=about) for name, path in images.items()]


def _once(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in named:
        if name in found:
            raise DataError(Fault("E501", "two files of one case", "keep one", found=f"{found[name]}", file=path))
        found[name] = path
    return found
