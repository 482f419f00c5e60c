"""Every bundle and method trains, evaluates and infers on tiny phantoms. A new bundle is covered by being there."""

import csv
import json
import re
from pathlib import Path

import pytest
import torch
from monai.bundle import verify_net_in_out
from runs import run

from medseg.cases import list_images
from medseg.errors import find
from medseg.volumes import PICTURES, read_volume, stem
from medseg.workflows.bundles import bundle_names, config_files, find_bundle, methods
from medseg.workflows.preflight import merge
from medseg.workflows.rebuilding import rebuilds_images

METHODS = [(bundle, method) for bundle in bundle_names() for method in (None, *methods(find_bundle(bundle)))]
TRAINED = ("checkpoints/last.pt", "checkpoints/best.pt", "log.csv", "config.yaml", "split.json", "record.json",
           "report.html", "bundle/models/model.pt", "bundle/configs/metadata.json")  # fmt: skip


def rows(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def mask_of(folder, item):
    """A picture's mask is a picture, any other NIfTI."""
    suffix = ".png" if Path(item["image"]).suffix in PICTURES else ".nii.gz"
    return read_volume(folder / f"{item['case']}{suffix}", label=True)


def merged(bundle, method):
    return merge(config_files(find_bundle(bundle), "train", method)).config


def trained(bundle, method, data, folder):
    """The row of a run's log; the run has left all that a run leaves."""
    run(bundle, "train", folder, data, method)
    assert [name for name in TRAINED if not (folder / name).is_file()] == []
    (row,) = rows(folder / "log.csv")
    assert float(row["loss"]) > 0
    assert torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["epoch"] == 1
    configs = folder / "bundle" / "configs"
    verify_net_in_out(
        "network_def", str(configs / "metadata.json"), str(configs / "inference.yaml"), device="cpu", n=4
    )  # the method's network, at the sizes that are promised for it
    return row


REBUILDS = [(bundle, method) for bundle, method in METHODS if rebuilds_images(merged(bundle, method))]
SEGMENTS = [each for each in METHODS if each not in REBUILDS]


@pytest.mark.parametrize(("bundle", "method"), REBUILDS, ids=lambda value: value or "default")
def test_trains_to_rebuild_images(bundle, method, phantoms, tmp_path):
    """Images come out and no masks: it is validated by their error, and refuses to segment."""
    data, folder = phantoms(bundle), tmp_path / "run"
    row = trained(bundle, method, data, folder)
    assert float(row["val_mae"]) == -float(row["val_negative_mae"]) > 0 < float(row["val_mae_constant"])
    split = json.loads((folder / "split.json").read_text())
    assert {path.stem for path in (folder / "previews").iterdir()} <= {item["case"] for item in split["validate"]}
    assert any((folder / "previews").iterdir()) and "Best validation error" in (folder / "report.html").read_text()
    with pytest.raises(Exception) as caught:
        run(folder / "bundle", "infer", tmp_path / "masks", data)
    assert re.search(r"E903.*rebuilds images and gives no masks.*medseg reconstruct", str(find(caught.value)))
    with pytest.raises(Exception) as caught:
        run(bundle, "evaluate", folder, data, method)
    assert re.search(r"E903.*no metric scores every case.*medseg reconstruct", str(find(caught.value)))


@pytest.mark.parametrize(
    ("bundle", "method"), [each for each in METHODS if each not in REBUILDS], ids=lambda value: value or "default"
)
def test_trains_evaluates_infers(bundle, method, phantoms, tmp_path):
    data, folder = phantoms(bundle), tmp_path / "run"
    assert 0 <= float(trained(bundle, method, data, folder)["val_mean_dice"]) <= 1

    split = json.loads((folder / "split.json").read_text())
    subset = "test" if split["test"] else "validate"
    run(bundle, "evaluate", folder, data, method, subset=subset)
    scored, images = rows(folder / "cases.csv"), list_images(data)
    cases = {row["case"] for row in scored}
    inference = json.loads((folder / "record.json").read_text())["inference"]
    assert inference["cases"] == len(cases) and inference["seconds_a_case"] > 0
    assert cases == {item["case"] for item in split[subset]} and {row["subset"] for row in scored} == {subset}
    units = {item["case"]: "px" if Path(item["image"]).suffix in PICTURES else "mm" for item in images}
    assert all(row["distance_unit"] == units[row["case"]] for row in scored)
    assert len({row["label"] for row in scored}) * len(cases) == len(scored) > 0
    assert {stem(path) for path in (folder / "predictions").iterdir()} == cases
    assert {path.stem for path in (folder / "previews").iterdir()} >= cases

    run(folder / "bundle", "infer", tmp_path / "masks", data)
    for item in images:
        image, mask = read_volume(item["image"]), mask_of(tmp_path / "masks", item)
        assert mask.geometry.shape == image.geometry.shape
        assert mask.geometry.displacement_mm(image.geometry) <= 1e-4
        if item["case"] in cases:
            evaluated = mask_of(folder / "predictions", item)
            assert (evaluated.array == mask.array).all()  # one network, two workflows, the same voxels
