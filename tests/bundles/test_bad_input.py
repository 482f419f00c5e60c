"""Bad input through the command: one clear message, an exit code that is not 0, nothing half-written."""

import json
import re
import sys

import numpy as np
import pytest
import torch
from runs import monai_run

from medseg.cli import main
from medseg.geometry import Geometry
from medseg.volumes import Volume, write_volume
from medseg.workflows.bundles import find_bundle

SHAPE = (12, 14, 10)
GRID = Geometry(np.diag([1.0, 1.0, 1.0, 1.0]), SHAPE)


def write_set(root, cases=5, images=None, labels=None):
    """A small MSD folder; `images` and `labels` replace the volume of a case number."""
    rng = np.random.default_rng(0)
    training = []
    for number in range(cases):
        label = np.zeros(SHAPE, np.uint8)
        label[3:7, 3:9, 3:7], label[7:9, 3:9, 3:7] = 1, 2
        image = Volume(rng.normal(size=SHAPE).astype(np.float32), GRID)
        name = f"case_{number}.nii.gz"
        write_volume(root / "imagesTr" / name, (images or {}).get(number, image))
        write_volume(root / "labelsTr" / name, (labels or {}).get(number, Volume(label, GRID)))
        training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    (root / "dataset.json").write_text(json.dumps({"training": training, "test": []}))
    return root


def shifted(mm):
    affine = GRID.affine.copy()
    affine[0, 3] += mm
    return Geometry(affine, SHAPE)


def missing_label(root):
    (write_set(root) / "labelsTr" / "case_2.nii.gz").unlink()


def truncated(root):
    path = write_set(root) / "imagesTr" / "case_1.nii.gz"
    path.write_bytes(path.read_bytes()[:-400])


def nan_voxel(root):
    image = np.zeros(SHAPE, np.float32)
    image[4, 5, 6] = np.nan
    write_set(root, images={3: Volume(image, GRID)})


def without_images(root):
    (root / "notes").mkdir(parents=True)


LABEL = np.ones(SHAPE, np.uint8)
SMALLER = Geometry(GRID.affine, (12, 14, 9))
SMALL, MOVED, SEVENS = Volume(LABEL[..., :9], SMALLER), Volume(LABEL, shifted(4.0)), Volume(LABEL * 7, GRID)
FAULTS = {
    "no images": (without_images, "E609", r"no data set of a known layout"),
    "missing label": (missing_label, "E101", r"labelsTr/case_2\.nii\.gz"),
    "label shape": (lambda root: write_set(root, labels={1: SMALL}), "E201", r"case_1 .*\(12, 14, 10\).*\(12, 14, 9\)"),
    "label affine": (lambda root: write_set(root, labels={1: MOVED}), "E202", r"case=case_1 .*found 4 mm"),
    "unknown label": (lambda root: write_set(root, labels={2: SEVENS}), "E301", r"case=case_2 .*7 \(1680 voxels\)"),
    "truncated": (truncated, "E102", r"case=case_1 .*imagesTr/case_1"),
    "NaN": (nan_voxel, "E401", r"case=case_3 .*1 voxels, the first at \(4, 5, 6\)"),
}


def refused(arguments, monkeypatch, capfd):
    """Exit code and what was printed to stderr after the command line itself."""
    monkeypatch.setattr(sys, "argv", ["medseg", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    messages = [line for line in capfd.readouterr().err.splitlines() if line.startswith("medseg: ")]
    assert len(messages) == 1
    return stop.value.code, messages[0]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_data_is_refused(name, tmp_path, monkeypatch, capfd):
    make, code, words = FAULTS[name]
    make(tmp_path / "data")
    arguments = ["run", "hippocampus_mri", "train", "--data", tmp_path / "data", "--out", tmp_path / "out"]
    status, message = refused(arguments, monkeypatch, capfd)
    assert status == 3 and f"[{code}]" in message and re.search(words, message) and "fix:" in message
    assert not (tmp_path / "out").exists()


def test_all_faults_of_all_cases_come_at_once(tmp_path, monkeypatch, capfd):
    write_set(tmp_path / "data", labels={0: Volume(LABEL * 9, GRID), 4: Volume(LABEL, shifted(2.0))})
    monkeypatch.setattr(sys, "argv", ["medseg", "run", "hippocampus_mri", "train", "--data", str(tmp_path / "data")])
    with pytest.raises(SystemExit):
        main()
    printed = capfd.readouterr().err
    assert "E301" in printed and "E202" in printed and "case_0" in printed and "case_4" in printed


@pytest.mark.parametrize(("data", "words"), [(None, "dataset_dir is not set"), ("nowhere", "does not exist")])
def test_a_missing_folder_is_refused(data, words, tmp_path, monkeypatch, capfd):
    folder = [] if data is None else ["--data", tmp_path / data]
    status, message = refused(
        ["run", "hippocampus_mri", "train", "--out", tmp_path / "out", *folder], monkeypatch, capfd
    )
    assert status == 3 and words in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("argument", "words"),
    [("epoch=3", "did you mean 'epochs'"), ("train::trainer::clip_nrm=3", "did you mean 'train::trainer::clip_norm'"),
     ("optimizer::lr=3", "unknown key 'optimizer::lr'"), ("epochs", "not an override")],
)  # fmt: skip
def test_a_misspelt_key_is_refused(argument, words, tmp_path, monkeypatch, capfd):
    arguments = [
        "run",
        "hippocampus_mri",
        "train",
        argument,
        "--data",
        write_set(tmp_path / "data"),
        "--out",
        tmp_path / "out",
    ]
    status, message = refused(arguments, monkeypatch, capfd)
    assert status == 2 and words in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [("batch_size=0", "batch_size"), ("workers=two", "workers"), ("precision=fp16", "precision"),
     ("overwrite=yes", "overwrite"), ("early_stop=-1", "early_stop"), ("average_decay=1", "average_decay"),
     ("held_out=5", "held_out"), ("epochs=0", "epochs"),
     ("patch_size=[30,48,40]", r"patch of this size .*\[30, 48, 40\]")],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused(setting, words, tmp_path, monkeypatch, capfd):
    data = write_set(tmp_path / "data")
    arguments = ["run", "hippocampus_mri", "train", setting, "--data", data, "--out", tmp_path / "out"]
    status, message = refused(arguments, monkeypatch, capfd)
    assert status == 2 and "[E903]" in message and re.search(words, message)
    assert not (tmp_path / "out").exists()


def test_a_parameter_that_the_file_does_not_set_is_known(tmp_path, monkeypatch, capfd):
    arguments = ["run", "hippocampus_mri", "train", "train::trainer::non_blocking=true", "--data", tmp_path / "nowhere"]
    status, message = refused(arguments, monkeypatch, capfd)
    assert status == 3 and "does not exist" in message  # past the check of keys


@pytest.mark.parametrize(
    "words", [["brain", "train"], ["hippocampus_mri", "trian"], ["hippocampus_mri", "train", "--method", "x"]]
)
def test_unknown_bundle_workflow_and_method(words, monkeypatch, capfd):
    status, message = refused(["run", *words], monkeypatch, capfd)
    assert status == 2 and "[E901] no such" in message.replace(
        str(find_bundle("hippocampus_mri") / "configs") + ": ", ""
    )


def checkpoints(folder):
    other = folder / "other.pt"
    torch.save({"conv.weight": torch.zeros(3, 3)}, other)
    damaged = folder / "damaged.pt"
    damaged.write_bytes(other.read_bytes()[:200])
    return {
        "of another network": (other, "E802"),
        "not a checkpoint": (damaged, "E105"),
        "no checkpoint": (folder / "x.pt", "E101"),
    }


@pytest.mark.parametrize("words", ["of another network", "not a checkpoint", "no checkpoint"])
def test_a_wrong_checkpoint_is_refused(words, tmp_path, monkeypatch, capfd):
    path, code = checkpoints(tmp_path)[words]
    images = write_set(tmp_path / "data") / "imagesTr"
    arguments = [
        "run",
        "hippocampus_mri",
        "infer",
        "--data",
        images,
        "--out",
        tmp_path / "out",
        f"checkpoint_file={path}",
    ]
    status, message = refused(arguments, monkeypatch, capfd)
    assert status == 3 and f"[{code}]" in message and words in message and path.name in message
    assert message.count(f"[{code}]") == 1  # ignite would log it once more
    assert not (tmp_path / "out").exists()


def test_an_output_folder_with_a_run_is_not_overwritten(tmp_path, monkeypatch, capfd):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "log.csv").write_text("kept")
    arguments = ["run", "hippocampus_mri", "train", "--data", write_set(tmp_path / "data"), "--out", tmp_path / "out"]
    status, message = refused(arguments, monkeypatch, capfd)
    assert status == 3 and "[E503]" in message and "overwrite" in message
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["log.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--epoch", "3"], "unknown key 'epoch'"), ([], "dataset_dir is not set")]
)
def test_below_monais_own_command_our_message_is_the_last_line(arguments, words, tmp_path):
    config = find_bundle("hippocampus_mri") / "configs" / "train.yaml"
    done = monai_run(tmp_path, config, "--output_dir", tmp_path / "out", *arguments)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].startswith("medseg: ") and words in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()
