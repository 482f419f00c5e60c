"""Further columns of a table of scores: what a CSV says of each case."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from medseg.cases.layouts import table
from medseg.cases.layouts.csv_pairs import MEANINGS
from medseg.cases.score_pairs import SHOWN, Pair, Pairs
from medseg.errors import DataError, Fault, UsageError
from medseg.metrics.case_table import AFTER, BEFORE
from medseg.metrics.catalogue import METRICS
from medseg.metrics.strata import THICKNESS, is_number

UNKNOWN = ("", "na", "n/a", "nan", "none", "null", "-", "?")
CASE = ("case", "case id", "id")
GROUP = "group"
LOCATION = "location"
DERIVED = (LOCATION, THICKNESS)  # columns that scores can be grouped by without a table


def with_table(found: Pairs, path: str | Path) -> list[Pair]:
    """The pairs with the columns of a CSV that has a row for each case.

    The column ``case`` (or ``case_id``, ``id``) says which case; ``group`` (or ``patient``, ``subject``) is the
    patient; every other one becomes a column of the scores.

    Raises:
        DataError: E101, no such file; E104, not a CSV, or no column of cases or two; E501, a case twice; E506, a case
            without a row, or a row of a case that the references do not hold.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(Fault("E101", "no such file", "check the path", "a table of cases", file=file))
    rows = table.rows(file)
    columns = list(rows[0]) if rows else []
    case, group = (_only(file, columns, known) for known in (CASE, _group_names()))
    if case is None:
        fix = "name the column of the case's ids: case"
        raise DataError(Fault("E104", "the table says no cases", fix, " or ".join(CASE), ", ".join(columns), file))
    by_case = {row[case]: row for row in rows}
    ids = [pair.case for pair in found.pairs]
    _refuse_mismatch(file, Counter(row[case] for row in rows), ids, [*ids, *found.left_out])
    others = [name for name in columns if name and name not in (case, group)]
    return [
        dataclasses.replace(
            pair,
            group=_known(by_case[pair.case].get(group or "", "")) or pair.group,
            columns=_joined(file, pair.columns, {name: by_case[pair.case][name] for name in others}),
        )
        for pair in found.pairs
    ]


def refuse_columns(pairs: Sequence[Pair]) -> None:
    """Refuse columns that have the name of a score, or of a column that every table of scores has.

    Raises:
        DataError: E104, there are some.
    """
    own = {*BEFORE, *AFTER, *METRICS}
    both = dict.fromkeys(name for pair in pairs for name in pair.columns if name.lower() in own)
    if both:
        fix = "rename them in the table of cases"
        raise DataError(Fault("E104", "columns have names that the table of scores uses", fix, found=", ".join(both)))


def refuse_strata(
    strata: Mapping[str, Sequence[float] | None], pairs: Sequence[Pair], metrics: Sequence[str] = ()
) -> None:
    """Refuse columns to group by that no table will have, and cuts of text.

    Args:
        strata: columns, and where their numbers are cut.
        pairs: what is to be scored.
        metrics: what will be scored.

    Raises:
        UsageError: E903, there are some.
    """
    known = dict.fromkeys([*DERIVED, *(name for pair in pairs for name in pair.columns), *AFTER, *BEFORE, *metrics])
    unknown = [name for name in strata if name not in known]
    if unknown:
        fix = "choose one of those, or add a table with it: --table"
        raise UsageError(Fault("E903", "no such column to group by", fix, ", ".join(known), ", ".join(unknown)))
    cells = ((name, pair.columns.get(name, "")) for name, cuts in strata.items() if cuts for pair in pairs)
    text = next((f"{name}: {cell}" for name, cell in cells if not is_number(cell)), None)
    if text is not None:
        raise UsageError(Fault("E903", "a column that is cut holds text", "leave the cuts out", "numbers", text))


def _known(text: str) -> str:
    """A patient's name; nothing where the table says that it is not known."""
    return "" if text.strip().lower() in UNKNOWN else text


def _group_names() -> tuple[str, ...]:
    return (GROUP, *(name for name, meaning in MEANINGS.items() if meaning == GROUP))


def _only(file: Path, columns: Sequence[str], known: Sequence[str]) -> str | None:
    """The one column of a meaning; None where there is none."""
    found = [name for name in columns if " ".join(name.lower().replace("_", " ").split()) in known]
    if len(found) > 1:
        raise DataError(Fault("E104", "several columns of one meaning", "keep one of them", f"one for {known[0]}",
                              ", ".join(found), file))  # fmt: skip
    return found[0] if found else None


def _refuse_mismatch(file: Path, rows: Counter[str], wanted: Sequence[str], known: Sequence[str]) -> None:
    problems = (
        ("E501", "rows have one case", "keep one row a case", [name for name, n in rows.items() if n > 1]),
        ("E506", "cases have no row", "add a row for each", [name for name in wanted if name not in rows]),
        ("E506", "rows are of no case that is known", "correct the ids", [name for name in rows if name not in known]),
    )
    faults = [
        Fault(code, f"{len(names)} {what}", fix, found=", ".join(names[:SHOWN]), file=file)
        for code, what, fix, names in problems
        if names
    ]
    if faults:
        raise DataError(*faults)


def _joined(file: Path, columns: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    both = [name for name in more if name in columns]
    if both:
        what = "columns that the data set has already"
        raise DataError(Fault("E104", what, "rename them, or take them away", found=", ".join(both), file=file))
    return {**columns, **more}
