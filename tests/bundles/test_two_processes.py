"""`multi_gpu_train.yaml` under torchrun: two processes on CPUs (gloo) write one run folder, once."""

import csv
import json
import subprocess
import sys

import pytest
import torch

from medseg.workflows.bundles import bundle_names, find_bundle


@pytest.mark.parametrize("bundle", bundle_names())
def test_two_processes_make_one_run(bundle, phantoms, tmp_path):
    root, out = find_bundle(bundle), tmp_path / "run"
    files = [str(root / "configs" / f"{name}.yaml") for name in ("train", "multi_gpu_train")]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command += ["-m", "monai.bundle", "run", "--config_file", str(files), "--bundle_root", str(root)]
    command += ["--output_dir", str(out), "--dataset_dir", str(phantoms(bundle)), "--epochs", "1"]
    command += ["--batch_size", "1", "--workers", "0", "--held_out", "0.5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with open(out / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 1 and 0 <= float(rows[0]["val_mean_dice"]) <= 1
    record = json.loads((out / "record.json").read_text())
    assert record["cases"]["validate"] == 3  # an odd number over two processes
    assert not any(name.startswith("module.") for name in torch.load(out / "checkpoints" / "last.pt")["model"])
    assert (out / "bundle" / "models" / "model.pt").is_file() and (out / "report.html").is_file()
