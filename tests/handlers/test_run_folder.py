import csv
import json

import pytest
import yaml
from engines import make_evaluator, make_trainer, network

from medseg.errors import DataError, TrainingError, UsageError
from medseg.handlers import RunFolder


def train(folder, cases, scores=(0.3, 0.6), **kwargs):
    net = network()
    evaluator = make_evaluator(net, scores)
    handler = RunFolder(folder, {"epochs": 2, "seed": 7}, cases, evaluator, settings={"seed": 7}, **kwargs)
    make_trainer(net, evaluator=evaluator, handlers=[handler]).run()


@pytest.fixture
def cases(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.nii").write_text(name)
    return {"train": [{"image": str(tmp_path / "a.nii"), "label": str(tmp_path / "b.nii"), "case": "a", "group": "p1"}],
            "validate": [{"image": str(tmp_path / "b.nii"), "reference": str(tmp_path / "b.nii"), "case": "b",
                          "group": "p2"}]}  # fmt: skip


def test_the_files_of_a_run(cases, tmp_path):
    folder = tmp_path / "run"
    train(folder, cases)
    with open(folder / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2"] and [row["val_mean_dice"] for row in rows] == ["0.3", "0.6"]
    assert all(float(row["loss"]) > 0 and float(row["learning_rate"]) > 0 for row in rows)
    record = json.loads((folder / "record.json").read_text())
    assert (
        record["parameters"] == 28
        and record["seed"] == 7
        and record["finished"]
        and record["cases"] == {"train": 1, "validate": 1}
    )
    split = json.loads((folder / "split.json").read_text())
    assert split["train"][0]["case"] == "a" and split["validate"][0]["group"] == "p2"
    assert split["train"][0]["digest"]["label"] == split["validate"][0]["digest"]["image"]  # by content
    assert yaml.safe_load((folder / "config.yaml").read_text()) == {"epochs": 2, "seed": 7}


def test_a_row_an_iteration_with_the_rate_that_its_step_took(cases, tmp_path):
    """Noted beside by the loss function and the optimiser; the schedule lowers the rate tenfold every two steps."""
    net, losses, rates = network(), [], []
    evaluator = make_evaluator(net, [0.3, 0.6])
    trainer = make_trainer(net, evaluator=evaluator, handlers=[RunFolder(tmp_path / "run", {}, cases, evaluator)])
    trainer.loss_function.register_forward_hook(lambda *found: losses.append(float(found[-1].detach())))
    trainer.optimizer.register_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    trainer.run()
    with open(tmp_path / "run" / "iterations.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["iteration"] for row in rows] == list("123456") and [row["epoch"] for row in rows] == list("111222")
    assert [float(row["loss"]) for row in rows] == losses
    assert [float(row["learning_rate"]) for row in rows] == rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3])


def test_a_folder_with_a_run_is_left_alone(cases, tmp_path):
    folder = tmp_path / "run"
    train(folder, cases)
    before = (folder / "log.csv").read_bytes()
    with pytest.raises(DataError, match="E503"):
        train(folder, cases)
    assert (folder / "log.csv").read_bytes() == before


def test_overwrite_removes_the_run_and_nothing_else(cases, tmp_path):
    folder = tmp_path / "run"
    train(folder, cases)
    (folder / "cases.csv").write_text("stale")
    (folder / "notes.txt").write_text("mine")
    train(folder, cases, overwrite=True)
    assert len((folder / "iterations.csv").read_text().splitlines()) == 1 + 2 * 3
    assert not (folder / "cases.csv").exists() and (folder / "notes.txt").read_text() == "mine"


def test_a_run_does_not_go_on_with_the_same_cases_dealt_otherwise(cases, tmp_path):
    folder = tmp_path / "run"
    train(folder, cases)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.pt").write_text("")  # of `Checkpoint`, which is not attached here
    train(folder, cases, resume=True)
    first, second = cases["train"][0], cases["validate"][0]
    swapped = {
        "train": [{**second, "label": second["reference"]}],
        "validate": [{**first, "reference": first["label"]}],
    }
    before = (folder / "split.json").read_bytes()
    with pytest.raises(TrainingError, match=r"E804.*split\.json.*another split.*others in train, validate.*split_seed"):
        train(folder, swapped, resume=True)
    assert (folder / "split.json").read_bytes() == before


def test_a_wrong_bundle_root_is_refused_before_anything_is_written(cases, tmp_path):
    """Raw `python -m monai.bundle run` from elsewhere leaves bundle_root at "."; the run could not be exported."""
    with pytest.raises(UsageError, match=r"E901.*bundle_root"):
        train(tmp_path / "run", cases, bundle_root=tmp_path)
    assert not (tmp_path / "run").exists()


def test_the_fingerprint_is_of_the_data_alone(cases, tmp_path):
    prints = []
    for name, seed in (("one", 7), ("two", 8)):
        net = network()
        evaluator = make_evaluator(net, [0.1, 0.2])
        handler = RunFolder(tmp_path / name, {}, cases, evaluator, settings={"seed": seed, "batch_size": seed})
        make_trainer(net, evaluator=evaluator, handlers=[handler]).run()
        prints.append(json.loads((tmp_path / name / "record.json").read_text())["data_fingerprint"])
    assert prints[0] == prints[1]
