"""Scores of every case and label in millimetres, inside a workflow and as a table."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Metric
from monai.utils import CommonKeys

from medseg.errors import Fault, UsageError
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.metrics.baselines import ReferenceSample, baseline_rows, sample_reference
from medseg.metrics.case_table import write_baselines, write_cases
from medseg.metrics.catalogue import METRICS, OF_PROBABILITIES, USUAL, chosen
from medseg.metrics.scores import TOLERANCE_MM, mean, mean_by_label, score_case, tolerances

DETAILS, SAMPLES = "cases", "references"


class CaseScores(Metric):
    """An ignite metric: the mean over labels of the mean over cases; the scores of every case stand beside it.

    MONAI's handlers take no spacing, drop a missed structure from the mean and name labels by number. This one scores
    label maps on the image's own grid (see `medseg.metrics.catalogue` for the policy about empties), puts
    ``<prefix>dice_<label>``, ``<prefix>hd95_mm_<label>`` and so on beside the key metric in ``engine.state.metrics``,
    the rows in ``engine.state.metric_details["cases"]``, and what baselines need of each reference in
    ``["references"]``. With several processes those of all are gathered.

    Args:
        labels: what the label values mean.
        metrics: names of `medseg.metrics.catalogue.METRICS`.
        key: the one whose mean is the value of this metric; checkpoints and early stopping take higher for better.
        tolerance_mm: of surface Dice and added path length, for all labels or by name.
        probabilities: the key of the output that holds them, (C, X, Y, Z), a channel a label value (or one channel,
            the foreground's); metrics as ``roc_auc`` need it.
        prefix: of the further metrics' names.
        output_transform: from the engine's output to a list of dictionaries with ``pred`` and ``label``.

    Raises:
        UsageError: E903, a metric or a label that there is not, a key that is not better where it is higher, or
            metrics of probabilities without any.
    """

    def __init__(
        self,
        labels: Mapping[str, int | Sequence[int]],
        metrics: Sequence[str] = USUAL,
        key: str = "dice",
        tolerance_mm: float | Mapping[str, float] = TOLERANCE_MM,
        probabilities: str | None = None,
        prefix: str = "val_",
        output_transform: Callable = lambda output: output,
    ) -> None:
        self.labels, self.prefix, self.key = Labels(labels), prefix, key
        self.metrics = chosen([*metrics, key])
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
        super().__init__(output_transform)

    def attach(self, engine: Engine, name: str) -> None:  # type: ignore[override]
        """Attach to an evaluator, as the metric `name`."""
        super().attach(engine, name)
        engine.state.metric_details[DETAILS] = []

    def reset(self) -> None:
        """Forget all cases."""
        self.rows, self.samples = [], []

    def iteration_completed(self, engine: Engine) -> None:
        """Score the batch: lists of label maps (1, X, Y, Z) under ``pred`` and ``label``."""
        for item, output in zip(engine.state.batch, self._output_transform(engine.state.output), strict=True):
            given = None if self.probabilities is None else output[self.probabilities]
            self.update((item, output[CommonKeys.PRED], output[CommonKeys.LABEL], given))

    def update(self, output: tuple[Mapping[str, Any], torch.Tensor, torch.Tensor, torch.Tensor | None]) -> None:
        """Score one case."""
        item, prediction, reference, given = output
        unit = reference.meta.get("unit", "mm")
        geometry = Geometry(np.asarray(reference.affine.cpu()), tuple(reference.shape[1:]), unit)
        maps = [torch.as_tensor(tensor).cpu().numpy()[0].round().astype(np.int32) for tensor in (prediction, reference)]
        spacing = " ".join(f"{size:.6g}" for size in geometry.spacing_mm)
        common = {"case": item["case"], "group": item["group"], "distance_unit": unit, "spacing_mm": spacing}
        shares = None if given is None else _by_label(torch.as_tensor(given).cpu().numpy(), self.labels)
        rows = score_case(maps[0], maps[1], geometry, self.labels, self.metrics, self.tolerance_mm, shares)
        self.rows += [item.get("strata", {}) | common | row for row in rows]
        self.samples.append(sample_reference(item["case"], item["group"], maps[1], geometry, self.labels))

    def compute(self) -> float:
        """Mean over labels of the mean of the key over cases."""
        return mean(mean_by_label(self.rows, self.key).values())

    def completed(self, engine: Engine, name: str) -> None:  # type: ignore[override]
        """Gather the rows of all processes and publish every mean."""
        self.rows = sorted(_gathered(self.rows), key=lambda row: row["case"])
        engine.state.metrics[name] = self.compute()
        for unit in dict.fromkeys(row["distance_unit"] for row in self.rows):
            rows = [row for row in self.rows if row["distance_unit"] == unit]
            for metric in self.metrics:
                column = f"{metric}_{unit}" if METRICS[metric].unit == "mm" else metric
                for label, value in mean_by_label(rows, metric).items():
                    engine.state.metrics[f"{self.prefix}{column}_{label}"] = value
        samples = sorted(_gathered(self.samples), key=lambda sample: sample.case)
        engine.state.metric_details |= {DETAILS: self.rows, SAMPLES: samples}


class SaveCases:
    """Write the rows of `CaseScores` to ``<output_dir>/cases.csv`` when the evaluation is complete.

    What no skill scores on the same cases goes to ``baselines.csv`` (`medseg.metrics.baselines`). Masks and previews of
    cases that only an earlier evaluation scored go with that one's table.

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
            fix = "name it in validate::additional_metrics where another metric is validate::key_metric"
            raise UsageError(Fault("E903", "no metric scores every case", fix, "medseg.handlers.CaseScores",
                                   ", ".join(engine.state.metrics) or "no metric"))  # fmt: skip

    def __call__(self, engine: Engine) -> None:
        """Write the table."""
        rows = [row | {"subset": self.subset} for row in engine.state.metric_details[DETAILS]]
        metrics = [name for name in METRICS if any(name in row for row in rows)]
        for case in self._scored_before() - {row["case"] for row in rows}:
            (self.folder / "predictions" / f"{case}.nii.gz").unlink(missing_ok=True)
            (self.folder / "previews" / f"{case}.png").unlink(missing_ok=True)
        write_cases(self.path, rows, metrics)
        samples = engine.state.metric_details[SAMPLES]
        write_baselines(self.folder / "baselines.csv", baseline_rows(samples, self.labels))

    def _scored_before(self) -> set[str]:
        if not self.path.is_file():
            return set()
        with open(self.path, newline="", encoding="utf-8") as stream:
            return {Path(row["case"]).name for row in csv.DictReader(stream)}


def _by_label(probabilities: npt.NDArray, labels: Labels) -> dict[str, npt.NDArray]:
    """Label to its probability, (X, Y, Z): that of a union is the sum of its values'."""
    if len(probabilities) == 1 and len(labels.foreground) == 1:
        return {labels.foreground[0]: probabilities[0]}
    if len(probabilities) < labels.n_classes:
        raise ValueError(f"probabilities of {labels.n_classes} label values expected, found {len(probabilities)}")
    return {name: probabilities[list(labels.values[name])].sum(axis=0).clip(0, 1) for name in labels.foreground}


def _gathered(own: list[Any]) -> list[Any]:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return own
    parts: list[list[Any]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(parts, own)
    return [each for part in parts for each in part]


def key_metric(engine: Engine) -> float:
    """The key metric of an evaluator's last run, for handlers that ask for a score function."""
    return float(engine.state.metrics[engine.state.key_metric_name])
