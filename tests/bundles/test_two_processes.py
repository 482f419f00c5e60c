"""`multi_gpu_train.yaml` under torchrun: two processes on CPUs (gloo) write one run folder, once."""

import csv
import json

import pytest
import torch
from runs import monai_run

from medseg.workflows.bundles import bundle_names, find_bundle


@pytest.mark.parametrize("bundle", bundle_names())
def test_two_processes_make_one_run(bundle, phantoms, tmp_path):
    root, out = find_bundle(bundle), tmp_path / "run"
    files = [str(root / "configs" / f"{name}.yaml") for name in ("train", "multi_gpu_train")]
    done = monai_run(tmp_path, files, "--bundle_root", root, "--output_dir", out, "--dataset_dir", phantoms(bundle),
                     "--epochs", "1", "--batch_size", "1", "--workers", "0", "--held_out", "0.5",
                     launcher=("-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"))  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    with open(out / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 1 and 0 <= float(rows[0]["val_mean_dice"]) <= 1
    record = json.loads((out / "record.json").read_text())
    assert record["cases"]["validate"] == 3  # an odd number over two processes
    assert not any(name.startswith("module.") for name in torch.load(out / "checkpoints" / "last.pt")["model"])
    assert (out / "bundle" / "models" / "model.pt").is_file() and (out / "report.html").is_file()
