"""The settings that the report on DRIVE names, as `map_net_reported` has them, and scores inside the field of view."""

import csv
import logging
import shutil

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from runs import run
from skimage.exposure import equalize_adapthist

from medseg.caches import OneThreadDataset
from medseg.cases import split_cases
from medseg.cases.phantoms.layouts import drive
from medseg.volumes import read_volume
from medseg.workflows.bundles import config_files, find_bundle
from medseg.workflows.preflight import merge

LABELS = {"background": 0, "vessel": 1}


def configured(method="map_net_reported", workflow="train", **overrides):
    """A method's configuration with its data folder and cache, nothing built yet."""
    small = {"network_def::width": 2, "device": "$torch.device('cpu')", "workers": 0}
    return merge(config_files(find_bundle("retina_vessels"), workflow, method), small | overrides)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """20 training and 20 test photographs of 140 x 150 pixels in DRIVE's layout."""
    folder = tmp_path_factory.mktemp("drive")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drive, "SHAPE", (140, 150))
        patch.setattr(drive, "n_tests", lambda cases: 20)
        drive.write(folder, 20, seed=0)
    return folder


@pytest.fixture(scope="module")
def reported(photographs, tmp_path_factory):
    """The reported configuration on them."""
    cache = tmp_path_factory.mktemp("cache")
    cache.chmod(0o700)
    return configured(dataset_dir=str(photographs), cache_dir=str(cache))


def test_18_images_to_train_on_2_to_validate_and_20_to_test(reported):
    cases = reported.get_parsed_content("cases")
    assert {name: len(items) for name, items in cases.items()} == {"train": 18, "validate": 2, "test": 20}


def test_171000_patches_an_epoch_9500_of_each_image(reported):
    """In an epoch's order each image is there 9,500 times; 2 more images would give 19,000."""
    dataset, sampler = (reported.get_parsed_content(f"train::{name}") for name in ("dataset", "sampler"))
    assert len(dataset) == len(sampler) == 171_000 == 9_500 * 18
    assert len(reported.get_parsed_content("train::dataloader")) == 171_000 // 4
    counts = np.bincount([index % 18 for _, index in sampler])
    assert counts.tolist() == [9_500] * 18
    assert reported["patches_per_image"] * len(reported.get_parsed_content("cases")["validate"]) == 19_000


def test_whole_patches_lie_within_the_field_of_view(reported):
    """Discs of radius 70 of which centres up to 70 - 32 sqrt(2) from the middle are left."""
    dataset = reported.get_parsed_content("train::dataset")
    middles = []
    for index in range(0, 171_000, 2_000):
        item = dataset[1, index]
        assert item["image"].shape == item["label"].shape == (1, 64, 64)
        assert set(item) >= {"image", "label", "case"} and "field_of_view" not in item
    crop = reported.get_parsed_content("train::augmentation")[1]
    stored = dataset._files[0].read(0)  # after all that is not random: the field has its margin
    for seed in range(60):
        patch = crop.set_random_state(seed=seed)(dict(stored))["image"]
        middles.append(np.asarray(patch.affine)[:2, 3] + 31.5)
    away = np.linalg.norm(np.array(middles) - (70, 75), axis=1)
    assert away.max() <= 70 - 32 * 2**0.5 + 1 and away.max() > 15


def test_anywhere_where_the_restriction_is_lifted(photographs, tmp_path):
    parser = configured(dataset_dir=str(photographs), field_margin=None, cache_dir=str(tmp_path / "cache"))
    steps = parser.get_parsed_content("train::augmentation")
    assert steps[1].inside_key is None and steps[0].margin == 0


def test_vessels_count_twice_in_the_loss(reported):
    """TensorFlow's weighted_cross_entropy_with_logits: 2 y softplus(-x) + (1 - y) softplus(x)."""
    logits = torch.tensor([-3.0, -0.2, 0.7, 5.0]).repeat(2)
    truth = torch.tensor([0.0] * 4 + [1.0] * 4)
    expected = (2 * truth * np.log1p(np.exp(-logits)) + (1 - truth) * np.log1p(np.exp(logits))).mean()
    found = reported.get_parsed_content("train::loss")(logits[None, None], truth[None, None])
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_the_rate_is_003_for_50_epochs_and_0001_for_20():
    parser = configured(**{"train::steps": 70, "train::optimizer::params": [torch.nn.Parameter(torch.zeros(1))]})
    optimizer, scheduler = (parser.get_parsed_content(f"train::{name}") for name in ("optimizer", "scheduler"))
    rates = []
    for _ in range(70):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert isinstance(optimizer, torch.optim.Adam)
    assert rates == pytest.approx([0.03] * 50 + [0.001] * 20)


def test_the_unverified_rate_comes_with_a_warning(caplog):
    def warned(**overrides):
        caplog.clear()
        parser = configured(**overrides)
        with caplog.at_level(logging.WARNING):
            parser.get_parsed_content(f"initialize::{len(parser['initialize']) - 1}")
        return "30 times" in caplog.text and "not verified" in caplog.text

    assert warned() and warned(learning_rate=0.1)
    assert not warned(learning_rate=0.001)


def test_patches_are_mirrored_and_turned_by_right_angles_without_loss(reported):
    """All eight symmetries of a patch occur, each bit for bit, label and image alike."""
    steps = Compose(reported.get_parsed_content("train::augmentation")[2:])
    patch = torch.arange(64.0 * 64).reshape(1, 64, 64)
    symmetries = [torch.rot90(turned, k, (1, 2)) for turned in (patch, patch.flip(1)) for k in range(4)]
    seen = set()
    for seed in range(100):
        steps.set_random_state(seed=seed)
        found = steps({"image": patch.clone(), "label": patch.clone(), "field_of_view": patch})
        assert torch.equal(found["image"], found["label"])
        (which,) = [n for n, other in enumerate(symmetries) if torch.equal(found["image"], other)]
        seen.add(which)
    assert seen == set(range(8))


class Counting:
    """A network that says the same everywhere, and counts its windows."""

    def __init__(self):
        self.windows = 0

    def __call__(self, windows):
        self.windows += len(windows)
        assert windows.shape[1:] == (1, 64, 64)
        return torch.full_like(windows, 1.5)


def test_windows_are_5_pixels_apart_and_overlaps_are_averaged(reported):
    """Along 74 and 69 pixels 3 and 2 windows of 64 fit, 5 apart; what is the same in all is the mean."""
    network = Counting()
    found = reported.get_parsed_content("validate::inferer")(torch.zeros(1, 1, 74, 69, 1), network)
    assert network.windows == 3 * 2
    assert torch.allclose(found, torch.full_like(found, 1.5), atol=1e-5)


def test_grey_clahe_and_gamma_keep_to_0_to_1(photographs):
    """Against scikit-image on the weighted colours; the network is fed (x - 0.5) / 0.25."""
    parser = configured(method=None)
    item = split_cases(str(photographs), LABELS)["validate"][0]
    fed = OneThreadDataset([item], Compose(parser.get_parsed_content("deterministic")))[0]["image"][0, ..., 0].numpy()
    red, green, blue = read_volume(item["image"]).array[..., 0].astype(np.float64)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    spread = (grey - grey.min()) / (grey.max() - grey.min())
    tiles = [-(-n // 8) for n in grey.shape]
    expected = equalize_adapthist(spread, tiles, 2 / 256, 256) ** (1 / 1.2)
    assert expected.min() >= 0 and expected.max() <= 1
    assert np.abs(0.25 * fed + 0.5 - expected).mean() < 1e-3
    assert fed.min() >= -2 and fed.max() <= 2


def table(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_evaluation_counts_the_field_alone_and_shows_the_second_observer(phantoms, tmp_path):
    """The phantom's two test photographs; one has lost its mask, which is found from the image."""
    data = shutil.copytree(phantoms("retina_vessels"), tmp_path / "data")
    (lost,) = data.rglob("02_test_mask.gif")
    true = int((read_volume(lost).array > 0).sum())
    lost.unlink()
    out = run("retina_vessels", "train", tmp_path / "run", data)
    run("retina_vessels", "evaluate", out, data, subset="test")
    (kept,) = data.rglob("01_test_mask.gif")
    voxels = sum(int(row["voxels"]) for row in table(out / "confusion.csv"))
    assert voxels == pytest.approx(int((read_volume(kept).array > 0).sum()) + true, rel=0.005)
    rows = table(out / "cases.csv")
    assert {row["case"] for row in rows} == {"01_test", "02_test"}
    assert all(0 <= float(row["roc_auc"]) <= 1 for row in rows)
    second = [row for row in table(out / "baselines.csv") if row["baseline"] == "second observer"]
    assert [row["case"] for row in second] == ["01_test", "02_test"]
    assert all(0.6 < float(row["dice"]) < 0.95 for row in second)
    assert "Dice: second observer" in (out / "report.html").read_text(encoding="utf-8")


def test_the_published_rows_are_what_was_printed_and_what_follows_from_it():
    """F1 from the printed sensitivity, specificity and accuracy, where a row does not agree with itself."""
    rows = ConfigParser.load_config_file(str(find_bundle("retina_vessels") / "configs" / "study.yaml"))["published"]
    scores = {row["method"]: row["scores"]["vessel"] for row in rows}
    assert scores["MAP-Net"]["dice"] == 0.8083 and scores["BCDU-Net"]["roc_auc"] == 0.9788
    for method, own in scores.items():
        if len(own) < 5:
            continue
        se, sp, ac = (own[name] for name in ("sensitivity", "specificity", "accuracy"))
        share = (ac - sp) / (se - sp)
        implied = 2 * share * se / (share * (1 + se) + (1 - share) * (1 - sp))
        corrected = scores.get(f"{method}, corrected", own)["dice"]
        assert corrected == pytest.approx(implied, abs=0.001), method
        assert ("corrected" in str([name for name in scores if name.startswith(method)])) == (
            abs(own["dice"] - implied) > 0.005
        )
