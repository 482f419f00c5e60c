"""Scores of a folder of predictions: several cases at a time, in a fixed order, all of them or none."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medseg.cases.faults import refuse, summed_up
from medseg.cases.in_processes import in_processes
from medseg.cases.probability_maps import with_maps
from medseg.cases.score_columns import LOCATION, refuse_columns, refuse_strata, with_table
from medseg.cases.score_pairs import Pair, find_pairs, refuse_other_grids
from medseg.cases.scored_case import ScoredCase, Settings, by_number, score_pair, with_absent
from medseg.errors import DataError, Fault
from medseg.labels import Labels
from medseg.metrics.baselines import baseline_rows
from medseg.metrics.confusion import Confusion, summed
from medseg.metrics.curves import Curve, added
from medseg.metrics.scores import tolerances

Row = dict[str, Any]


@dataclass(frozen=True)
class Scores:
    """What came out.

    Attributes:
        rows: one a case and label, cases in the order of the pairs, as ``cases.csv`` holds them.
        baselines: the rows of `medseg.metrics.baselines`.
        labels: what they were scored by.
        metrics: the columns that are scores.
        notes: what had to be decided or converted, for the reader.
        confusion: voxels of each pair of label values, of all cases together.
        curves: by label, of all cases together, where there are probabilities.
    """

    rows: list[Row]
    baselines: list[Row]
    labels: Labels
    metrics: tuple[str, ...]
    notes: list[str]
    confusion: Confusion = field(default_factory=Confusion)
    curves: Mapping[str, Curve] = field(default_factory=dict)


def score_folders(
    predictions: str | Path,
    references: str | Path,
    settings: Settings,
    layout: str | None = None,
    only_predicted: bool = False,
    probabilities: str | Path | None = None,
    table: str | Path | None = None,
    strata: Mapping[str, Sequence[float] | None] | None = None,
    workers: int | None = None,
) -> Scores:
    """Score a folder of predictions against one of references, which says what values mean where `settings` do not.

    Args:
        predictions, references, layout, only_predicted: as `medseg.cases.score_pairs.find_pairs` takes them.
        settings: labels, metrics and tolerances.
        probabilities: a folder of maps, see `medseg.cases.probability_maps.with_maps`.
        table: a CSV with further columns, see `medseg.cases.score_columns.with_table`.
        strata: the columns that scores will be grouped by, and where their numbers are cut; they must be there.
        workers: as `score_pairs` takes it.

    Raises:
        DataError, UsageError, MedsegError: as those functions and `score_pairs`; nothing is read before all of names,
            settings, tables and grids fit.
    """
    found = find_pairs(predictions, references, layout, only_predicted)
    labels = settings.labels or found.labels
    pairs = found.pairs if table is None else with_table(found, table)
    pairs = pairs if probabilities is None else with_maps(pairs, probabilities, labels)
    refuse_columns(pairs)
    refuse_strata(strata or {}, pairs, settings.metrics)
    is_lacking = LOCATION in (strata or {}) and not any(LOCATION in pair.columns for pair in pairs)
    settings = dataclasses.replace(settings, labels=labels, with_location=settings.with_location or is_lacking)
    scores = score_pairs(pairs, settings, workers)
    return dataclasses.replace(scores, notes=found.notes + scores.notes)


def score_pairs(pairs: Sequence[Pair], settings: Settings, workers: int | None = None) -> Scores:
    """Score every pair; all rows, or one error with all that is wrong with any case.

    Args:
        pairs: what is to be scored.
        settings: how.
        workers: processes; as many as there are cores, at most 8, where it is None. Each holds one case.

    Raises:
        DataError: grids that differ (E201 to E203), maps that cannot be read or hold other values than labels; no label
            anywhere (E302).
        UsageError: E903, a tolerance of no label.
        MedsegError: E706, a process was ended.
    """
    if settings.labels is not None:
        tolerances(settings.tolerance_mm, settings.labels)
    refuse_other_grids(pairs)
    done = in_processes(functools.partial(score_pair, settings=settings), pairs, "scoring", workers)
    refuse([fault for each in done for fault in each.faults])
    notes: list[str] = []
    labels = settings.labels
    if labels is None:
        labels, notes = _found_labels(done)
        tolerances(settings.tolerance_mm, labels)
        done = [with_absent(each, labels, settings) for each in done]
    rows = [row for each in done for row in each.rows]
    noted = [note for each in done for note in each.notes]
    curves: Mapping[str, Curve] = {}
    for each in done:
        curves = added(curves, each.curves)
    return Scores(rows, _baselines(done, labels), labels, settings.metrics, notes + summed_up(noted),
                  summed(each.confusion for each in done), curves)  # fmt: skip


def _found_labels(done: Sequence[ScoredCase]) -> tuple[Labels, list[str]]:
    """A label for each value that occurs in any case, and a word about that.

    Raises:
        DataError: E302, no label anywhere; E301, masks of 0 and 255 beside maps with further values.
    """
    values = sorted({value for each in done for value in each.values if value})
    listed, fix = ", ".join(map(str, values)), "say what the values mean: --labels background=0,liver=1"
    if not values:
        raise DataError(Fault("E302", "no label in any reference or prediction", fix))
    white = [each.pair.case for each in done if each.is_white]
    if white and values != [1]:
        what = "some masks hold 0 and 255, others further values"
        raise DataError(Fault("E301", what, fix, "1 or 255 alone", listed, case=white[0]))
    notes = [f"labels have no names, so each value is one: {listed} (--labels background=0,liver=1 names them)"]
    notes += [f"masks of 0 and 255 were read as 0 and 1 ({len(white)} of {len(done)} cases)"] if white else []
    return by_number(values), notes


def _baselines(done: Sequence[ScoredCase], labels: Labels) -> list[Row]:
    """What no skill scores, with the unit that the case's own rows have."""
    units = {each.pair.case: each.grid.unit for each in done if each.grid is not None}
    rows = baseline_rows([each.sample for each in done if each.sample is not None], labels)
    return [row | {"distance_unit": units[row["case"]]} for row in rows]
