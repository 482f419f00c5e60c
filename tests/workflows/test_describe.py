import html
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from medseg import files
from medseg.cases.phantoms import write_phantom
from medseg.errors import DataError, UsageError
from medseg.reports.markup import TIMES
from medseg.workflows import describe
from medseg.workflows.bundles import config_files, find_bundle
from medseg.workflows.describe import describe_bundle

ODD = "<img src=x onerror=alert(1)> $x$"
SMALL = {
    "network_def::filters": [4, 4, 8, 8],
    "patch_size": [16, 16, 16],
    "validate::inferer::inferer::inferer::overlap": 0,
}


SLICES = """
patch_size: [32, 32]
network_def: {_target_: UNet, spatial_dims: 2, in_channels: 1, out_channels: 3, channels: [4, 8], strides: [2]}
train::dataset::_target_: medseg.caches.CachedSlices
train::dataset::axis: coronal
train::augmentation:
- {_target_: medseg.transforms.RandAffinePatchd, keys: [image, label], label_key: label, patch_size: '@patch_size'}
validate::inferer: {_target_: SliceInferer, roi_size: '@patch_size', spatial_dim: 1}
"""


def described(root, out, method=None, **settings):
    return describe_bundle(root, config_files(root, "train", method), settings, out)


def text(folder):
    """The page's text, and the page."""
    page = (Path(folder) / "describe.html").read_text(encoding="utf-8")
    return " ".join(html.unescape(re.sub(r"<(style).*?</\1>|<[^>]*>", " ", page, flags=re.S)).split()), page


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_phantom("hippocampus_mri", tmp_path_factory.mktemp("data") / "phantoms", 4)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A copy with names of any kind and a method that changes the network."""
    root = tmp_path_factory.mktemp("bundle") / "odd <b>& bundle"
    shutil.copytree(find_bundle("hippocampus_mri"), root)
    metadata = files.read_json(root / "configs" / "metadata.json") | {"name": ODD, "description": "</td></script>"}
    files.write_json(root / "configs" / "metadata.json", metadata)
    network = {"_target_": "SegResNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 3, "init_filters": 8,
               "blocks_down": [1, 1], "blocks_up": [1]}  # fmt: skip
    (root / "configs" / "tiny.yaml").write_text(yaml.safe_dump({"network_def": network}))
    (root / "configs" / "slices.yaml").write_text(SLICES)
    return root


@pytest.fixture(scope="module")
def page(bundle, data, tmp_path_factory):
    """The description of the method, on data, and the lines for a terminal."""
    out = tmp_path_factory.mktemp("out") / "described"
    labels = {"background": 0, ODD: 1, "_posterior": 2}
    lines = described(bundle, out, "tiny", dataset_dir=str(data), patch_size=[16, 16, 16], labels=labels, batch_size=2)
    return out, lines


def test_the_page_says_what_was_counted(page):
    from monai.networks.nets import SegResNet

    out, lines = page
    shown, _ = text(out)
    network = SegResNet(init_filters=8, out_channels=3, blocks_down=[1, 1], blocks_up=[1])
    parameters = sum(each.numel() for each in network.parameters())
    assert f"{parameters:,}" in shown and f"SegResNet: {parameters:,} parameters" in lines[1]
    for said in ("RandAffinePatchd", "patch_size [16, 16, 16]", "DiceCELoss: ", "softmax True", "OneCycleLR", "tiny",
                 "random weights", "CPU, torch threads", "AdamW: lr 0.005", "MirrorInferer"):  # fmt: skip
        assert said in shown, said
    assert lines[-1] == str(out / "describe.html") and "nothing was trained" in lines[0]


def test_the_figures_are_there(page):
    out, _ = page
    assert sorted(path.name for path in (out / "figures").iterdir()) == [
        "augmented_batches.png", "schedule.png", "workflow.png"
    ]  # fmt: skip
    for path in (out / "figures").iterdir():
        Image.open(path).verify()
    assert sorted(path.name for path in out.iterdir()) == ["describe.html", "figures"]


def test_names_stay_text(page):
    shown, written = text(page[0])
    assert ODD in shown and "<img src=x" not in written and "</script>" not in written
    assert "http://" not in written and "https://" not in re.sub(r"<style>.*?</style>", "", written, flags=re.S)


def test_a_method_that_is_trained_on_slices(bundle, data, tmp_path):
    lines = described(bundle, tmp_path / "out", "slices", dataset_dir=str(data), cache_dir=str(tmp_path / "cache"))
    shown, _ = text(tmp_path / "out")
    assert "UNet" in lines[1] and f"7 Slice 1{TIMES}" in shown
    assert f"patch of 1{TIMES}32{TIMES}32" in shown


def test_without_data_the_cases_are_made_up_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(describe, "PHANTOMS", 3)
    monkeypatch.setattr(describe, "TIMED_CASES", 1)
    root = find_bundle("hippocampus_mri")
    before = torch.random.get_rng_state()
    lines = described(root, tmp_path / "out", **SMALL)
    assert "made-up cases" in lines[0] and "made-up cases, not those of the task" in text(tmp_path / "out")[0]
    assert described(root, tmp_path / "out", **SMALL)[-1] == lines[-1]  # over an earlier description
    assert not (root / "runs").exists() and len(before) == len(torch.random.get_rng_state())


def test_a_bundle_without_made_up_cases_asks_for_data(bundle, tmp_path):
    with pytest.raises(UsageError, match=r"E901.*--data"):
        described(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_images_an_unknown_method_and_an_unknown_key_are_refused(bundle, data, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        described(bundle, tmp_path / "out", dataset_dir=str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="no such method"):
        described(bundle, tmp_path / "out", "tinny", dataset_dir=str(data))
    with pytest.raises(UsageError, match="unknown key"):
        described(bundle, tmp_path / "out", dataset_dir=str(data), patch_sise=[1])
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(bundle, data, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "mine.txt").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "held", data / "described"):
        with pytest.raises(DataError, match="E503"):
            described(bundle, out, dataset_dir=str(data))
    assert not (data / "described").exists() and (tmp_path / "file").read_text() == "mine"


def test_a_label_that_is_brought_to_size_after_its_image(tmp_path):
    """Between the two transforms they lie on different grids: the image is shown without its label."""
    data = write_phantom("chest_xray_lungs", tmp_path / "data", 4)
    root = find_bundle("chest_xray_lungs")
    settings = {"dataset_dir": str(data), "image_size": [32, 32], "network_def::width": 2, "batch_size": 2}
    described(root, tmp_path / "out", **settings, workers=0)
    words, _ = text(tmp_path / "out")
    assert "Resized" in words and (tmp_path / "out" / "figures" / "workflow.png").is_file()
