"""Scores that cannot be: a share beyond 1, a negative distance, a structure that is absent and yet there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from medseg.errors import DataError, Fault
from medseg.metrics.catalogue import METRICS
from medseg.metrics.summary import EMPTIES, number, value_range

LARGEST = 1e15  # mm, ml or voxels: beyond anything that was ever measured, and its square is still a number
ROUNDING = 1e-6  # of a share that another program wrote
OVERLAPS = tuple(name for name, metric in METRICS.items() if metric.kind == "overlap")
IN_REFERENCE, IN_PREDICTION = ("reference_ml", "reference_voxels"), ("prediction_ml", "prediction_voxels")
# what is 0 where a structure is said to be missing from a mask
NOTHING_OF = {"missed": IN_PREDICTION, "invented": IN_REFERENCE, "absent": (*OVERLAPS, *IN_REFERENCE, *IN_PREDICTION)}

Row = Mapping[str, str]


def refuse_impossible(path: Path, rows: Sequence[Row]) -> None:
    """Check that scores lie where their metric can, and agree with what ``empties`` says.

    Args:
        path: the table, for messages.
        rows: its rows, whose metrics are numbers or empty.

    Raises:
        DataError: E105, the first row that is wrong: its line, case, label and column, what is possible and what stands
            there.
    """
    for line, row in enumerate(rows, start=2):
        for column, expected in (*_out_of_range(row), *_contradictions(row)):
            what, fix = f"line {line}, label {row['label']}, column {column}: cannot be", "copy the run's own file here"
            raise DataError(Fault("E105", what, fix, expected, repr(row[column]), path, row["case"]))


def _out_of_range(row: Row) -> Iterator[tuple[str, str]]:
    """Columns, and what could stand there."""
    for metric in METRICS:
        found = number(row.get(metric))
        lowest, highest = (min(max(end, -LARGEST), LARGEST) for end in value_range(metric))
        if found is not None and not lowest - ROUNDING <= found <= highest + ROUNDING:
            yield metric, f"{lowest:g} to {highest:g}"


def _contradictions(row: Row) -> Iterator[tuple[str, str]]:
    said = row.get("empties") or ""
    if said and said not in EMPTIES:
        yield "empties", f"{', '.join(EMPTIES)} or nothing"
    for column in NOTHING_OF.get(said, ()):
        if (number(row.get(column)) or 0.0) > 0:
            yield column, f"0 of a structure that is {said}"
