"""A CSV file as rows; commas, semicolons or tabs stand between the values."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from medseg.errors import DataError, Fault

FIX = "save it as CSV with commas, in UTF-8"
DELIMITERS = ",;\t"


def start(path: Path) -> list[list[str]]:
    """The first two rows: the columns' names, and values without spaces around them. Fewer where the file is no CSV.

    Raises:
        DataError: E104, the file cannot be read.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as stream:
            return [[value.strip() for value in row] for row in itertools.islice(_reader(stream), 2)]
    except csv.Error:
        return []
    except OSError as error:
        raise _unreadable(path, error) from error


def rows(path: Path) -> list[dict[str, str]]:
    """Each row as column to value, without spaces around them; a missing value is empty.

    Raises:
        DataError: E104, the file is not CSV in UTF-8, two columns have one name, or a row has more values than there
            are columns.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            found = [[value.strip() for value in row] for row in _reader(stream) if row]
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    names = found[0] if found else []
    twice = [name for name, n in Counter(names).items() if name and n > 1]
    if twice:
        fix = "rename one of them, or drop it"
        raise DataError(Fault("E104", "two columns have one name", fix, found=", ".join(twice), file=path))
    for row in found[1:]:
        if len(row) > len(names):
            expected, values = f"{len(names)} values", ", ".join(row)
            raise DataError(Fault("E104", "a row has more values than there are columns", FIX, expected, values, path))
    return [dict(itertools.zip_longest(names, row, fillvalue="")) for row in found[1:]]


def _reader(stream: TextIO) -> Iterator[list[str]]:
    """The rows, with the delimiter that parts the first line into the most columns."""
    first = stream.readline()
    stream.seek(0)
    delimiter = max(DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
    return csv.reader(stream, delimiter=delimiter)


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(Fault("E104", f"not readable as CSV ({error})", FIX, file=path))
