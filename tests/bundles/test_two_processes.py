"""`multi_gpu_train.yaml` under torchrun: several processes on CPUs (gloo) make one run folder, once."""

import csv
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from runs import ENGINES, monai_run, narrow, outcome

from medseg.workflows.bundles import find_bundle

TORCHRUN = ("-m", "torch.distributed.run")
HERE = (*TORCHRUN, "--nproc_per_node=2", "--standalone")
DIES = """
+train::handlers:
- {_target_: killing.KillAt, _disabled_: $@rank != 1, event: ITERATION_STARTED, at: 2}
"""


def files(bundle, *names):
    return [str(find_bundle(bundle).absolute() / "configs" / f"{name}.yaml") for name in names]


def small(bundle):
    """Arguments that make pictures small and networks narrow."""
    return [word for key, value in narrow(files(bundle, "train")).items() for word in (f"--{key}", str(value))]


def train(bundle, data, out, cwd, launcher, extra=(), *settings):
    return monai_run(cwd, [*files(bundle, "train", "multi_gpu_train"), *extra],
                     "--bundle_root", find_bundle(bundle).absolute(), "--output_dir", out, "--dataset_dir", data,
                     "--epochs", "1", "--batch_size", "1", "--workers", "0", "--held_out", "0.5",
                     *small(bundle), *settings,
                     launcher=launcher)  # fmt: skip


def table(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("bundle", ENGINES)
def test_two_processes_make_one_run(bundle, phantoms, tmp_path):
    out = tmp_path / "run"
    done = train(bundle, phantoms(bundle), out, tmp_path, HERE)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = table(out / "log.csv")
    assert len(rows) == 1 and 0 <= float(rows[0]["val_mean_dice"]) <= 1
    record = json.loads((out / "record.json").read_text())
    assert record["cases"]["validate"] == 3  # an odd number over two processes
    assert not any(name.startswith("module.") for name in torch.load(out / "checkpoints" / "last.pt")["model"])
    assert (out / "bundle" / "models" / "model.pt").is_file() and (out / "report.html").is_file()

    tables = []
    for name, launcher, config in (("one", (), ()), ("two", HERE, ("multi_gpu_train",))):
        scored = tmp_path / name
        evaluated = monai_run(
            tmp_path, files(bundle, "train", "evaluate", *config), "--bundle_root", find_bundle(bundle).absolute(),
            "--output_dir", scored, "--dataset_dir", phantoms(bundle), "--held_out", "0.5", "--workers", "0",
            "--checkpoint_file", out / "checkpoints" / "last.pt", *small(bundle), launcher=launcher,
        )  # fmt: skip
        assert evaluated.returncode == 0, evaluated.stderr[-3000:]
        pictures = {path.name: path.read_bytes() for path in (scored / "previews").iterdir()}
        tables.append(((scored / "cases.csv").read_bytes(), pictures))
    assert tables[0] == tables[1]  # every case once, in one order, with the same values and pictures
    rows = table(tmp_path / "two" / "cases.csv")
    assert len({row["case"] for row in rows}) == 3 and len({(row["case"], row["label"]) for row in rows}) == len(rows)


@pytest.mark.parametrize("bundle", ENGINES[-1:])
def test_a_process_that_dies_ends_the_run_with_its_reason_and_the_run_goes_on(bundle, phantoms, tmp_path):
    delta = tmp_path / "dies.yaml"
    delta.write_text(DIES)
    longer = ("--epochs", "3", "--validations", "3", "--resume", "True")
    done = train(bundle, phantoms(bundle), tmp_path / "run", tmp_path, HERE, [str(delta)], *longer)
    assert done.returncode != 0 and "SIGKILL" in done.stderr and "rank      : 1" in done.stderr
    assert not (tmp_path / "run" / "report.html").exists()
    for name in ("run", "whole"):
        done = train(bundle, phantoms(bundle), tmp_path / name, tmp_path, HERE, (), *longer)
        assert done.returncode == 0, done.stderr[-3000:]
    assert len(json.loads((tmp_path / "run" / "record.json").read_text())["resumed"]) == 1
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("bundle", ENGINES[-1:])
def test_a_second_host_joins_with_torchruns_own_arguments(bundle, phantoms, tmp_path):
    """Two launchers, each on a loopback address of its own, as two machines would be."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = phantoms(bundle)  # before the threads, which would both make it

    def host(number):
        launcher = (*TORCHRUN, "--nproc_per_node=1", "--nnodes=2", f"--node_rank={number}", "--rdzv_backend=c10d",
                    f"--rdzv_endpoint=127.0.0.1:{port}", "--rdzv_id=test",
                    f"--local_addr=127.0.0.{number + 1}")  # fmt: skip
        return train(bundle, data, tmp_path / "run", tmp_path, launcher)

    with ThreadPoolExecutor(2) as both:
        ends = list(both.map(host, range(2)))
    assert [end.returncode for end in ends] == [0, 0], ends[0].stderr[-2000:] + ends[1].stderr[-2000:]
    assert len(table(tmp_path / "run" / "log.csv")) == 1
