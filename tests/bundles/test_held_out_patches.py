"""Loss and Dice of held-out cases as training sees its own."""

import csv

import pytest
import torch
from monai.data.utils import list_data_collate
from runs import ENGINES, narrow, run

from medseg.workflows.bundles import config_files, find_bundle
from medseg.workflows.preflight import merge


@pytest.mark.parametrize("bundle", ENGINES)
def test_held_out_cases_go_through_the_training(bundle, phantoms, tmp_path):
    """Against a loss and a Dice that this test computes, of the weights that the run ended with, in training's mode."""
    folder = run(bundle, "train", tmp_path / "run", phantoms(bundle), precision="float32", epochs=2, validations=1)
    with open(folder / "log.csv", newline="") as stream:
        first, last = csv.DictReader(stream)
    assert first["val_patch_loss"] == "" and 0 <= float(first["patch_dice"]) <= 1  # validated at the end alone
    root = find_bundle(bundle).absolute()
    files = config_files(root, "train")
    parser = merge(files)
    parser.update(narrow(files) | {"bundle_root": str(root), "dataset_dir": str(phantoms(bundle)),
                                   "output_dir": str(tmp_path / "other")})  # fmt: skip
    net, loss = parser.get_parsed_content("network"), parser.get_parsed_content("train::loss")
    net.load_state_dict(torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["trained_model"])
    dataset = parser.get_parsed_content("train::dataset")
    held = parser.get_parsed_content("cases")["validate"]
    dataset.set_data([{"image": item["image"], "label": item["reference"], "case": item["case"]} for item in held])
    samples = [dataset[draw, draw * len(dataset) // 8] for draw in range(8)]
    losses, both, sizes = [], 0, 0
    for place in range(0, 8, 2):
        batch = list_data_collate(samples[place : place + 2])
        with torch.no_grad():
            scores = net.train()(batch["image"])
        losses.append(float(loss(scores, batch["label"])))
        found = scores.argmax(1, keepdim=True) if scores.shape[1] > 1 else (scores > 0).long()
        names = torch.arange(1, max(2, scores.shape[1]))
        both += torch.stack([((found == v) & (batch["label"] == v)).sum() for v in names])
        sizes += torch.stack([(found == v).sum() + (batch["label"] == v).sum() for v in names])
    assert float(last["val_patch_loss"]) == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert float(last["val_patch_dice"]) == pytest.approx(float((2 * both / sizes).mean()), abs=1e-3)
    assert not (tmp_path / "other").exists()
