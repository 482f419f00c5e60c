"""The settings that reports name, value by value, in the methods and budgets that are called after them."""

from pathlib import Path

import pytest
import torch

from medseg.cases.case import Case
from medseg.cases.folds import hold_out
from medseg.workflows.bundles import config_files, find_bundle
from medseg.workflows.preflight import merge
from medseg.workflows.studies.study_file import budget_subset, chosen_budget, read_study_file

SRIKER = ("chest_xray_lungs", "prostate_mri")
CHAHINE = {"lung_ct": [512, 512], "skin_lesion": [256, 256]}


def preset(bundle, method):
    root = find_bundle(bundle)
    return merge(config_files(root, "train", method), {"bundle_root": str(root), "network_def::width": 2})


@pytest.mark.parametrize("bundle", SRIKER)
def test_unet_reported(bundle):
    parser = preset(bundle, "unet_reported")
    config = parser.config
    assert (config["epochs"], config["batch_size"], config["image_size"]) == (75, 12, [256, 256])
    assert config["validations"] == "@epochs" and config["average_decay"] == 0 and config["weights"] == "best"
    label = next(name for name in config["labels"] if name != "background")
    assert config["best_also"] == [f"val_iou_{label}"]
    parser.parse()
    optimizer = parser.get_parsed_content("train::optimizer")
    given = optimizer.defaults
    assert type(optimizer) is torch.optim.RMSprop
    assert (given["lr"], given["momentum"], given["weight_decay"]) == (1e-4, 0.9, 1e-7)
    assert type(parser.get_parsed_content("train::loss")) is torch.nn.BCEWithLogitsLoss
    trainer = config["train"]["trainer"]
    assert trainer["clip_value"] == 0.1 and trainer["clip_norm"] is None
    plateau = [each for each in config["train"]["handlers"] if "ReduceRateOnPlateau" in str(each.get("_target_"))]
    assert len(plateau) == 1
    flips = [each for each in config["train"]["augmentation"] if each["_target_"] == "RandFlipd"]
    assert [(each["keys"], each["prob"], each["spatial_axis"]) for each in flips] == [(["image", "label"], 0.5, 0)]


@pytest.mark.parametrize("bundle", CHAHINE)
def test_map_net_reported(bundle):
    parser = preset(bundle, "map_net_reported")
    config = parser.config
    assert (config["epochs"], config["batch_size"], config["image_size"]) == (100, 4, CHAHINE[bundle])
    assert config["network_def"]["norm_momentum"] == 0.01 and config["average_decay"] == 0
    parser.parse()
    optimizer = parser.get_parsed_content("train::optimizer")
    assert type(optimizer) is torch.optim.Adam and optimizer.defaults["lr"] == 1e-4
    assert type(parser.get_parsed_content("train::loss")) is torch.nn.BCEWithLogitsLoss
    steps = [(each["_target_"], each.get("spatial_axis")) for each in config["train"]["augmentation"]]
    assert steps[:3] == [("RandFlipd", 0), ("RandFlipd", 1), ("RandRotate90d", None)]


def test_the_split_of_isic_2018():
    """2,594 pictures: 1,815 to train on, 259 to validate and 520 to test."""
    budget = chosen_budget(read_study_file(find_bundle("skin_lesion")), "paper")
    assert (budget["tested"], budget["held_out"]) == (520, 259)
    rest, tested = hold_out([Case(f"ISIC_{n}", (Path(f"{n}.jpg"),)) for n in range(2594)], budget["tested"], 0)
    train, held = hold_out(rest, budget["held_out"], 0)
    assert (len(train), len(held), len(tested)) == (1815, 259, 520)


@pytest.mark.parametrize("bundle", ["lung_ct", "retina_vessels", "skin_lesion"])
def test_where_published_rows_are_of_test_cases_ours_are_too(bundle):
    assert budget_subset(read_study_file(find_bundle(bundle)), "paper") == "test"


def test_the_split_of_the_lung_slices():
    """1,021 slices of as many patients: 714 to train on and 307 to test. Slices of one patient stay together."""
    budget = chosen_budget(read_study_file(find_bundle("lung_ct")), "paper")
    train, tested = hold_out([Case(f"s{n}", (Path(f"{n}.tif"),)) for n in range(1021)], budget["tested"], 0)
    assert (len(train), len(tested)) == (714, 307)
    train, tested = hold_out([Case(f"s{n}", (Path(f"{n}.tif"),), group=f"p{n % 10}") for n in range(1021)], 0.3, 0)
    assert tested and not {case.group for case in train} & {case.group for case in tested}
