"""A run folder written by hand, and what its page shows."""

import base64
from pathlib import Path

import numpy as np
import pytest
from pages import Page

from medseg import files
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.reports import write_report
from medseg.volumes.stack import make_stack
from medseg.volumes.volume import Volume

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=")


def case_row(case: str, label: str, dice, empties: str = "", subset: str = "validate", **more) -> dict:
    return {
        "case": case, "group": case, "label": label, "distance_unit": "mm", "dice": dice, "iou": dice, "hd95": 2.0,
        "assd": 0.5, "empties": empties, "reference_ml": 0.0 if empties in ("absent", "invented") else 1.5,
        "prediction_ml": 0.0 if empties in ("absent", "missed") else 1.25, "spacing_mm": "1.0 1.0 2.5",
        "subset": subset,
    } | more  # fmt: skip


def write_cases(folder: Path, rows: list[dict]) -> None:
    files.write_csv(folder / "cases.csv", rows)


def write_log(folder: Path) -> None:
    columns = ("epoch", "iteration", "loss", "learning_rate", "seconds", "val_mean_dice", "val_dice_a")
    rows = [(1, 4, 0.9, 0.01, 30.0, "", ""), (2, 8, "nan", 0.005, 45.5, 0.62, 0.62)]
    files.write_csv(folder / "log.csv", [dict(zip(columns, row, strict=True)) for row in rows])


def write_previews(folder: Path, *cases: str) -> None:
    for case in cases:
        files.write_bytes(folder / "previews" / f"{case}.png", PNG)


def report(folder: Path, **options) -> Page:
    path = write_report(folder, **options)
    assert path == folder / "report.html"
    return Page(path)


def images(page: Page) -> list[str]:
    return [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]


@pytest.fixture
def complete(tmp_path: Path) -> Path:
    write_log(tmp_path)
    write_cases(tmp_path, [case_row("c1", "a", 0.9), case_row("c2", "a", 0.7), case_row("c3", "a", "", "absent")])
    write_previews(tmp_path, "c1", "c2", "c3")
    split = {"seed": 7, "layout": "folders", "train": [{"case": "t1", "group": "p1", "digest": "0"}], "validate": []}
    files.write_json(tmp_path / "split.json", split)
    record = {
        "task": "liver_ct",
        "network": "UNet",
        "versions": {"torch": "2.8"},
        "finished": "2024-05-06T07:08:09+00:00",
    }
    files.write_json(tmp_path / "record.json", record)
    files.write_text(tmp_path / "config.yaml", "seed: 7\n")
    return tmp_path


def noisy_stack(shape: tuple[int, int, int], label: str = "a"):
    """An image that hardly packs, and a label map."""
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(n // 4, n // 2) for n in shape)] = 1
    noise = np.random.default_rng(0).integers(0, 250, shape, np.uint8)
    labels = Labels({"background": 0, label: 1})
    return make_stack(Volume(noise, Geometry(np.diag([0.8, 0.8, 2.5, 1]), shape)), {"reference": mask}, labels)
