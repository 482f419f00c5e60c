"""Learning per minute: Dice on held-out hippocampi after equal times of training, ours and nnU-Net v2.

    make bench-nnunet DATA=<MSD Task04_Hippocampus>

or, where nnU-Net is installed elsewhere (nnunet/sitecustomize.py helps it on a torch without CUDA):

    python tools/bench/time_to_dice.py --data <MSD Task04_Hippocampus> --nnunet <the bin folder of its environment>

Goal: ours ahead of nnU-Net at each mark, with its default plan and with the plan that a knowing user would make for a
CPU (our patch, batch and widths). How it is kept fair:

- the same 160 cases to train on and 40 to score, the split of our bundle; the same metric on the same references;
- the same cores and threads, threads that sleep while they wait, two loader processes for nnU-Net;
- one run per mark with its learning rate annealed over it, on both sides;
- at each mark ours runs first, and nnU-Net then gets the time that ours really took, validations included. Its own
  start-up, preprocessing and checkpoints are not counted; nor are our start-up and preprocessing;
- the weights at the end of the schedule are scored; both predict with sliding windows and mirroring.

What is not equal: nnU-Net computes in float32 on a CPU, ours in bfloat16 where the processor can; and our settings were
worked out on this data set.

What is done is kept in --out, and a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from medseg import files
from medseg.cases import split_cases
from medseg.labels import Labels
from medseg.metrics.scores import mean_by_label, score_case
from medseg.volumes import read_volume

HERE = Path(__file__).resolve().parent
LABELS = {"background": 0, "anterior": 1, "posterior": 2}
DATASET, CONFIGURATION = "Dataset004_Hippocampus", "3d_fullres"
DEFAULT, FOR_CPU = "nnUNetPlans", "nnUNetCPUPlans"
OURS = "medseg"
Result = dict[str, float]
Cases = dict[str, list[dict[str, Any]]]


def main() -> None:
    """Print Dice by mark and contestant; exit 1 where ours is not ahead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="MSD Task04_Hippocampus")
    parser.add_argument("--nnunet", type=Path, required=True, help="the bin folder of an environment with nnU-Net v2")
    parser.add_argument("--minutes", type=float, nargs="+", default=[5, 10, 20], help="the marks")
    parser.add_argument("--out", type=Path, default=Path("bench") / "time_to_dice", help="where runs are kept")
    asked = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    asked.out, asked.data = asked.out.resolve(), asked.data.resolve()
    cases = split_cases(str(asked.data), LABELS)
    peer = NnUNet(asked.nnunet, asked.out / "nnunet", cases)
    peer.prepare()
    table = {}
    for minutes in asked.minutes:
        ours = once(
            asked.out / f"{OURS}_{minutes:g}.json",
            lambda out, minutes=minutes: train_ours(asked.data, minutes, cases, out),
        )
        table[minutes] = {OURS: ours}
        for plan in (DEFAULT, FOR_CPU):
            table[minutes][plan] = once(
                asked.out / f"{plan}_{minutes:g}.json",
                lambda out, plan=plan, seconds=ours["seconds"]: peer.train_and_score(plan, seconds, out),
            )
        show(minutes, table[minutes])
    if any(rows[OURS]["dice"] <= max(row["dice"] for name, row in rows.items() if name != OURS)
           for rows in table.values()):  # fmt: skip
        sys.exit("ours is not ahead at each mark")


def show(minutes: float, rows: dict[str, Result]) -> None:
    """Print one mark."""
    for name, row in rows.items():
        print(f"{minutes:4g} min  {name:16s} {row['seconds'] / 60:6.2f} min {row['steps']:6.0f} steps   Dice"
              f" {row['anterior']:.4f} / {row['posterior']:.4f}   mean {row['dice']:.4f}"
              f"   ratio to ours {row['dice'] / rows[OURS]['dice']:.4f}", flush=True)  # fmt: skip


def once(result: Path, work: Callable[[Path], Result]) -> Result:
    """What `work(folder)` gave, kept as JSON so that it is done once."""
    if not result.is_file():
        folder = result.with_suffix("")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        values = work(folder)
        files.write_text(result, json.dumps(values, indent=1))
    return files.read_json(result)


def train_ours(data: Path, minutes: float, cases: Cases, folder: Path) -> Result:
    """Train our bundle for `minutes`, predict, score."""
    cache = folder.parent / "cache"
    command = [Path(sys.executable).with_name("medseg"), "run", "hippocampus_mri"]
    given = ["--data", data, f"cache_dir={cache}"]
    if not cache.is_dir():  # volumes are preprocessed before the clock starts, as the peer's are
        shell([*command, "train", *given, "--out", folder / "first", "epochs=1", "validations=1"], folder / "first.log")
    shell([*command, "train", *given, "--out", folder / "run", f"minutes={minutes:g}"], folder / "train.log")
    shell([*command, "evaluate", *given, "--out", folder / "run"], folder / "evaluate.log")
    record = files.read_json(folder / "run" / "record.json")
    steps = record["epochs"] * record["steps_an_epoch"]
    return {"seconds": record["wall_seconds"], "steps": steps, **score(cases, folder / "run" / "predictions")}


def score(cases: Cases, predictions: Path) -> Result:
    """Mean Dice by label over the held-out cases, and the mean of both."""
    labels = Labels(LABELS)
    rows = []
    for item in cases["validate"]:
        reference = read_volume(item["reference"])
        predicted = read_volume(predictions / f"{item['case']}.nii.gz")
        rows += score_case(np.rint(predicted.array).astype(int), np.rint(reference.array).astype(int),
                           reference.geometry, labels)  # fmt: skip
    means = mean_by_label(rows, "dice")
    return {**means, "dice": sum(means.values()) / len(means)}


def shell(command: list[str | Path], log: Path, environment: dict[str, str] | None = None) -> None:
    """Run a command, its output in `log`; the end of the log where it fails."""
    with log.open("w") as output:
        ended = subprocess.run(
            [str(part) for part in command], stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    if ended.returncode:
        sys.exit(f"{log}:\n{log.read_text()[-3000:]}")


class NnUNet:
    """nnU-Net v2 on the same split, in an environment of its own."""

    def __init__(self, programs: Path, folder: Path, cases: Cases) -> None:
        """Its programs, the folder that holds its three roots, and the split."""
        self.programs, self.folder, self.cases = programs, folder, cases
        self.raw, self.plans = folder / "raw" / DATASET, folder / "preprocessed" / DATASET

    def prepare(self) -> None:
        """Its raw folder (160 cases, 40 images to predict), its plans, its preprocessing; once for a split."""
        held_out = {f"{item['case']}_0000.nii.gz" for item in self.cases["validate"]}
        prepared = {path.name for path in (self.raw / "imagesTs").glob("*")}
        if (self.plans / f"{FOR_CPU}.json").is_file() and prepared == held_out:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("imagesTr", "labelsTr", "imagesTs"):
            (self.raw / name).mkdir(parents=True)
        for item in self.cases["train"]:
            shutil.copy(item["image"], self.raw / "imagesTr" / f"{item['case']}_0000.nii.gz")
            shutil.copy(item["label"], self.raw / "labelsTr" / f"{item['case']}.nii.gz")
        for item in self.cases["validate"]:
            shutil.copy(item["image"], self.raw / "imagesTs" / f"{item['case']}_0000.nii.gz")
        about = {"channel_names": {"0": "MRI"}, "labels": LABELS, "numTraining": len(self.cases["train"]),
                 "file_ending": ".nii.gz"}  # fmt: skip
        files.write_text(self.raw / "dataset.json", json.dumps(about))
        self._run(
            "plan_and_preprocess", self.folder / "prepare.log", "-d", "4", "-c", CONFIGURATION, "-npfp", "2", "-np", "2"
        )
        plans = files.read_json(self.plans / f"{DEFAULT}.json")
        plans["plans_name"] = FOR_CPU
        changed = plans["configurations"][CONFIGURATION]
        changed |= {"batch_size": 2, "patch_size": [40, 48, 32]}  # z, y, x
        changed["architecture"]["arch_kwargs"]["features_per_stage"] = [16, 32, 64, 128]
        files.write_text(self.plans / f"{FOR_CPU}.json", json.dumps(plans))

    def train_and_score(self, plan: str, seconds: float, folder: Path) -> Result:
        """Train on all 160 cases for `seconds`, predict the 40 with nnU-Net's defaults, score."""
        chosen = ["-p", plan, "-tr", "nnUNetTrainerTimed", "-device", "cpu"]
        shutil.rmtree(self.folder / "results", ignore_errors=True)
        self._run("train", folder / "train.log", DATASET, CONFIGURATION, "all", *chosen, seconds=seconds)
        self._run("predict", folder / "predict.log", "-i", self.raw / "imagesTs", "-o", folder / "predictions",
                  "-d", DATASET, "-c", CONFIGURATION, "-f", "all", "-npp", "1", "-nps", "1", *chosen)  # fmt: skip
        steps, spent = re.findall(r"(\d+) steps in ([\d.]+) s", (folder / "train.log").read_text())[-1]
        return {"seconds": float(spent), "steps": int(steps), **score(self.cases, folder / "predictions")}

    def _run(self, name: str, log: Path, *arguments: str | Path, seconds: float = 0.0) -> None:
        roots = {f"nnUNet_{root}": str(self.folder / root) for root in ("raw", "preprocessed", "results")}
        environment = os.environ | roots | {
            "nnUNet_extTrainer": str(HERE / "nnunet" / "trainers"),
            "nnUNet_n_proc_DA": "2",
            "NNUNET_SECONDS": str(seconds),
            "PYTHONPATH": str(HERE / "nnunet"),
        }  # fmt: skip
        shell([self.programs / f"nnUNetv2_{name}", *arguments], log, environment)


if __name__ == "__main__":
    main()
