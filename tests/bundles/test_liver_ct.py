"""What is particular to volumes of CT: other units, single slices, volumes smaller than a patch, no tumours."""

import csv
import re

import numpy as np
import pytest
from runs import run

from medseg import errors
from medseg.geometry import Geometry
from medseg.volumes import Volume, read_volume, write_volume


def draw(shape, seed):
    """A body in air with a bright box for a liver."""
    image = np.full(shape, -1000.0)
    inner = tuple(slice(n // 8, -(n // 8) or None) if n > 4 else slice(None) for n in shape)
    image[inner] = -80
    box = tuple(slice(n // 4, n // 2) if n > 4 else slice(None) for n in shape)
    image[box] = 110
    label = np.zeros(shape, np.uint8)
    label[box] = 1
    return image + np.random.default_rng(seed).normal(0, 10, shape), label


def write_set(folder, shapes, units=lambda hu: hu):
    for number, shape in enumerate(shapes):
        image, label = draw(shape, number)
        geometry = Geometry(np.diag([4.0, 4.0, 5.0, 1.0]), shape)
        write_volume(folder / "images" / f"ct_{number}.nii.gz", Volume(units(image).astype(np.float32), geometry))
        write_volume(folder / "labels" / f"ct_{number}.nii.gz", Volume(label, geometry))
    return folder


@pytest.mark.parametrize("method", [None, "em"])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("units", [lambda hu: (hu + 1000) / 2000, lambda hu: (hu - hu.mean()) / hu.std()])
def test_volumes_in_other_units_are_refused(method, units, workers, tmp_path):
    """In a loader's worker too, of which the text of a traceback is all that is left."""
    data = write_set(tmp_path / "data", [(24, 24, 12)] * 5, units)
    with pytest.raises(RuntimeError) as caught:  # MONAI's, around ours
        run("liver_ct", "train", tmp_path / "run", data, method, workers=workers)
    ours = errors.find(caught.value)
    assert type(ours) is errors.DataError and re.fullmatch(r"\[E405\] \S*ct_\d.*Hounsfield.*; fix: .*", str(ours))


OTHER = {"hounsfield": False, "labels": {"background": 0, "tumour": 1}, "network_def::out_channels": 2}


@pytest.mark.parametrize("method", [None, "autoencoder_c2", "em", "em_reported"])
def test_images_of_another_modality_and_another_label(method, tmp_path):
    """As PET: no window, no body, and the brightest of a mixture's components is the label."""
    data = write_set(tmp_path / "data", [(24, 24, 12)] * 5, lambda hu: np.clip(hu, -80, None) / 40 + 2)
    folder = run("liver_ct", "train", tmp_path / "run", data, method, **OTHER)
    run("liver_ct", "evaluate", folder, data, method, **OTHER)
    with open(folder / "cases.csv", newline="") as stream:
        dice = {row["label"]: float(row["dice"]) for row in csv.DictReader(stream)}
    assert set(dice) == {"tumour"} and (method != "em" or dice["tumour"] > 0.98)
    run(folder / "bundle", "infer", tmp_path / "masks", data / "images")
    assert len(list((tmp_path / "masks").glob("*.nii.gz"))) == 5


@pytest.mark.parametrize("method", [None, "unet_2d", "unet_c1", "em"])
def test_single_slices_and_volumes_smaller_than_a_patch(method, tmp_path):
    """None of them holds a tumour, which is left out of every mean."""
    shapes = [(24, 24, 1), (30, 26, 1), (16, 14, 6), (24, 20, 12), (40, 36, 9)]
    data = write_set(tmp_path / "data", shapes)
    folder = run("liver_ct", "train", tmp_path / "run", data, method, held_out=2)
    run("liver_ct", "evaluate", folder, data, method)
    with open(folder / "cases.csv", newline="") as stream:
        rows = {(row["case"], row["label"]): row for row in csv.DictReader(stream)}
    assert {label for _, label in rows} == {"liver", "tumour"}
    run(folder / "bundle", "infer", tmp_path / "masks", data / "images")
    for number, shape in enumerate(shapes):
        mask = read_volume(tmp_path / "masks" / f"ct_{number}.nii.gz", label=True)
        assert mask.geometry.shape == shape and set(np.unique(mask.array)) <= {0, 1, 2}


@pytest.mark.parametrize("method", ["unet_c1", "em"])
def test_probabilities_of_networks_that_take_tumours_for_liver(method, tmp_path):
    """As the study's budgets score them: what has no channel for tumours gives them no probability."""
    settings = {"probabilities": "prob", "metrics": ["dice", "soft_dice_with_background"]}
    data = write_set(tmp_path / "data", [(40, 36, 12)] * 5)
    folder = run("liver_ct", "train", tmp_path / "run", data, method, **settings)
    run("liver_ct", "evaluate", folder, data, method, **settings)
    with open(folder / "cases.csv", newline="") as stream:
        scores = {row["label"]: row["soft_dice_with_background"] for row in csv.DictReader(stream)}
    assert 0 < float(scores["liver"]) < 1 and scores["tumour"] == ""  # absent


def test_the_mixture_finds_what_is_brightest_in_a_body(tmp_path):
    data = write_set(tmp_path / "data", [(40, 36, 12)] * 5)
    settings = {"network_def::labels": [0, 1], "largest_components": 1}  # fat and liver
    folder = run("liver_ct", "train", tmp_path / "run", data, "em", **settings)
    run("liver_ct", "evaluate", folder, data, "em", **settings)
    with open(folder / "cases.csv", newline="") as stream:
        dice = [float(row["dice"]) for row in csv.DictReader(stream) if row["label"] == "liver"]
    assert dice and min(dice) > 0.98
