"""Short runs of bundles on phantoms, through the same code as `medseg run`."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from engines import kept

from medseg.cases.phantoms import write_phantom
from medseg.handlers.checkpoint_file import content_digest, read_checkpoint
from medseg.workflows.bundles import config_files, find_bundle
from medseg.workflows.preflight import merge
from medseg.workflows.run import run_bundle

QUICK = {"epochs": 1, "batch_size": 2}
NARROW = {"image_size": [64, 64], "network_def::width": 8, "network_def::channels": [8, 16, 16, 16, 16],
          "network_def::hidden_size": 24, "network_def::mlp_dim": 48,
          "patches_per_image": 4, "overlap": 0.25}  # fmt: skip
COARSE_MM, SMALL = (
    [8.0, 8.0, 8.0],
    [32, 32, 16],
)  # of bundles that take volumes at full resolution, or bring them to a size
CASES = 5
# Bundles share their engine (tests/contracts/test_configs.py), so what it does is tested on a 3D and on a 2D one.
ENGINES = ["chest_xray_lungs", "hippocampus_mri"]


def narrow(files):
    """What makes the images of a configuration small and its network narrow: the papers' take minutes."""
    config = merge(files).config
    network = config["network_def"]
    settings = {key: value for key, value in NARROW.items() if key in config or key.partition("::")[2] in network}
    if "network_def::channels" in settings:
        settings["network_def::channels"] = settings["network_def::channels"][: len(network["channels"])]
    if "resize" in config:
        size = config["resize"] or config["patch_size"]
        settings |= {"spacing_mm": COARSE_MM, "resize" if config["resize"] else "patch_size": SMALL[: len(size)]}
    return settings


def run(bundle, workflow, out, data, method=None, **overrides):
    root = find_bundle(bundle).absolute()
    files = config_files(root, workflow, method)
    settings = {"bundle_root": str(root), "output_dir": str(out), "dataset_dir": str(data)}
    settings |= narrow(files) | (QUICK if workflow == "train" else {}) | overrides
    run_bundle(files, settings)
    return Path(out)


def monai_run(cwd, config_file, *arguments, launcher=()):
    """`python -m monai.bundle run` as a user types it, in a process of its own that finds the tests' helpers."""
    command = [sys.executable, *launcher, "-m", "monai.bundle", "run", "--config_file", str(config_file), *arguments]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False, env=env
    )


def outcome(out):
    """All that a run ends with, but wall times."""
    log = [line.split(",") for line in (out / "log.csv").read_text().splitlines()]
    shown = [place for place, name in enumerate(log[0]) if name != "seconds"]
    best = read_checkpoint(out / "checkpoints" / "best.pt")["model"]
    return (
        kept(out / "checkpoints" / "last.pt"),
        [[line[place] for place in shown] for line in log],
        (out / "iterations.csv").read_bytes(),
        content_digest(best),
    )


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """Bundle to a small data folder in the layout of its data set."""
    folder = tmp_path_factory.mktemp("phantoms")
    return cache(lambda bundle: write_phantom(bundle, folder / bundle, CASES))


@pytest.fixture(scope="session")
def short_run(phantoms, tmp_path_factory):
    """Bundle to the run folder of one epoch."""
    folder = tmp_path_factory.mktemp("runs")
    return cache(lambda bundle: run(bundle, "train", folder / bundle, phantoms(bundle)))
