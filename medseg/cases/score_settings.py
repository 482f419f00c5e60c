"""What `medseg score` is told in words: labels, metrics, tolerances, strata, and where its tables go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from medseg import files
from medseg.cases.scored_case import Settings
from medseg.errors import DataError, Fault, UsageError
from medseg.labels import parse_labels
from medseg.metrics.catalogue import OF_LABEL_MAPS, OF_PROBABILITIES, USUAL, chosen

OF_A_RUN = ("record.json", "log.csv")
FIGURES = "figures"
TABLES = ("cases.csv", "baselines.csv", "confusion.csv", "curves.csv", "summary.csv", "summary.md", "summary.tex",
          FIGURES)  # fmt: skip


def parse_settings(
    labels: str | None, metrics: str | None, tolerance: str, has_probabilities: bool = False
) -> Settings:
    """Labels, metrics and tolerances as they are written in a command.

    Metrics are ``dice,hd95``, ``all``, or the usual ones; where there are probabilities, also those that need them,
    unless some of them are named.

    Raises:
        UsageError: E903, anything else, or metrics of probabilities without any.
    """
    named = None if labels is None else parse_labels(labels)
    if metrics is None or metrics == "all":
        names = USUAL if metrics is None else tuple(OF_LABEL_MAPS)
    else:
        names = chosen([name.strip() for name in metrics.split(",")])
    of_probabilities = [name for name in names if name in OF_PROBABILITIES]
    if of_probabilities and not has_probabilities:
        fix = "say where the maps are: --probabilities <folder>"
        raise UsageError(
            Fault("E903", "metrics that need maps of probabilities", fix, found=", ".join(of_probabilities))
        )
    if has_probabilities and not of_probabilities:
        names += tuple(OF_PROBABILITIES)
    return Settings(named, names, parse_tolerance(tolerance))


def parse_tolerance(text: str) -> float | dict[str, float]:
    """``1.5``, or one for each label: ``liver=2,tumour=1``.

    Raises:
        UsageError: E903, anything else.
    """
    try:
        if "=" not in text:
            return _length(text)
        pairs = [part.split("=") for part in text.split(",")]
        found = {name.strip(): _length(value) for name, value in pairs}
        if len(found) < len(pairs):
            raise ValueError("a label is named twice")
        return found
    except ValueError as error:
        fix = "give a length of 0 or more for all labels, or one for each"
        raise UsageError(Fault("E903", f"not a tolerance ({error})", fix, "1.0 or liver=2,tumour=1", text)) from error


def parse_strata(texts: Sequence[str]) -> dict[str, tuple[float, ...] | None]:
    """Columns, and where the numbers of each are cut: ``reference_ml=1.2,10``; None where that is not said.

    Raises:
        UsageError: E903, cuts that are not rising numbers.
    """
    found: dict[str, tuple[float, ...] | None] = {}
    for text in texts:
        column, is_cut, cuts = text.partition("=")
        try:
            found[column] = _cuts(cuts) if is_cut else None
        except ValueError as error:
            what, fix = f"not a column and its cuts ({error})", "give the column's name, and where its numbers are cut"
            raise UsageError(Fault("E903", what, fix, "reference_ml=1.2,10", text)) from error
    return found


def tables_folder(
    out: str | Path, inputs: Sequence[str | Path], table: str | Path | None = None, overwrite: bool = False
) -> Path:
    """The folder for the tables, which need not exist yet but can be made.

    Args:
        out: the folder.
        inputs: what is read.
        table: the table of cases that is read, if there is one.
        overwrite: whether tables of an earlier scoring may go.

    Raises:
        DataError: E503, it is a file, holds a run or tables already, or lies in a folder that is read.
        MedsegError: E701, it cannot be written into.
    """
    folder, fix = Path(out), "say where the tables should go: --out <another folder>"
    if folder.exists() and not folder.is_dir():
        raise DataError(Fault("E503", "the tables cannot go into a file", fix, "a folder", "a file", folder))
    held = [name for name in OF_A_RUN if (folder / name).exists()]
    if held:
        what = "the tables would overwrite those of a run"
        raise DataError(Fault("E503", what, fix, "an empty or new folder", ", ".join(held), folder))
    for source in map(Path, inputs):
        if source.is_dir() and source.resolve() in (folder.resolve(), *folder.resolve().parents):
            raise DataError(Fault("E503", "the tables would lie in a folder that is read", fix, file=source))
    _refuse_tables(folder, table, overwrite, fix)
    files.try_folder(folder)
    return folder


def _refuse_tables(folder: Path, table: str | Path | None, overwrite: bool, fix: str) -> None:
    """Refuse a folder in which something stands where the tables go."""
    if table is not None and Path(table).resolve().parent == folder.resolve() and Path(table).name in TABLES:
        raise DataError(Fault("E503", "the table of cases would be overwritten", fix, file=table))
    odd = [name for name in TABLES if (folder / name).is_dir() != (name == FIGURES) and (folder / name).exists()]
    if odd:
        raise DataError(Fault("E503", "something else has a table's name", fix, found=", ".join(odd), file=folder))
    held = [name for name in TABLES if (folder / name).exists()]
    if held and not overwrite:
        what, fix = "tables of an earlier scoring are there", f"{fix}, or pass --overwrite"
        raise DataError(Fault("E503", what, fix, "an empty or new folder", ", ".join(held), folder))


def _length(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError(f"{text.strip()} is no length")
    return value


def _cuts(text: str) -> tuple[float, ...]:
    found = [float(cut) for cut in text.split(",")]
    if not all(map(math.isfinite, found)) or found != sorted(set(found)):
        raise ValueError("numbers in rising order are needed")
    return tuple(found)
