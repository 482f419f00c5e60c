"""Scores of every case and label in millimetres, inside a workflow and as a table."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Metric
from monai.utils import CommonKeys

from medseg import files
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.metrics.scores import METRICS, mean, mean_by_label, score_case

UNITS = {"dice": "dice", "iou": "iou", "hd95": "hd95_mm", "assd": "assd_mm"}
COLUMNS = ("case", "group", "label", "distance_unit", *METRICS, "empties", "reference_ml", "prediction_ml",
           "spacing_mm", "subset")  # fmt: skip
DETAILS = "cases"


class CaseScores(Metric):
    """An ignite metric: the mean over labels of the mean Dice over cases; the rest stands beside it.

    MONAI's handlers take no spacing, drop a missed structure from the mean and name labels by number. This one scores
    label maps on the image's own grid (see `medseg.metrics.scores` for the policy about empties), puts
    ``<prefix>dice_<label>``, ``<prefix>hd95_mm_<label>`` and so on beside the key metric in ``engine.state.metrics``,
    and the rows in ``engine.state.metric_details["cases"]``. With several processes the rows of all are gathered.

    Args:
        labels: what the label values mean.
        prefix: of the further metrics' names.
    """

    def __init__(
        self,
        labels: Mapping[str, int | Sequence[int]],
        prefix: str = "val_",
        output_transform: Callable = lambda output: output,
    ) -> None:
        self.labels, self.prefix = Labels(labels), prefix
        self.rows: list[dict[str, Any]] = []
        super().__init__(output_transform)

    def reset(self) -> None:
        """Forget all rows."""
        self.rows = []

    def iteration_completed(self, engine: Engine) -> None:
        """Score the batch: lists of label maps (1, X, Y, Z) under ``pred`` and ``label``."""
        for item, output in zip(engine.state.batch, self._output_transform(engine.state.output), strict=True):
            self.update((item, output[CommonKeys.PRED], output[CommonKeys.LABEL]))

    def update(self, output: tuple[Mapping[str, Any], torch.Tensor, torch.Tensor]) -> None:
        """Score one case."""
        item, prediction, reference = output
        unit = reference.meta.get("unit", "mm")
        geometry = Geometry(np.asarray(reference.affine.cpu()), tuple(reference.shape[1:]), unit)
        maps = [torch.as_tensor(tensor).cpu().numpy()[0].round().astype(np.int32) for tensor in (prediction, reference)]
        spacing = " ".join(f"{size:.6g}" for size in geometry.spacing_mm)
        common = {"case": item["case"], "group": item["group"], "distance_unit": unit, "spacing_mm": spacing}
        self.rows += [common | row for row in score_case(maps[0], maps[1], geometry, self.labels)]

    def compute(self) -> float:
        """Mean over labels of the mean Dice over cases."""
        return mean(mean_by_label(self.rows, "dice").values())

    def completed(self, engine: Engine, name: str) -> None:  # type: ignore[override]
        """Gather the rows of all processes and publish every mean."""
        self.rows = sorted(_gathered(self.rows), key=lambda row: row["case"])
        engine.state.metrics[name] = self.compute()
        for metric, column in UNITS.items():
            for label, value in mean_by_label(self.rows, metric).items():
                engine.state.metrics[f"{self.prefix}{column}_{label}"] = value
        engine.state.metric_details[DETAILS] = self.rows


class SaveCases:
    """Write the rows of `CaseScores` to ``<output_dir>/cases.csv`` when the evaluation is complete.

    Masks and previews of cases that only an earlier evaluation scored go with that one's table.

    Args:
        subset: the name of what was evaluated, for the table's last column.
    """

    def __init__(self, output_dir: str | Path, subset: str = "validate") -> None:
        self.folder, self.subset = Path(output_dir), subset
        self.path = self.folder / "cases.csv"

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the table."""
        rows = [row | {"subset": self.subset} for row in engine.state.metric_details[DETAILS]]
        for case in self._scored_before() - {row["case"] for row in rows}:
            (self.folder / "predictions" / f"{case}.nii.gz").unlink(missing_ok=True)
            (self.folder / "previews" / f"{case}.png").unlink(missing_ok=True)
        files.write_csv(self.path, [{key: _number(value) for key, value in row.items()} for row in rows], COLUMNS)

    def _scored_before(self) -> set[str]:
        if not self.path.is_file():
            return set()
        with open(self.path, newline="", encoding="utf-8") as stream:
            return {Path(row["case"]).name for row in csv.DictReader(stream)}


def _number(value: Any) -> Any:
    return ("" if np.isnan(value) else repr(value)) if isinstance(value, float) else value


def _gathered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    parts: list[list[dict[str, Any]]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(parts, rows)
    return [row for part in parts for row in part]


def key_metric(engine: Engine) -> float:
    """The key metric of an evaluator's last run, for handlers that ask for a score function."""
    return float(engine.state.metrics[engine.state.key_metric_name])
