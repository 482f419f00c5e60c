"""Training on all cases, none of which is held out: a data set of one case, or the last training before use."""

import csv
import json
import re

import pytest
from runs import ENGINES, run

from medseg.cases.phantoms import write_phantom
from medseg.errors import find


@pytest.mark.parametrize("bundle", ENGINES)
def test_a_run_without_validation_trains_reports_and_infers(bundle, phantoms, tmp_path, capfd):
    data = phantoms(bundle)
    folder = run(bundle, "train", tmp_path / "run", data, held_out=0, epochs=2, validations=2)
    assert "[W503] held_out is 0" in capfd.readouterr().err
    split = json.loads((folder / "split.json").read_text())
    assert split["validate"] == [] and len(split["train"]) > 1
    with open(folder / "log.csv", newline="") as stream:
        log = list(csv.DictReader(stream))
    assert len(log) == 2 and not [name for name in log[0] if name.startswith("val_")]
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"last.pt", "last.prev.pt"}
    page = (folder / "report.html").read_text()
    assert "No epoch with validation" in page and "W503" not in page
    run(folder / "bundle", "infer", tmp_path / "masks", data)
    assert any((tmp_path / "masks").iterdir())
    if not split["test"]:
        with pytest.raises(Exception) as caught:
            run(bundle, "evaluate", folder, data, held_out=0)
        assert re.search(r"E903.*not a subset that can be scored", str(find(caught.value)))


def test_one_case_is_enough_to_train_on(tmp_path):
    data = write_phantom("hippocampus_mri", tmp_path / "data", 1)
    with pytest.raises(Exception) as caught:
        run("hippocampus_mri", "train", tmp_path / "run", data)
    assert re.search(r"E502.*held_out=0 trains on all cases", str(find(caught.value)))
    folder = run("hippocampus_mri", "train", tmp_path / "run", data, held_out=0)
    assert len(json.loads((folder / "split.json").read_text())["train"]) == 1
    run("hippocampus_mri", "evaluate", folder, data, held_out=0, subset="test")


@pytest.mark.parametrize("setting", [{"weights": "best"}, {"early_stop": 2}, {"best_also": ["val_iou_anterior"]}])
def test_what_goes_by_scores_of_held_out_cases_is_refused(setting, phantoms, tmp_path):
    with pytest.raises(Exception) as caught:
        run("hippocampus_mri", "train", tmp_path / "run", phantoms("hippocampus_mri"), held_out=0, **setting)
    (name,) = setting
    assert re.search(rf"E903.*{name} goes by held-out cases", str(find(caught.value)))
    assert not (tmp_path / "run").exists()
