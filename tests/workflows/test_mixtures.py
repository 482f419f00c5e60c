"""Mixtures slice by slice, on slices whose scores are known beforehand."""

import csv

import numpy as np
import pytest
from PIL import Image

from medseg.errors import DataError
from medseg.geometry import Geometry
from medseg.volumes import Volume, write_volume
from medseg.workflows.mixtures import tabulate_mixtures

BOX, SPOT = (slice(4, 12), slice(4, 12)), (slice(6, 8), slice(6, 8))


def case(folder, number, image, label, affine=None):
    geometry = Geometry(np.eye(4) if affine is None else affine, image.shape)
    write_volume(folder / "images" / f"case_{number}.nii.gz", Volume(image.astype(np.int16), geometry))
    write_volume(folder / "labels" / f"case_{number}.nii.gz", Volume(label.astype(np.uint8), geometry))


@pytest.fixture
def data(tmp_path):
    """Four slices: background alone, a bright liver, a bright liver with a brighter tumour, a dark liver."""
    rng = np.random.default_rng(0)
    image, label = np.zeros((16, 16, 4)), np.zeros((16, 16, 4))
    for z in (1, 2, 3):
        label[(*BOX, z)] = 1
        image[(*BOX, z)] = -300 if z == 3 else 300
    label[(*SPOT, 2)], image[(*SPOT, 2)] = 2, 600
    case(tmp_path / "data", 0, image + rng.integers(-5, 6, image.shape), label)
    return tmp_path / "data"


def test_the_dice_of_every_slice(data, tmp_path):
    lines = tabulate_mixtures(data, tmp_path / "out")
    with open(tmp_path / "out" / "slices.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["n_labels"] for row in rows] == ["1", "2", "3", "2"]
    assert rows[0]["sorted_means"] in ("", "nan")
    assert [float(row["sorted_means"]) for row in rows[1:3]] == [1.0, 1.0]
    dark_as_bright = 2 * 0 / (192 + 64)  # what is bright in the last slice is the background
    assert float(rows[3]["sorted_means"]) == dark_as_bright
    assert [float(row["best_permutation"]) for row in rows[1:]] == [1.0, 1.0, 1.0]
    assert lines[0].split() == ["slices", "3", "labels", "2", "labels", "1", "label", "all"]
    assert lines[1].split() == ["train", "1", "2", "1", "4"]
    assert lines[4].split() == ["3", "labels", "sorted", "means", "1.0000", "-", "1.0000", "1"]
    assert lines[6].split() == ["2", "labels", "sorted", "means", "0.5000", "0.5000", "1.0000", "2"]
    assert Image.open(tmp_path / "out" / "dice.png").size[0] > 400


def test_the_oracle_is_an_upper_bound_on_what_is_reported(tmp_path):
    """A small structure among voxels as bright: the Dice of the background must not decide."""
    rng = np.random.default_rng(1)
    label = np.zeros((16, 16, 3))
    label[6:9, 6:9] = 1
    image = np.where(rng.random(label.shape) < 0.6, 300, 0) + rng.integers(-5, 6, label.shape)
    case(tmp_path / "data", 0, image, label)
    tabulate_mixtures(tmp_path / "data", tmp_path / "out")
    with open(tmp_path / "out" / "slices.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert all(float(row["best_permutation"]) >= float(row["sorted_means"]) > 0 for row in rows)


def test_slices_are_axial_whatever_the_axes(data, tmp_path):
    image = np.zeros((4, 16, 16))
    image[1:, 4:12, 4:12] = 300
    label = (image > 0).astype(int)
    affine = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])  # the first axis runs upwards
    case(data, 1, image, label, affine)
    tabulate_mixtures(data, tmp_path / "out")
    with open(tmp_path / "out" / "slices.csv", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["case"] == "case_1"]
    assert [row["n_labels"] for row in rows] == ["1", "2", "2", "2"]


def test_a_data_set_without_labels_is_refused(data, tmp_path):
    (data / "labels" / "case_0.nii.gz").unlink()
    with pytest.raises(DataError, match="E101"):
        tabulate_mixtures(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
