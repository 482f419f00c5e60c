"""Figures that others published, to stand beside ours: never rerun, never tested."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg import files
from medseg.errors import Fault, UsageError
from medseg.metrics.catalogue import METRICS
from medseg.metrics.summary import value_range

MARK = "published, not rerun"
NEEDED, FURTHER = ("method", "source", "data", "scores"), ("n", "footnote")


@dataclass(frozen=True)
class PublishedRow:
    """What one publication says of one method, or what a baseline scores on the same cases.

    Attributes:
        method: as the source calls it.
        source: where it is printed: a citation, with a DOI where there is one.
        data: what it was measured on, in words.
        n: cases, where the source says so.
        scores: label (or ``mean over labels``) to metric to value, in the units of `medseg.metrics.catalogue`.
        footnote: what is known to be wrong with these figures.
        mark: what the row is, for tables.
    """

    method: str
    source: str
    data: str
    scores: Mapping[str, Mapping[str, float]]
    n: int | None = None
    footnote: str = ""
    mark: str = MARK


def read_published(given: str | Path | Sequence[Any], where: str | Path = "") -> list[PublishedRow]:
    """Read and check published rows.

    A YAML file holds a list, or a mapping with the list under ``published`` (as a bundle's ``study.yaml`` does)::

        - method: nnU-Net
          source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z
          data: MSD Task04, 5-fold cross-validation of its training set
          n: 260                                   # may be left out
          scores: {anterior: {dice: 0.90}, posterior: {dice: 0.89}}
          footnote: read off a rounded table       # may be left out

    Args:
        given: a file, or the list itself.
        where: the file that a list is from, for messages.

    Raises:
        DataError: E101 no such file, E105 one that is not YAML, or names a key twice.
        UsageError: E903, an entry with a key that is not known or missing, an unknown metric, a value that is no number
            or not within the metric's range, or two entries of one method, source and data; it names file and entry.
    """
    entries: Any = given
    if isinstance(given, (str, Path)):
        entries, where = _read_list(Path(given)), given
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise UsageError(Fault("E903", "published rows are a list", "begin each entry with a dash", "a list",
                               type(entries).__name__, where))  # fmt: skip
    rows = [_read_entry(entry, place, where) for place, entry in enumerate(entries, start=1)]
    seen: dict[tuple[str, str, str], int] = {}
    for place, row in enumerate(rows, start=1):
        key = row.method, row.source, row.data
        if key in seen:
            raise _refused(place, row.method, "the same method, source and data twice", "join the two entries",
                           "one entry", f"entry {seen[key]} too", where)  # fmt: skip
        seen[key] = place
    return rows


def refuse_other_labels(rows: Sequence[PublishedRow], known: Sequence[str], where: str | Path, whose: str) -> None:
    """Refuse rows of labels that nobody scored: they would stand beside nothing.

    Args:
        rows: as read.
        known: the labels, and what stands for the mean over them.
        where: the rows' file, for messages.
        whose: labels these are, in words.

    Raises:
        UsageError: E903, with every such label and its row.
    """
    faults = [
        Fault("E903", f"published rows of {row.method}: no such label in {whose}", f"name it as in {whose}",
              ", ".join(known), label, where)
        for row in rows for label in row.scores if label not in known
    ]  # fmt: skip
    if faults:
        raise UsageError(*faults)


def _read_list(path: Path) -> Any:
    content = files.read_yaml(path)
    return (content.get("published") or []) if isinstance(content, Mapping) else content


def _read_entry(entry: Any, place: int, where: str | Path) -> PublishedRow:
    if not isinstance(entry, Mapping):
        raise _refused(place, "", "not an entry", "write key: value pairs", ", ".join(NEEDED), repr(entry), where)
    name = str(entry.get("method") or "")
    unknown = [str(key) for key in entry if key not in (*NEEDED, *FURTHER)]
    if unknown:
        known = ", ".join((*NEEDED, *FURTHER))
        raise _refused(place, name, "a key that is not known", "correct or remove it", known, unknown[0], where)
    for key in ("method", "source", "data"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise _refused(place, name, f"no {key}", f"say the {key} in words", "text", repr(entry.get(key)), where)
    n, footnote = entry.get("n"), entry.get("footnote", "")
    if n is not None and (not isinstance(n, int) or isinstance(n, bool) or n < 1):
        raise _refused(
            place, name, "n is no number of cases", "correct it or leave it out", "1 or more", repr(n), where
        )
    if not isinstance(footnote, str):
        raise _refused(place, name, "the footnote is no text", "quote it", "text", repr(footnote), where)
    scores = _read_scores(entry.get("scores"), place, name, where)
    return PublishedRow(name.strip(), entry["source"].strip(), entry["data"].strip(), scores, n, footnote.strip())


def _read_scores(given: Any, place: int, name: str, where: str | Path) -> dict[str, dict[str, float]]:
    if not isinstance(given, Mapping) or not given:
        fix = "write scores: {label: {metric: value}}"
        raise _refused(place, name, "no scores", fix, "a mapping", repr(given), where)
    scores: dict[str, dict[str, float]] = {}
    for label, metrics in given.items():
        if not isinstance(metrics, Mapping) or not metrics:
            fix = "write label: {metric: value}"
            raise _refused(place, name, f"no scores of {label}", fix, "a mapping", repr(metrics), where)
        for metric, value in metrics.items():
            _check_score(metric, value, place, name, where)
        scores[str(label)] = {str(metric): float(value) for metric, value in metrics.items()}
    return scores


def _check_score(metric: Any, value: Any, place: int, name: str, where: str | Path) -> None:
    if metric not in METRICS:
        raise _refused(place, name, "no such metric", "choose one of those", ", ".join(METRICS), str(metric), where)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise _refused(place, name, f"{metric} is not a number", "correct it", "a number", repr(value), where)
    lowest, highest = value_range(metric)
    if not lowest <= value <= highest:
        fix = "write overlaps as shares, not in per cent, and distances in mm"
        raise _refused(place, name, f"{metric} cannot be that", fix, f"{lowest:g} to {highest:g}", f"{value:g}", where)


def _refused(
    place: int, name: str, what: str, fix: str, expected: str, found: str, where: str | Path
) -> UsageError:  # fmt: skip
    entry = f"entry {place} of the published rows{f' ({name})' if name else ''}"
    return UsageError(Fault("E903", f"{entry}: {what}", fix, expected, found, where))
