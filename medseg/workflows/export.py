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
from medseg.handlers.checkpoint_loader import read_weights

# Ids of an inference configuration that are its own; every other id that training has too is shared with it.
OWN = {"bundle_root", "dataset_dir", "output_dir", "overwrite", "checkpoint_file", "imports", "device", "network",
       "initialize", "run", "finalize"}  # fmt: skip
# What belongs to the machine or to one run, as a fresh bundle has it.
PLACES = {"bundle_root": ".", "dataset_dir": None, "output_dir": "$@bundle_root + '/runs/train'", "cache_dir": None,
          "overwrite": False, "resume": False}  # fmt: skip
MODEL = "$@bundle_root + '/models/model.pt'"
COPIED = ("LICENSE", "configs/logging.conf")


def export_run(run_dir: str | Path, bundle_root: str | Path) -> Path:
    """Write ``<run_dir>/bundle``: weights, metadata with label names and scores, and whole configurations.

    ``split.json`` names the training images by digest, so that no evaluation scores them. ``configs/{train,evaluate,
    inference}`` come as YAML and as JSON (which `monai.bundle.load` and MONAI's federated
    client look for), each complete in itself, with the run's network and settings and without its paths.

    Args:
        run_dir: a run folder after training; its ``config.yaml`` is what was run.
        bundle_root: the bundle that was trained.
    """
    run_dir, root = Path(run_dir), Path(bundle_root)
    target = run_dir / "bundle"
    train = yaml.safe_load((run_dir / "config.yaml").read_text(encoding="utf-8"))
    train.pop("_meta_", None)
    train |= {key: value for key, value in PLACES.items() if key in train}
    for name, config in (
        ("train", train),
        ("evaluate", _evaluate(train, root)),
        ("inference", _inference(train, root)),
    ):
        files.write_text(
            target / "configs" / f"{name}.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        )
        files.write_json(target / "configs" / f"{name}.json", config)
    files.write_json(target / "configs" / "metadata.json", _metadata(run_dir, root, train))
    files.write_json(target / "split.json", _split(run_dir))
    for name in COPIED:
        if (root / name).is_file():
            files.write_bytes(target / name, (root / name).read_bytes())
    stream = io.BytesIO()
    torch.save(read_weights(run_dir / "checkpoints" / "last.pt"), stream)
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
    return config | {
        own: ConfigParser(copy.deepcopy(train))[theirs] for own, theirs in shared_ids(config, train).items()
    }


def shared_ids(inference: Mapping[str, Any], train: Mapping[str, Any]) -> dict[str, str]:
    """What inference and training must agree on: id of the one to id of the other."""
    return {key: key for key in inference if key in train and key not in OWN} | {"inferer": "validate::inferer"}


def _metadata(run_dir: Path, root: Path, train: dict[str, Any]) -> dict[str, Any]:
    metadata = files.read_json(root / "configs" / "metadata.json")
    own = ConfigParser.load_config_file(str(root / "configs" / "train.yaml"))
    if any(train.get(name) != own.get(name) for name in ("network_def", "patch_size")):
        _of_one_size(metadata, ConfigParser(copy.deepcopy(train)).get_parsed_content("patch_size"))
    with open(run_dir / "log.csv", newline="", encoding="utf-8") as stream:
        last = list(csv.DictReader(stream))[-1]  # of the weights that are exported
    scores = {key: float(value) for key, value in last.items() if key.startswith("val_") and value}
    scores = {key: value for key, value in scores.items() if math.isfinite(value)}  # of an absent label there is none
    record = files.read_json(run_dir / "record.json")
    return metadata | {"label_names": train["labels"], "scores": scores, "cases": record["cases"]}


def _of_one_size(metadata: dict[str, Any], patch_size: Sequence[int]) -> None:
    """Another network than the bundle's own is promised no input sizes but the one it was trained with."""
    form = metadata["network_data_format"]
    for side in (*form["inputs"].values(), *form["outputs"].values()):
        side["spatial_shape"] = list(patch_size)
