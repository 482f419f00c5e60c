"""A ``dataset.json``: what the Decathlon and nnU-Net say about a data set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medseg.cases.listing import Listing
from medseg.errors import DataError, Fault, UsageError
from medseg.labels import Labels
from medseg.volumes import stem

IGNORE = "ignore"  # nnU-Net's name for voxels that are neither trained on nor scored


def found(listing: Listing) -> list[Path]:
    """The files of that name."""
    return listing.files(r"dataset\.json")


def only(paths: list[Path]) -> Path:
    """The path that lies least deep.

    Raises:
        DataError: E609, several lie equally deep, each of a data set of its own.
    """
    depth = min(len(path.parts) for path in paths)
    paths = [path for path in paths if len(path.parts) == depth]
    if len(paths) > 1:
        names = ", ".join(path.parent.name for path in paths)
        fix = "point dataset_dir at one of them"
        raise DataError(Fault("E609", "several data sets", fix, "1", names, paths[0].parent.parent))
    return paths[0]


def read(path: Path) -> dict[str, Any]:
    """What the file says.

    Raises:
        DataError: E104, not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(Fault("E104", f"not readable as JSON ({error})", "mend the file", file=path)) from error
    if not isinstance(content, dict):
        what, kind = "not a data-set description", type(content).__name__
        raise DataError(Fault("E104", what, "mend the file", "an object", kind, path))
    return content


def is_nnunet(listing: Listing, path: Path) -> bool:
    """Whether it is nnU-Net's: it names channels, or (version 1) it lists images whose names lack the channel."""
    try:
        content = read(path)
    except DataError:  # said when the file is read for its cases
        return False
    if "channel_names" in content:
        return True
    training = content.get("training")
    entry = training[0] if isinstance(training, list) and training else None
    first = entry.get("image") if isinstance(entry, dict) else None
    if not isinstance(first, str):
        return False
    image = path.parent.relative_to(listing.root) / first
    names = listing.folders.get(image.parent, ())
    return image.name not in names and f"{stem(image)}_0000{image.name[len(stem(image)) :]}" in names


def channel_names(path: Path) -> list[str]:
    """What the channels are (``CT``; ``FLAIR``, ``T1w``, …), in their order.

    Raises:
        DataError: E104, the table is not a name for each of 0, 1, ….
    """
    content = read(path)
    table = content.get("channel_names", content.get("modality")) or {}
    named = {"0": table} if isinstance(table, str) else table
    if not isinstance(named, dict) or set(named) != {str(number) for number in range(len(named))}:
        fix = "name channel 0, channel 1 and so on"
        raise DataError(Fault("E104", "not a table of channels", fix, '{"0": "CT"}', repr(table), path))
    return [str(named[str(number)]) for number in range(len(named))]


def labels(path: Path) -> Labels | None:
    """What the label values mean: the Decathlon's ``{"1": "liver"}`` or nnU-Net's ``{"liver": 1, "whole": [1, 2]}``.

    nnU-Net's value to ignore is left out, see `ignore_value`. None where the file does not say.

    Raises:
        DataError: E104, the table does not give each name its integers, or names no background.
    """
    table = read(path).get("labels")
    if table is None:
        return None
    example = '{"0": "background", "1": "liver"} or {"background": 0, "liver": 1}'
    fix = "give every label a name and a value, the background too"
    if not isinstance(table, dict) or not table:
        raise DataError(Fault("E104", "not a table of labels", fix, example, repr(table), path))
    is_by_value = all(key.isdecimal() for key in table)
    try:
        return Labels(_by_name(table) if is_by_value else {name: table[name] for name in table if name != IGNORE})
    except (TypeError, UsageError) as error:
        reason = error.faults[0].what if isinstance(error, UsageError) else error
        what = f"not a table of labels ({reason})"
        raise DataError(Fault("E104", what, fix, example, repr(table), path)) from error


def ignore_value(path: Path) -> int | None:
    """The value of voxels that are neither trained on nor scored; None where there is none."""
    table = read(path).get("labels")
    value = table.get(IGNORE) if isinstance(table, dict) else None
    return value if isinstance(value, int) else None


def _by_name(table: Mapping[str, Any]) -> dict[str, list[int]]:
    """Name to its values; two values of one name are its union."""
    found: dict[str, list[int]] = {}
    for value, name in table.items():
        if not isinstance(name, str):
            raise TypeError(f"a label's name is text, found {name!r}")
        found.setdefault(name, []).append(int(value))
    return found
