"""Scores of every case and label in millimetres, inside a workflow and as a table."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Metric
from monai.data import MetaTensor
from monai.utils import CommonKeys

from medseg import files
from medseg.errors import DataError, Fault, UsageError
from medseg.geometry import Geometry
from medseg.handlers.second_observer import second_observer_rows
from medseg.labels import Labels, as_label_map, unknown_values
from medseg.metrics import confusion, curves
from medseg.metrics.baselines import ReferenceSample, baseline_rows, sample_reference
from medseg.metrics.case_table import write_baselines, write_cases, write_pooled
from medseg.metrics.catalogue import METRICS, OF_PROBABILITIES, USUAL, chosen
from medseg.metrics.scores import TOLERANCE_MM, mean, mean_by_label, score_case, tolerances
from medseg.processes import gathered
from medseg.volumes import MASKS
from medseg.volumes.label_map import grid_faults

DETAILS, SAMPLES, CONFUSION, CURVES, OBSERVER = "cases", "references", "confusion", "curves", "observer"


class CaseScores(Metric):
    """An ignite metric: the mean over labels of the mean over cases; the scores of every case stand beside it.

    MONAI's handlers take no spacing, drop a missed structure from the mean and name labels by number. This one scores
    label maps on the image's own grid (see `medseg.metrics.catalogue` for the policy about empties), puts
    ``<prefix>dice_<label>``, ``<prefix>hd95_mm_<label>`` and so on beside the key metric in ``engine.state.metrics``,
    the rows in ``engine.state.metric_details["cases"]``, and what baselines need of each reference in
    ``["references"]``, the voxels of each pair of label values and the curves of probabilities, of all cases together,
    in ``["confusion"]`` and ``["curves"]``, and of cases that a second observer drew too his scores in
    ``["observer"]``. With several processes those of all are gathered.

    Args:
        labels: what the label values mean.
        metrics: names of `medseg.metrics.catalogue.METRICS`, in a list or with commas; None for the usual ones.
        key: the one whose mean is the value of this metric; checkpoints and early stopping take higher for better.
        tolerance_mm: of surface Dice and added path length, for all labels or by name.
        probabilities: the key of the output that holds them, (C, X, Y, Z), a channel a label value (or one channel,
            the foreground's); metrics as ``roc_auc`` need it.
        region: the key of the case that holds a mask (1, X, Y, Z) on the reference's grid, as a field of view: what
            lies outside counts for nothing (`medseg.metrics.case_pair.CasePair`). None: the whole image counts.
        prefix: of the further metrics' names.
        output_transform: from the engine's output to a list of dictionaries with ``pred`` and ``label``.

    Raises:
        UsageError: E903, a metric or a label that there is not, a key that is not better where it is higher, or
            metrics of probabilities without any.
    """

    def __init__(
        self,
        labels: Mapping[str, int | Sequence[int]],
        metrics: Sequence[str] | str | None = None,
        key: str = "dice",
        tolerance_mm: float | Mapping[str, float] = TOLERANCE_MM,
        probabilities: str | None = None,
        region: str | None = None,
        prefix: str = "val_",
        output_transform: Callable = lambda output: output,
    ) -> None:
        self.labels, self.prefix, self.key = Labels(labels), prefix, key
        self.metrics, self.region = chosen([*chosen(USUAL if metrics is None else metrics), key]), region
        self.tolerance_mm, self.probabilities = tolerances(tolerance_mm, self.labels), probabilities
        needing = [name for name in self.metrics if name in OF_PROBABILITIES]
        if needing and probabilities is None:
            fix = "name the output's key, which ToNativeGridd writes: probabilities: prob"
            raise UsageError(Fault("E903", "these need probabilities", fix, found=", ".join(needing)))
        if not METRICS[key].higher_is_better:
            better = ", ".join(name for name in METRICS if METRICS[name].higher_is_better)
            fix = "choose a key that is better where it is higher"
            raise UsageError(Fault("E903", "not a metric that the best checkpoint can be chosen by", fix, better, key))
        self.rows: list[dict[str, Any]] = []
        self.samples: list[ReferenceSample] = []
        self.observer: list[dict[str, Any]] = []
        self.confusion, self.curves = confusion.Confusion(), dict[str, curves.Curve]()
        super().__init__(output_transform)

    def attach(self, engine: Engine, name: str) -> None:  # type: ignore[override]
        """Attach to an evaluator, as the metric `name`."""
        super().attach(engine, name)
        engine.state.metric_details[DETAILS] = []

    def reset(self) -> None:
        """Forget all cases."""
        self.rows, self.samples, self.observer = [], [], []
        self.confusion, self.curves = confusion.Confusion(), {}

    def iteration_completed(self, engine: Engine) -> None:
        """Score the batch: lists of label maps (1, X, Y, Z) under ``pred`` and ``label``."""
        for item, output in zip(engine.state.batch, self._output_transform(engine.state.output), strict=True):
            given = None if self.probabilities is None else output[self.probabilities]
            self.update((item, output[CommonKeys.PRED], output[CommonKeys.LABEL], given))

    def update(self, output: tuple[Mapping[str, Any], torch.Tensor, torch.Tensor, torch.Tensor | None]) -> None:
        """Score one case: label maps (1, X, Y, Z), and probabilities (C, X, Y, Z) where they are scored.

        Raises:
            DataError: E201, E202, another shape or place than the reference's; E301, values that no label names; E303,
                fractions; E401, NaN or infinity; E404, probabilities that are none.
            UsageError: E903, the case has no such region.
        """
        item, prediction, reference, given = output
        case = str(item["case"])
        geometry = _grid(reference, case)
        if isinstance(prediction, MetaTensor):
            faults = grid_faults("", "the prediction", _grid(prediction, case), geometry, case, "its reference")
            if faults:
                raise DataError(*faults)
        maps = [_label_map(tensor, self.labels, case) for tensor in (prediction, reference)]
        inside = None if self.region is None else _inside(item, self.region, geometry)
        unit = geometry.unit
        spacing = " ".join(f"{size:.6g}" for size in geometry.spacing_mm)
        common = {"case": item["case"], "group": item["group"], "distance_unit": unit, "spacing_mm": spacing}
        shares = None if given is None else _by_label(torch.as_tensor(given).cpu().numpy(), self.labels, case)
        rows = score_case(maps[0], maps[1], geometry, self.labels, self.metrics, self.tolerance_mm, shares, inside)
        self.rows += [item.get("strata", {}) | common | row for row in rows]
        self.samples.append(sample_reference(item["case"], item["group"], maps[1], geometry, self.labels, inside))
        self.observer += second_observer_rows(item, maps[1], geometry, self.labels, inside)
        where = ... if inside is None else inside
        self.confusion.update(confusion.confusion(maps[0][where], maps[1][where], self.labels))
        drawn = {name: self.labels.mask(maps[1], name) for name in shares or {}}
        own = {name: curves.curve(share[where], drawn[name][where]) for name, share in (shares or {}).items()}
        self.curves = curves.added(self.curves, own)

    def compute(self) -> float:
        """Mean over labels of the mean of the key over cases."""
        return mean(mean_by_label(self.rows, self.key).values())

    def completed(self, engine: Engine, name: str) -> None:  # type: ignore[override]
        """Gather the rows of all processes and publish every mean."""
        self.rows = sorted(gathered(self.rows), key=lambda row: row["case"])
        engine.state.metrics[name] = self.compute()
        for metric in self.metrics:
            for column, rows in _columns(metric, self.rows).items():
                for label, value in mean_by_label(rows, metric).items():
                    engine.state.metrics[f"{self.prefix}{column}_{label}"] = value
        samples = sorted(gathered(self.samples), key=lambda sample: sample.case)
        engine.state.metric_details |= {
            DETAILS: self.rows, SAMPLES: samples, CONFUSION: confusion.summed(gathered([self.confusion])),
            OBSERVER: sorted(gathered(self.observer), key=lambda row: row["case"]),
            CURVES: functools.reduce(curves.added, gathered([self.curves])),
        }  # fmt: skip


class SaveCases:
    """Write the rows of `CaseScores` to ``<output_dir>/cases.csv`` when the evaluation is complete.

    What no skill scores on the same cases goes to ``baselines.csv`` (`medseg.metrics.baselines`), and after it what a
    second observer scores where the data set has one; which values the voxels of each label value were given to
    ``confusion.csv``, and the curves of probabilities, where they are scored, to ``curves.csv``. Masks and previews of
    cases that only an earlier evaluation scored go with that one's tables.

    Args:
        labels: what the label values mean.
        subset: the name of what was evaluated, for the table's last column.
    """

    def __init__(
        self, output_dir: str | Path, labels: Mapping[str, int | Sequence[int]], subset: str = "validate"
    ) -> None:
        self.folder, self.labels, self.subset = Path(output_dir), Labels(labels), subset
        self.path = self.folder / "cases.csv"

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, self._refuse_nothing_to_save)
        engine.add_event_handler(Events.COMPLETED, self)

    def _refuse_nothing_to_save(self, engine: Engine) -> None:
        if DETAILS not in engine.state.metric_details:
            fix = (
                "name it in validate::additional_metrics where another metric is validate::key_metric; a run that "
                "rebuilds images has no masks to score, medseg reconstruct shows what it does"
            )
            raise UsageError(Fault("E903", "no metric scores every case", fix, "medseg.handlers.CaseScores",
                                   str(engine.state.key_metric_name)))  # fmt: skip

    def __call__(self, engine: Engine) -> None:
        """Write the table."""
        rows = [row | {"subset": self.subset} for row in engine.state.metric_details[DETAILS]]
        metrics = [name for name in METRICS if any(name in row for row in rows)]
        for case in self._scored_before() - {row["case"] for row in rows}:
            for suffix in MASKS:
                (self.folder / "predictions" / f"{case}{suffix}").unlink(missing_ok=True)
            for kind in (".png", ".npz"):
                (self.folder / "previews" / f"{case}{kind}").unlink(missing_ok=True)
        write_cases(self.path, rows, metrics)
        details = engine.state.metric_details
        baselines = [*baseline_rows(details[SAMPLES], self.labels), *details[OBSERVER]]
        write_baselines(self.folder / "baselines.csv", baselines)
        write_pooled(self.folder, details[CONFUSION], details[CURVES], self.labels)

    def _scored_before(self) -> set[str]:
        if not self.path.is_file():
            return set()
        with open(self.path, newline="", encoding="utf-8") as stream:
            return {Path(files.unquoted(row["case"])).name for row in csv.DictReader(stream)}


def _columns(metric: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The name of a metric's column to the rows that it is of: distances of volumes and of pictures have one each."""
    by_unit: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_unit.setdefault(row["distance_unit"], []).append(row)
    if METRICS[metric].unit == "mm":
        return {f"{metric}_{unit}": own for unit, own in by_unit.items()}
    if METRICS[metric].unit == "ml":  # a picture has no volume
        return {metric: by_unit["mm"]} if "mm" in by_unit else {}
    return {metric: list(rows)}


def _grid(tensor: torch.Tensor, case: str) -> Geometry:
    """Where a label map lies."""
    if tensor.ndim != 4 or len(tensor) != 1:
        fix = "score label maps: ToNativeGridd makes them of a network's output"
        found = str(tuple(tensor.shape))
        raise DataError(Fault("E201", "not a label map of one channel", fix, "(1, X, Y, Z)", found, case=case))
    return Geometry(np.asarray(tensor.affine.cpu()), tuple(tensor.shape[1:]), tensor.meta.get("unit", "mm"))


def _label_map(tensor: torch.Tensor, labels: Labels, case: str) -> npt.NDArray[np.integer]:
    found = as_label_map(torch.as_tensor(tensor).cpu().numpy()[0], case=case)
    faults = unknown_values(found, labels, case=case)
    if faults:
        raise DataError(*faults)
    return found


def _inside(item: Mapping[str, Any], region: str, geometry: Geometry) -> npt.NDArray[np.bool_]:
    """The mask (X, Y, Z) of the voxels that count, on the reference's grid."""
    case = str(item["case"])
    if not isinstance(item.get(region), MetaTensor):
        fix = "let a transform read it (medseg.transforms.ReadFieldd), or set region to null"
        raise UsageError(Fault("E903", "the region to score in is not there", fix, region, case=case))
    faults = grid_faults("", "the region to score in", _grid(item[region], case), geometry, case, "its reference")
    if faults:
        raise DataError(*faults)
    return torch.as_tensor(item[region]).cpu().numpy()[0] > 0


def _by_label(probabilities: npt.NDArray, labels: Labels, case: str) -> dict[str, npt.NDArray]:
    """Label to its probability, (X, Y, Z): that of a union is the sum of its values'.

    A value beyond the channels is one that the network never gives: its probability is 0.
    """
    n_channels, is_one = len(probabilities), len(labels.foreground) == 1
    lowest, highest = float(probabilities.min()), float(probabilities.max())
    if not (lowest >= 0 and highest <= 1) or (n_channels == 1 and not is_one):
        fix = "score the softmax, a channel a label value: ToNativeGridd(probabilities=...) writes it"
        expected, found = (f"{n} channels{rest}" for n, rest in ((labels.n_classes, " from 0 to 1"),
                           (n_channels, f" from {lowest:g} to {highest:g}")))  # fmt: skip
        raise DataError(Fault("E404", "not the labels' probabilities", fix, expected, found, case=case))
    if n_channels == 1:
        return {labels.foreground[0]: probabilities[0]}
    shares = {name: probabilities[[value for value in labels.values[name] if value < n_channels]].sum(axis=0)
              for name in labels.foreground}  # fmt: skip
    return {name: np.minimum(share, 1, out=share) for name, share in shares.items()}


def key_metric(engine: Engine) -> float:
    """The key metric of an evaluator's last run, for handlers that ask for a score function."""
    return float(engine.state.metrics[engine.state.key_metric_name])
