"""A killed run goes on and ends as if it had never been killed: the same weights and the same log, bit for bit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from runs import ENGINES, outcome

from medseg.handlers.checkpoint_file import read_checkpoint
from medseg.workflows.bundles import find_bundle

KILLING = Path(__file__).parents[1] / "killing.py"
STEPS = 2  # an epoch: five phantoms, one of them held out, two a batch, which two threads share on a CPU with bfloat16
EPOCHS = 4
POINTS = {
    "after epoch 1": ("EPOCH_COMPLETED", 1),
    "after epoch 2": ("EPOCH_STARTED", 3),
    "after the last epoch": ("EPOCH_COMPLETED", EPOCHS),
    "in epoch 1": ("ITERATION_COMPLETED", 1),
    "in epoch 2": ("ITERATION_STARTED", STEPS + 2),
    "before the validation of epoch 3": ("ITERATION_COMPLETED", 3 * STEPS),
}
TINY = {"hippocampus_mri": {"patch_size": [16, 16, 16], "network_def::filters": [4, 4, 4, 4]},
        "chest_xray_lungs": {"image_size": [32, 32], "network_def::width": 4}}  # fmt: skip
FEWER = {"chest_xray_lungs": ["after epoch 1", "in epoch 2"]}  # what differs there is the cache and the network


def job(bundle, data, out, folder, kill=None, **overrides):
    """What `killing.py` is told of one run; `kill` is (event, at) or (event, at, signal)."""
    root = find_bundle(bundle).absolute()
    files = [str(root / "configs" / "train.yaml")]
    if kill is not None:
        handler = {"_target_": "killing.KillAt", **dict(zip(("event", "at", "by"), kill, strict=False))}
        files.append(str(folder / f"{out.name}-{kill[0]}-{kill[1]}.json"))
        Path(files[-1]).write_text(json.dumps({"+train::handlers": [handler]}))
    settings = {"epochs": EPOCHS, "validations": EPOCHS, "batch_size": 2, "early_stop": 9, "checkpoint_every": 1,
                "resume": True, "run": ["$@train::trainer.run()"], **TINY[bundle]}  # fmt: skip
    places = {"bundle_root": str(root), "output_dir": str(out), "dataset_dir": str(data)}
    return {"files": files, "overrides": places | settings | overrides}


def fates(jobs, folder):
    """Run the jobs; exit codes, or minus the signal that ended them."""
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs))
    done = subprocess.run([sys.executable, str(KILLING), str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    codes = json.loads(done.stdout.splitlines()[-1])
    assert 1 not in codes, done.stderr[-3000:]
    return codes


@pytest.mark.parametrize("bundle", ENGINES)
def test_killed_runs_end_as_if_they_had_not_been(bundle, phantoms, tmp_path):
    """Six moments, no and two loader workers: twelve of twelve."""
    data, points = phantoms(bundle), FEWER.get(bundle, list(POINTS))
    jobs, expected = [], []
    for workers in (0, 2):
        jobs.append(job(bundle, data, tmp_path / f"whole-{workers}", tmp_path, workers=workers))
        expected.append(0)
        for name in points:
            out = tmp_path / f"{name}-{workers}"
            jobs += [job(bundle, data, out, tmp_path, POINTS[name], workers=workers),
                     job(bundle, data, out, tmp_path, workers=workers)]  # fmt: skip
            expected += [-9, 0]
    assert fates(jobs, tmp_path) == expected
    whole = outcome(tmp_path / "whole-0")
    assert len(whole[1]) == EPOCHS + 1
    for workers in (0, 2):
        for name in ("whole", *points):
            assert outcome(tmp_path / f"{name}-{workers}") == whole, f"{name}, {workers} workers"


@pytest.mark.parametrize("bundle", ENGINES[-1:])
def test_sigterm_writes_a_checkpoint_and_ends(bundle, phantoms, tmp_path):
    data, out = phantoms(bundle), tmp_path / "stopped"
    term = ("ITERATION_STARTED", STEPS + 3, "SIGTERM")
    jobs = [job(bundle, data, out, tmp_path, term, checkpoint_every=0, workers=0)]
    assert fates(jobs, tmp_path) == [143]
    assert read_checkpoint(out / "checkpoints" / "last.pt")["iteration"] == STEPS + 3
    assert json.loads((out / "record.json").read_text())["finished"] is None
    again = [job(bundle, data, out, tmp_path, workers=0), job(bundle, data, tmp_path / "whole", tmp_path, workers=0)]
    assert fates(again, tmp_path) == [0, 0]
    assert outcome(out) == outcome(tmp_path / "whole")


@pytest.mark.parametrize("bundle", ENGINES[-1:])
def test_a_finished_run_goes_on_with_more_epochs(bundle, phantoms, tmp_path):
    """Where the schedule does not depend on the length; the default one does, and says so."""
    data, out = phantoms(bundle), tmp_path / "longer"
    constant = {"train::scheduler": {"_target_": "torch.optim.lr_scheduler.StepLR", "optimizer": "@train::optimizer",
                                     "step_size": 5}, "workers": 0}  # fmt: skip
    jobs = [job(bundle, data, out, tmp_path, epochs=2, validations=2, **constant),
            job(bundle, data, out, tmp_path, **constant),
            job(bundle, data, tmp_path / "whole", tmp_path, **constant)]  # fmt: skip
    assert fates(jobs, tmp_path) == [0, 0, 0]
    assert outcome(out) == outcome(tmp_path / "whole")
    record = json.loads((out / "record.json").read_text())
    assert record["epochs"] == EPOCHS and len(record["resumed"]) == 1 and record["finished"]
