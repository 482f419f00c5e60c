"""Phantoms of pictures: same bytes, whole layout, valid cases, a shifted test split, out of reach of thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from oracle import BASELINES, clusters, colour_clusters, oracle_dice
from PIL import Image
from scipy.ndimage import distance_transform_edt, label

from medseg.cases.case import Case
from medseg.cases.layouts import read_data_set
from medseg.cases.lists import split_cases
from medseg.cases.phantoms import chest_xray_lungs, write_phantom
from medseg.volumes import read_volume

CASES, TESTS, SEED = 8, 2, 2
RED, GREEN, BLUE = 0.299, 0.587, 0.114

Array = npt.NDArray
Picture = tuple[Array, Array]  # (X, Y) or (3, X, Y) intensities, and (X, Y) mask


def _of_white(image: Array, mask: Array) -> float:
    """How bright the structure is, as a fraction of what is nearly the brightest."""
    return float(image[mask].mean() / np.percentile(image, 95))


def _of_red(image: Array, _: Array) -> float:
    """How blue the picture is, as a fraction of its red."""
    return float(np.median(image[2]) / np.median(image[0]))


@dataclass(frozen=True)
class Task:
    """What is promised of a task's phantoms.

    Attributes:
        name: of its module.
        layout, structure: what the folder is recognised as, and the name of the label.
        share: the least and the largest part of a picture that the structure covers.
        sides: the least and the longest side of a picture, in pixels.
        pieces: connected parts of which the structure has most of its pixels.
        shifted: a measure of a picture, and whether it is larger (1) or smaller (-1) in the test split.
        bound: the largest mean Dice that thresholds and mixtures may reach.
    """

    name: str
    layout: str
    structure: str
    share: tuple[float, float]
    sides: tuple[int, int]
    pieces: int
    shifted: tuple[Callable[[Array, Array], float], int]
    bound: float


TASKS = [
    Task("chest_xray_lungs", "chest_xray_masks", "lung", (0.15, 0.40), (160, 220), 2, (_of_white, 1), 0.65),
    Task("retina_vessels", "drive", "vessel", (0.06, 0.15), (200, 208), 1, (_of_red, -1), 0.5),
    Task("skin_lesion", "isic2018", "lesion", (0.05, 0.35), (160, 256), 1, (_of_red, -1), 0.65),
]


@pytest.fixture(scope="module", params=TASKS, ids=lambda task: task.name)
def task(request: pytest.FixtureRequest) -> Task:
    return request.param


@pytest.fixture(scope="module")
def folder(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(task.name, tmp_path_factory.mktemp("phantoms") / task.name, CASES, SEED)


@pytest.fixture(scope="module")
def one(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(task.name, tmp_path_factory.mktemp("phantoms") / "one", 1, SEED)


@pytest.fixture(scope="module")
def training(folder: Path) -> list[Picture]:
    return [_read(case) for case in read_data_set(folder).subset("labelled")]


@pytest.fixture(scope="module")
def test(folder: Path) -> list[Picture]:
    return [_read(case) for case in read_data_set(folder).subset("test")]


def _read(case: Case) -> Picture:
    image = read_volume(case.images[0]).array[..., 0]
    return image.astype(np.float64), read_volume(case.labels[0], label=True).array[..., 0] > 0


def _grey(image: Array) -> Array:
    return np.rint(RED * image[0] + GREEN * image[1] + BLUE * image[2]) if image.ndim == 3 else image


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_same_seed_gives_the_same_bytes(task: Task, one: Path, tmp_path: Path) -> None:
    assert _bytes(write_phantom(task.name, tmp_path, 1, SEED)) == _bytes(one)


def test_another_seed_gives_other_pictures_of_the_same_names(task: Task, one: Path, tmp_path: Path) -> None:
    first, other = _bytes(one), _bytes(write_phantom(task.name, tmp_path / "other", 1, SEED + 1))
    assert first.keys() == other.keys()
    drawn = {f"{path.relative_to(one)}" for case in read_data_set(one).cases for path in (*case.images, *case.labels)}
    assert len(drawn) == 2 * (1 + 2)
    assert all(first[name] != other[name] for name in drawn)


def test_a_case_does_not_depend_on_how_many_there_are(one: Path, folder: Path) -> None:
    for subset in ("labelled", "test"):
        few, many = (read_data_set(root).subset(subset)[0] for root in (one, folder))
        for kind in ("images", "labels"):
            assert getattr(few, kind)[0].read_bytes() == getattr(many, kind)[0].read_bytes()


def test_layout_is_found_whole(task: Task, folder: Path) -> None:
    found = read_data_set(folder)
    assert (found.layout, found.labels.foreground) == (task.layout, [task.structure])
    counts = {name: len(found.subset(name)) for name in ("labelled", "validate", "test", "images")}
    assert counts == {"labelled": CASES, "validate": 0, "test": TESTS, "images": TESTS}
    assert (len(found.cases), found.ignored) == (CASES + TESTS, {})


def test_cases_can_be_trained_on_and_scored(task: Task, folder: Path) -> None:
    cases = split_cases(str(folder), {"background": 0, task.structure: 1}, held_out=0.25)
    assert [len(cases[name]) for name in ("train", "validate", "test")] == [6, 2, TESTS]


def test_labels_are_valid(task: Task, folder: Path) -> None:
    for case in read_data_set(folder).cases:
        drawn = read_volume(case.labels[0], label=True)
        assert drawn.geometry.displacement_mm(read_volume(case.images[0]).geometry) == 0
        assert set(np.unique(drawn.array)) == {0, 255}


def test_structures_are_of_a_plausible_size_and_shape(task: Task, training: list[Picture], test: list[Picture]) -> None:
    for _, mask in training + test:
        assert task.share[0] < mask.mean() < task.share[1]
        parts, _ = label(mask, np.ones((3, 3)))
        largest = np.sort(np.bincount(parts[mask]))[-task.pieces :]
        assert largest.sum() > 0.85 * mask.sum()
        assert largest.min() > 0.25 * mask.sum()


def test_pictures_are_of_the_promised_sizes(task: Task, training: list[Picture], test: list[Picture]) -> None:
    shapes = [mask.shape for _, mask in training + test]
    assert task.sides[0] <= np.min(shapes) and np.max(shapes) <= task.sides[1]
    ratios = [x / y for x, y in shapes]
    if task.layout == "drive":  # all of one size, as DRIVE is
        assert set(shapes) == {task.sides}
    else:
        assert len(set(shapes)) > CASES / 2
        assert max(ratios) - min(ratios) > 0.1


def test_test_split_is_shifted(task: Task, training: list[Picture], test: list[Picture]) -> None:
    measure, direction = task.shifted
    usual, other = ([measure(*case) for case in split] for split in (training, test))
    assert direction * (np.mean(other) - np.mean(usual)) > np.std(usual)
    grain = [[_grain(image) for image, _ in split] for split in (training, test)]
    assert np.mean(grain[1]) > np.mean(grain[0])


@pytest.mark.parametrize("baseline", BASELINES)
def test_intensity_alone_is_not_enough(baseline: str, task: Task, training: list[Picture], test: list[Picture]) -> None:
    for cases in (training[:4], test):
        scores = [oracle_dice(clusters(_grey(image), baseline), mask) for image, mask in cases]
        assert np.mean(scores) <= task.bound


@pytest.mark.parametrize("task", TASKS[1:], ids=lambda task: task.name, indirect=True)
def test_colour_alone_is_not_enough(task: Task, training: list[Picture], test: list[Picture]) -> None:
    for cases in (training[:4], test):
        assert np.mean([oracle_dice(colour_clusters(image), mask) for image, mask in cases]) <= task.bound


@pytest.mark.parametrize("task", TASKS[:1], ids=lambda task: task.name, indirect=True)
def test_radiographs_are_stored_as_the_two_sets_are(folder: Path) -> None:
    root = folder / "Lung Segmentation"
    modes = [Image.open(path).mode for path in sorted((root / "CXR_png").iterdir())]
    assert (modes.count("L"), modes.count("RGB")) == (7, 1)
    shenzhen, montgomery = (sorted(path.stem for path in (root / "masks").glob(f"{name}*")) for name in ("CHN", "MCU"))
    assert (len(shenzhen), len(montgomery)) == (8, 2)
    assert all(name.endswith("_mask") for name in shenzhen) and not any("mask" in name for name in montgomery)
    assert len(list((root / "ClinicalReadings").iterdir())) == CASES + TESTS


def test_opacities_lie_in_the_lungs_and_belong_to_them() -> None:
    brighter = []
    for seed in range(4):
        pair = [
            chest_xray_lungs.draw(chest_xray_lungs.TRAINING, np.random.default_rng(seed), ill) for ill in (False, True)
        ]
        (clear, lungs), (opaque, again) = pair
        np.testing.assert_array_equal(lungs, again)
        away = distance_transform_edt(lungs == 0) > 40
        brighter.append((opaque[lungs > 0].mean() - clear[lungs > 0].mean(), np.abs(opaque - clear)[away].mean()))
    inside, outside = np.mean(brighter, 0)
    assert inside > 0.05 > outside


@pytest.mark.parametrize("task", TASKS[1:2], ids=lambda task: task.name, indirect=True)
def test_field_of_view_and_second_observer(folder: Path) -> None:
    for case in read_data_set(folder).subset("test"):
        image, first = _read(case)
        view, second = (read_volume(case.meta[key], label=True).array[..., 0] > 0
                        for key in ("field_of_view", "second_observer"))  # fmt: skip
        assert 0.6 < view.mean() < 0.75
        assert image[:, distance_transform_edt(~view) > 2].max() < 30 < image[0, view].mean()
        assert not (first & ~view).any() and not (second & ~view).any()
        agreement = 2 * (first & second).sum() / (first.sum() + second.sum())
        assert 0.75 < agreement < 0.97
        near = distance_transform_edt(~second) <= 1.5
        missed, half_width = first & ~near, distance_transform_edt(first)
        assert missed.sum() > 20
        assert half_width[missed].mean() < 0.9 * half_width[first].mean()


def _grain(image: Array) -> float:
    """How much neighbouring pixels differ beyond edges."""
    image = image.mean(0) if image.ndim == 3 else image
    return float(np.median(np.abs(np.diff(np.diff(image, axis=0), axis=1))))
