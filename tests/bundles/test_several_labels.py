"""More than one label in bundles of pictures, with nothing but the two settings that the model cards name."""

import csv

import numpy as np
import pytest
from PIL import Image
from runs import run

from medseg import errors
from medseg.volumes import read_volume

LABELS = {"background": 0, "left": 1, "right": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two boxes of different brightness in each picture."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for number in range(6):
        picture, mask = rng.integers(0, 60, (52, 48)), np.zeros((52, 48))
        for label, (columns, brightness) in enumerate(((slice(4, 20), 120), (slice(28, 44), 200)), start=1):
            mask[10:40, columns], picture[10:40, columns] = label, brightness
        for name, array in (("images", picture), ("masks", mask)):
            (folder / name).mkdir(exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("method", [None, "recommended"])
def test_two_labels_are_trained_scored_and_predicted(method, data, tmp_path):
    settings = {"labels": LABELS, "network_def::out_channels": 3}
    folder = run("chest_xray_lungs", "train", tmp_path / "run", data, method, epochs=40, **settings)
    run("chest_xray_lungs", "evaluate", folder, data, method, **settings)
    with open(folder / "cases.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["label"] for row in rows} == {"left", "right"}
    assert min(float(row["dice"]) for row in rows) > 0.5
    run(folder / "bundle", "infer", tmp_path / "masks", data / "images")
    assert set(np.unique(read_volume(tmp_path / "masks" / "0.png", label=True).array)) == {0, 1, 2}


def test_weights_that_learnt_the_complement_fit_no_other_network(phantoms, tmp_path):
    data = phantoms("lung_ct")
    folder = run("lung_ct", "train", tmp_path / "run", data, "inverse_mask")
    weights = str(folder / "bundle" / "models" / "model.pt")
    with pytest.raises(Exception, match=r"E802|Failed to evaluate") as caught:
        run("lung_ct", "infer", tmp_path / "masks", data, checkpoint_file=weights)
    ours = errors.find(caught.value)
    assert ours is not None and "E802" in str(ours)
    run(folder / "bundle", "infer", tmp_path / "turned", data)
