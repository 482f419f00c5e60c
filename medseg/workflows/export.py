"""A finished run as a standalone bundle that any MONAI consumer loads."""

from __future__ import annotations

import copy
import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from medseg import files
from medseg.handlers.checkpoint_file import read_checkpoint
from medseg.settings import choice
from medseg.workflows.prepare import READ_BY_NAME, read_keys
from medseg.workflows.rebuilding import rebuilds_images, refuse_masks

# Ids of an inference configuration that are its own; every other id that training has too is shared with it.
OWN = {"bundle_root", "dataset_dir", "output_dir", "overwrite", "checkpoint_file", "imports", "device", "network",
       "initialize", "run", "finalize"}  # fmt: skip
# What belongs to the machine or to one run, as a fresh bundle has it.
PLACES = {"bundle_root": ".", "dataset_dir": None, "output_dir": "$@bundle_root + '/runs/train'", "cache_dir": None,
          "overwrite": False, "resume": False, "start_from": None}  # fmt: skip
MODEL = "$@bundle_root + '/models/model.pt'"
LAST = "last"
WEIGHTS = (LAST, "best")
COPIED = ("LICENSE", "configs/logging.conf")


def export_run(run_dir: str | Path, bundle_root: str | Path, weights: str = LAST) -> Path:
    """Write ``<run_dir>/bundle``: weights, metadata with label names and scores, and whole configurations.

    ``split.json`` names the training images by digest, so that no evaluation scores them. ``configs/{train,evaluate,
    inference}`` come as YAML and as JSON (which `monai.bundle.load` and MONAI's federated
    client look for), each complete in itself, with the run's network and settings and without its paths.

    Args:
        run_dir: a run folder after training; its ``config.yaml`` is what was run.
        bundle_root: the bundle that was trained.
        weights: which checkpoint is exported, ``last`` or ``best``.

    Raises:
        UsageError: E903, other weights.
    """
    run_dir, root = Path(run_dir), Path(bundle_root)
    checkpoint = read_checkpoint(run_dir / "checkpoints" / f"{choice('weights', weights, WEIGHTS)}.pt")
    target = run_dir / "bundle"
    train = yaml.safe_load((run_dir / "config.yaml").read_text(encoding="utf-8"))
    train.pop("_meta_", None)
    train |= {key: value for key, value in PLACES.items() if key in train}
    read = READ_BY_NAME | read_keys(train)
    train = {key: value for key, value in train.items() if key in read}  # a method may have made some moot
    for name, config in (
        ("train", train),
        ("evaluate", _evaluate(train, root)),
        ("inference", _inference(train, root)),
    ):
        files.write_text(
            target / "configs" / f"{name}.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        )
        files.write_json(target / "configs" / f"{name}.json", config)
    files.write_json(target / "configs" / "metadata.json", _metadata(run_dir, root, train, checkpoint["epoch"]))
    files.write_json(target / "split.json", _split(run_dir))
    for name in COPIED:
        if (root / name).is_file():
            files.write_bytes(target / name, (root / name).read_bytes())
    stream = io.BytesIO()
    torch.save(checkpoint["model"], stream)
    files.write_bytes(target / "models" / "model.pt", stream.getvalue())
    return target


def _split(run_dir: Path) -> dict[str, Any]:
    """Which images the weights were trained on, by digest alone: a bundle travels, names of cases stay."""
    listed = files.read_json(run_dir / "split.json")["train"]
    return {"train": [{"digest": {"image": item["digest"]["image"]}} for item in listed]}


def _evaluate(train: dict[str, Any], root: Path) -> dict[str, Any]:
    """The training configuration with the bundle's evaluation delta in it."""
    delta = ConfigParser.load_config_file(str(root / "configs" / "evaluate.yaml"))
    if "train" in delta:  # a standalone bundle's: whole already; what this run changed goes into it
        before = ConfigParser.load_config_file(str(root / "configs" / "train.yaml"))
        return _changed(before, {key: value for key, value in train.items() if key != "run"}, delta)
    parser = ConfigParser(copy.deepcopy(train))
    for key, value in delta.items():
        merge_kv(parser, key, copy.deepcopy(value))
    return parser.config | {"checkpoint_file": MODEL}


def _changed(before: Mapping[str, Any], after: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    """`target` with what differs between `before` and `after`; of a list, what was appended."""
    result = dict(target)
    for key, new in after.items():
        old, held = before.get(key), result.get(key)
        if old == new and key in result:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping) and isinstance(held, Mapping):
            result[key] = _changed(old, new, held)
        elif isinstance(old, list) and isinstance(new, list) and isinstance(held, list) and new[: len(old)] == old:
            result[key] = held + new[len(old) :]
        else:
            result[key] = new
    return result


def _inference(train: dict[str, Any], root: Path) -> dict[str, Any]:
    """The bundle's inference configuration with what it shares with training taken from there."""
    config = ConfigParser.load_config_file(str(root / "configs" / "inference.yaml"))
    if rebuilds_images(train):
        refuse = {"_target_": f"{refuse_masks.__module__}.{refuse_masks.__name__}"}
        config["initialize"] = [*(step for step in config["initialize"] if step != refuse), refuse]
    return config | {
        own: ConfigParser(copy.deepcopy(train))[theirs] for own, theirs in shared_ids(config, train).items()
    }


def shared_ids(inference: Mapping[str, Any], train: Mapping[str, Any]) -> dict[str, str]:
    """What inference and training must agree on: id of the one to id of the other."""
    return {key: key for key in inference if key in train and key not in OWN} | {"inferer": "validate::inferer"}


def _metadata(run_dir: Path, root: Path, train: dict[str, Any], epoch: int) -> dict[str, Any]:
    metadata = files.read_json(root / "configs" / "metadata.json")
    own = ConfigParser.load_config_file(str(root / "configs" / "train.yaml"))
    if any(train.get(name) != own.get(name) for name in ("network_def", "patch_size")):
        parser = ConfigParser(copy.deepcopy(train))
        _of_one_size(metadata, parser.get_parsed_content("patch_size"))
        names = {"image": 0} if rebuilds_images(train) else train["labels"]
        _of_channels(metadata, parser.get("network_def::out_channels"), names)
    with open(run_dir / "log.csv", newline="", encoding="utf-8") as stream:
        row = next(row for row in csv.DictReader(stream) if int(row["epoch"]) == epoch)  # of the weights
    scores = {key: float(value) for key, value in row.items() if key.startswith("val_") and value}
    scores = {key: value for key, value in scores.items() if math.isfinite(value)}  # of an absent label there is none
    record = files.read_json(run_dir / "record.json")
    return metadata | {"label_names": train["labels"], "scores": scores, "cases": record["cases"]}


def _of_channels(metadata: dict[str, Any], channels: Any, labels: Mapping[str, Any]) -> None:
    """A method's network may tell fewer labels apart, or more, than the bundle's own."""
    firsts = {name: value[0] if isinstance(value, list) else value for name, value in labels.items()}  # of a union
    names = {str(value): name for name, value in firsts.items()}
    for output in metadata["network_data_format"]["outputs"].values():
        if isinstance(channels, int) and channels != output["num_channels"]:
            output["num_channels"] = channels
            output["channel_def"] = {str(n): names.get(str(n), f"label {n}") for n in range(channels)}


def _of_one_size(metadata: dict[str, Any], patch_size: Sequence[int]) -> None:
    """Another network than the bundle's own is promised no input sizes but the one it was trained with."""
    form = metadata["network_data_format"]
    for side in (*form["inputs"].values(), *form["outputs"].values()):
        side["spatial_shape"] = list(patch_size)
