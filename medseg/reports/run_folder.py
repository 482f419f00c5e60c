"""What a run left on disk, read and checked."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medseg import files
from medseg.errors import DataError, Fault
from medseg.metrics import confusion, curves
from medseg.metrics.catalogue import METRICS
from medseg.metrics.summary import number
from medseg.reports.score_check import refuse_impossible

Rows = list[dict[str, str]]

PNG_MARK = b"\x89PNG\r\n\x1a\n"
WRITTEN_BY = {
    "log.csv": "training",
    "cases.csv": "evaluation",
    "split.json": "training",
    "record.json": "training",
    "config.yaml": "training",
    "previews": "evaluation",
}
SUBSETS = ("train", "validate", "test")  # of split.json
LEADING_SUBSETS = ("test", "validate")  # a headline speaks of the first of these that was scored
CASE_NUMBERS = tuple(METRICS)
LOG_NUMBERS = ("epoch", "iteration", "loss", "learning_rate", "seconds")


@dataclass(frozen=True)
class RunFolder:
    """The files of one run; what is missing is empty.

    Attributes:
        path: the folder.
        log, cases, baselines: rows of ``log.csv``, ``cases.csv`` and ``baselines.csv``, as text.
        split, record: content of ``split.json`` and ``record.json``.
        config: text of ``config.yaml``.
        previews: case to its PNG.
        stacks: case to its slices (`medseg.volumes.stack`).
        confusion, curves: rows of ``confusion.csv`` and ``curves.csv``, as text.
        missing: names of what is not there, with the step that writes each.
        damaged: pictures and slices of scored cases that hold something else; `medseg.reports.damage` adds those that
            it finds on reading.
    """

    path: Path
    log: Rows
    cases: Rows
    baselines: Rows
    split: dict[str, Any]
    record: dict[str, Any]
    config: str
    previews: dict[str, Path]
    missing: dict[str, str]
    stacks: dict[str, Path] = field(default_factory=dict)
    confusion: Rows = field(default_factory=list)
    curves: Rows = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)


def read_run(run_dir: str | Path) -> RunFolder:
    """Read a run folder.

    Raises:
        DataError: the folder does not exist, holds neither ``log.csv`` nor ``cases.csv``, or one of its tables is not
            what a run writes (E105).
    """
    path = Path(run_dir)
    if not path.is_dir():
        raise DataError(Fault("E101", "no such folder", "check the path", file=path))
    missing = {name: step for name, step in WRITTEN_BY.items() if not (path / name).exists()}
    if {"log.csv", "cases.csv"} <= missing.keys():
        fix = "train or evaluate into this folder first, or name the folder of one run"
        expected = "log.csv (training writes it) or cases.csv (evaluation writes it)"
        raise DataError(Fault("E505", "not a run folder", fix, expected, "neither", path))
    log = _read_table(path / "log.csv", ("epoch",))
    cases = _read_table(path / "cases.csv", ("case", "label", "dice"))
    baselines = _read_table(path / "baselines.csv", ("case", "label", "baseline", "dice"))
    _check_numbers(path / "log.csv", log, [*LOG_NUMBERS, *(name for name in _names(log) if name.startswith("val_"))])
    _check_numbers(path / "cases.csv", cases, CASE_NUMBERS)
    _check_numbers(path / "baselines.csv", baselines, CASE_NUMBERS)
    refuse_impossible(path / "cases.csv", cases)
    refuse_impossible(path / "baselines.csv", baselines)
    pairs = _read_table(path / "confusion.csv", confusion.COLUMNS)
    _check_counts(path / "confusion.csv", pairs, ("reference", "prediction", "voxels"))
    _check_values(path / "confusion.csv", pairs)
    points = _read_table(path / "curves.csv", curves.COLUMNS)
    _check_counts(path / "curves.csv", points, curves.COLUMNS[1:])
    previews, stacks = _find(path / "previews", ".png"), _find(path / "previews", ".npz")
    sound = {*filter(_is_picture, previews.values()), *filter(zipfile.is_zipfile, stacks.values())}
    scored = {row["case"] for row in cases}  # what else lies there is passed over
    return RunFolder(
        path=path,
        log=log,
        cases=cases,
        baselines=baselines,
        split=_read_split(path / "split.json"),
        record=_json_or_nothing(path / "record.json"),
        config=_read_text(path / "config.yaml"),
        previews={case: found for case, found in previews.items() if found in sound},
        missing=missing,
        stacks={case: found for case, found in stacks.items() if found in sound},
        confusion=pairs,
        curves=points,
        damaged=[
            found for case, found in (*previews.items(), *stacks.items()) if case in scored and found not in sound
        ],
    )


def leading_rows(cases: Rows) -> Rows:
    """The rows that a headline speaks of: of one subset, the test cases where there are any."""
    found = list(dict.fromkeys(row.get("subset", "") for row in cases))
    chosen = next((subset for subset in LEADING_SUBSETS if subset in found), found[0] if found else "")
    return [row for row in cases if row.get("subset", "") == chosen]


def flatten(record: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """What a record holds: nested names joined by dots, with their values in words."""
    items: list[tuple[str, Any]] = []
    for key, found in record.items():
        name = f"{above}{str(key).replace('_', ' ')}"
        if isinstance(found, Mapping):
            items += flatten(found, f"{name} · ")
        else:
            items.append((name, ", ".join(map(str, found)) if isinstance(found, list) else found))
    return items


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(Fault("E105", f"cannot be read ({error})", "copy it again", "UTF-8 text", file=path)) from error


def _json_or_nothing(path: Path) -> dict[str, Any]:
    return files.read_json(path) if path.exists() else {}


def _read_split(path: Path) -> dict[str, Any]:
    split = _json_or_nothing(path)
    for subset in (name for name in SUBSETS if name in split):
        members = split[subset]
        if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
            expected, fix = "a list of cases, each an object", "copy the run's own file here"
            raise DataError(
                Fault("E105", f"{subset} is not what a run writes", fix, expected, repr(members)[:80], path)
            )
    return split


def _read_table(path: Path, required: Sequence[str]) -> Rows:
    """Rows without what the CSV writer put before text that a spreadsheet would run as a formula."""
    text = _read_text(path)
    if not text:
        return []
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
    columns = reader.fieldnames or []
    if not set(required) <= set(columns):
        fix = "copy the run's own file here"
        found = ", ".join(columns)
        raise DataError(Fault("E105", "columns are missing", fix, ", ".join(required), found, path))
    return [
        {files.unquoted(name): files.unquoted(cell) for name, cell in row.items() if name is not None} for row in reader
    ]


def _names(rows: Rows) -> Iterable[str]:
    return rows[0] if rows else ()


def _check_numbers(path: Path, rows: Rows, columns: Iterable[str]) -> None:
    for column in columns:
        for line, row in enumerate(rows, start=2):
            try:
                number(row.get(column))
            except ValueError as error:
                what, fix = f"line {line}, column {column}: not a number", "copy the run's own file here"
                raise DataError(Fault("E105", what, fix, "a number or nothing", repr(row[column]), path)) from error


def _check_counts(path: Path, rows: Rows, columns: Sequence[str]) -> None:
    """Every cell holds a number that is finite and not negative."""
    _check_numbers(path, rows, columns)
    for line, row in enumerate(rows, start=2):
        for column in columns:
            found = number(row[column])
            if found is None or found < 0:
                what, fix = f"line {line}, column {column}: no count", "copy the run's own file here"
                raise DataError(Fault("E105", what, fix, "a finite number from 0 upwards", repr(row[column]), path))


def _check_values(path: Path, pairs: Rows) -> None:
    """Every value that was predicted is one of the reference: the matrix is square."""
    known = {row["reference"] for row in pairs}
    for line, row in enumerate(pairs, start=2):
        if row["prediction"] not in known:
            what, fix = f"line {line}: a prediction value without rows of its own", "copy the run's own file here"
            raise DataError(Fault("E105", what, fix, f"one of {', '.join(known)}", row["prediction"], path))


def _find(folder: Path, suffix: str) -> dict[str, Path]:
    """Case to file, looked up by name, so that no case name can lead out of the folder."""
    found = sorted(path for path in folder.rglob(f"*{suffix}") if path.is_file())
    return {path.relative_to(folder).as_posix().removesuffix(suffix): path for path in found}


def _is_picture(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(len(PNG_MARK)) == PNG_MARK
