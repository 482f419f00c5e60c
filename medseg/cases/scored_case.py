"""One prediction read, compared with its reference, and scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.cases.probability_maps import read_probability
from medseg.cases.score_pairs import Pair
from medseg.errors import DataError, Fault
from medseg.geometry import Geometry
from medseg.labels import Labels, is_black_and_white, unknown_values
from medseg.metrics.baselines import ReferenceSample, sample_reference
from medseg.metrics.catalogue import USUAL
from medseg.metrics.confusion import Confusion, confusion
from medseg.metrics.curves import Curve, curve
from medseg.metrics.location import location
from medseg.metrics.scores import TOLERANCE_MM, score_case
from medseg.volumes.label_map import grid_faults, read_label
from medseg.volumes.volume import Volume

FEW_LABELS = 16
MOST_VALUES = 255  # of a case whose labels have no names: more are intensities
WHITE_MASK = "W307"

LabelMap = npt.NDArray[np.integer]
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How cases are scored.

    Attributes:
        labels: what values mean; where it is None each value is a label, named by its number.
        metrics: names of `medseg.metrics.catalogue.METRICS`.
        tolerance_mm: of NSD and added path length, for all labels or for each by name.
        with_location: whether rows say where in the image the reference lies (`medseg.metrics.location`).
    """

    labels: Labels | None = None
    metrics: tuple[str, ...] = USUAL
    tolerance_mm: float | Mapping[str, float] = TOLERANCE_MM
    with_location: bool = False


@dataclass(frozen=True)
class ScoredCase:
    """What is left of a case when it is scored: kilobytes.

    Attributes:
        pair: where it came from.
        faults: what is wrong with it; where there is anything, the rest is empty.
        rows: its rows of ``cases.csv``, one a label.
        grid: that of both maps.
        sample: what the baselines need.
        confusion: voxels of each pair of label values.
        curves: by label, where there are probabilities.
        values: those that occur, where labels have no names.
        is_white: whether 0 and 255 were read as 0 and 1, where labels have no names.
        notes: what reading had to decide or to convert.
    """

    pair: Pair
    faults: tuple[Fault, ...] = ()
    rows: tuple[Row, ...] = ()
    grid: Geometry | None = None
    sample: ReferenceSample | None = None
    confusion: Confusion = field(default_factory=Confusion)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    values: tuple[int, ...] = ()
    is_white: bool = False
    notes: tuple[Fault, ...] = ()


def score_pair(pair: Pair, settings: Settings) -> ScoredCase:
    """Read and score one pair; what is wrong with it comes back as faults (E1 to E4), so that others go on."""
    try:
        return _score(pair, settings)
    except DataError as error:
        return ScoredCase(pair, tuple(_advised(fault, pair.case) for fault in error.faults))


def with_absent(done: ScoredCase, labels: Labels, settings: Settings) -> ScoredCase:
    """The case with rows also for labels that it does not have: they are absent from both of its maps."""
    if done.grid is None or done.sample is None:
        return done
    point, nothing = Geometry(done.grid.affine, (1, 1, 1), done.grid.unit), np.zeros((1, 1, 1), np.uint8)
    place = {"location": ""} if settings.with_location else {}
    absent = [
        row | place for row in score_case(nothing, nothing, point, labels, settings.metrics, settings.tolerance_mm)
    ]
    found = {row["label"]: row for row in (*(_row(done.pair, done.grid, row) for row in absent), *done.rows)}
    voxels = {name: done.sample.label_voxels.get(name, 0) for name in labels.foreground}
    sample = dataclasses.replace(done.sample, label_voxels=voxels)
    return dataclasses.replace(done, rows=tuple(found[name] for name in labels.foreground), sample=sample)


def by_number(values: Sequence[int]) -> Labels:
    """A label for each value, named by it."""
    return Labels({"background": 0} | {str(value): value for value in values if value})


def _score(pair: Pair, settings: Settings) -> ScoredCase:
    maps, notes = _read(pair, settings.labels)
    values: tuple[int, ...] = ()
    is_white = False
    if settings.labels is None:
        is_white = any(is_black_and_white(each.array) for each in maps.values())
        maps = {name: _without_white(each) for name, each in maps.items()}
        values = _all_values(pair, *(each.array for each in maps.values()))
    labels, tolerance_mm = settings.labels or by_number(values), settings.tolerance_mm
    if settings.labels is None and isinstance(tolerance_mm, Mapping):  # compared with the labels of all cases later
        tolerance_mm = {name: tolerance_mm.get(name, TOLERANCE_MM) for name in labels.foreground}
    prediction, reference, grid = maps["prediction"].array, maps["reference"].array, maps["reference"].geometry
    probabilities = {name: read_probability(path) for name, path in pair.probabilities.items()}
    rows = score_case(prediction, reference, grid, labels, settings.metrics, tolerance_mm, probabilities)
    if settings.with_location:
        rows = [row | {"location": location(labels.mask(reference, row["label"]), grid)} for row in rows]
    sample = sample_reference(pair.case, pair.group, reference, grid, labels)
    curves = {name: curve(probability, labels.mask(reference, name)) for name, probability in probabilities.items()}
    return ScoredCase(pair, (), tuple(_row(pair, grid, row) for row in rows), grid, sample,
                      confusion(prediction, reference, labels), curves, values, is_white, notes)  # fmt: skip


def _row(pair: Pair, grid: Geometry, scores: Row) -> Row:
    """A row of ``cases.csv``."""
    spacing = " ".join(f"{size:.6g}" for size in grid.spacing_mm)
    first = {"case": pair.case, "group": pair.group, "label": scores["label"], "distance_unit": grid.unit}
    return {**first, **scores, "spacing_mm": spacing, "subset": pair.subset, **pair.columns}


def _read(pair: Pair, labels: Labels | None) -> tuple[dict[str, Volume], tuple[Fault, ...]]:
    """The two label maps, on one grid, and what reading noted."""
    maps: dict[str, Volume] = {}
    faults: list[Fault] = []
    for name, paths in (("reference", pair.reference), ("prediction", pair.prediction)):
        try:
            maps |= {name: read_label(paths, labels)} if paths else {}
        except DataError as error:
            faults += error.faults
        if name in maps and labels is not None:
            faults += _unknown(paths[0], maps[name].array, labels, pair.ignore_value)
    if faults:
        raise DataError(*faults)
    prediction = maps["prediction"]
    notes = tuple(dataclasses.replace(note, case=pair.case) for each in maps.values() for note in each.notes
                  if labels is not None or note.code != WHITE_MASK)  # fmt: skip
    maps.setdefault("reference", Volume(np.zeros_like(prediction.array), prediction.geometry))
    faults += grid_faults(pair.prediction[0], "the prediction", prediction.geometry, maps["reference"].geometry,
                          other="its reference")  # fmt: skip
    if faults:
        raise DataError(*faults)
    return maps, notes


def _unknown(path: Path, label_map: LabelMap, labels: Labels, ignore_value: int | None) -> list[Fault]:
    if ignore_value is not None and (label_map == ignore_value).any():
        what = "the data set wants voxels to be ignored, which medseg does not do"
        return [
            Fault("E308", what, "label these voxels, or leave the case out", "no such value", str(ignore_value), path)
        ]
    return unknown_values(label_map, labels, path)


def _without_white(volume: Volume) -> Volume:
    """A mask of 0 and 255 as one of 0 and 1."""
    if not is_black_and_white(volume.array):
        return volume
    return Volume((volume.array != 0).astype(np.uint8), volume.geometry)


def _all_values(pair: Pair, *label_maps: LabelMap) -> tuple[int, ...]:
    found = sorted({value for label_map in label_maps for value in _values(label_map)})
    if len(found) > MOST_VALUES:
        fix = "point at label maps; if these are, name the labels: --labels background=0,liver=1"
        expected = f"at most {MOST_VALUES} values"
        what = "so many values look like intensities"
        raise DataError(Fault("E301", what, fix, expected, str(len(found)), pair.prediction[0]))
    return tuple(found)


def _values(label_map: LabelMap) -> list[int]:
    """The values that occur; quick where there are few, which is nearly always."""
    highest = int(label_map.max())
    if highest > FEW_LABELS:
        return [int(value) for value in np.unique(label_map)]
    return [value for value in range(highest + 1) if (label_map == value).any()]


def _advised(fault: Fault, case: str) -> Fault:
    """A fault of a case, with what this command can do about fractions."""
    more = "; maps of probabilities go into --probabilities" if fault.code == "E303" else ""
    return dataclasses.replace(fault, case=case, fix=fault.fix + more)
