"""The hippocampus phantoms: same bytes, whole layout, valid cases, a shifted test split, out of reach of thresholds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from oracle import BASELINES, clusters, oracle_dice

from medseg.cases.phantoms import tasks, write_phantom
from medseg.errors import DataError, UsageError
from medseg.volumes import Volume, read_volume

TASK = "hippocampus_mri"
CASES = 8
Case = tuple[Volume, Volume]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(TASK, tmp_path_factory.mktemp("phantoms") / "Task04_Hippocampus", CASES, seed=3)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(TASK, tmp_path_factory.mktemp("phantoms") / "one", 1, seed=3)


@pytest.fixture(scope="module")
def training(folder: Path) -> list[Case]:
    return _read(folder, "Tr")


@pytest.fixture(scope="module")
def test(folder: Path) -> list[Case]:
    return _read(folder, "Ts")


def _read(folder: Path, split: str) -> list[Case]:
    names = sorted(path.name for path in (folder / f"images{split}").iterdir())
    return [(read_volume(folder / f"images{split}" / n), read_volume(folder / f"labels{split}" / n)) for n in names]


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_same_seed_fills_an_empty_folder_with_the_same_bytes(one: Path, tmp_path: Path) -> None:
    assert _bytes(write_phantom(TASK, tmp_path, 1, seed=3)) == _bytes(one)


def test_another_seed_gives_other_images(one: Path, tmp_path: Path) -> None:
    first, other = _bytes(one), _bytes(write_phantom(TASK, tmp_path / "other", 1, seed=4))
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_a_case_does_not_depend_on_how_many_there_are(one: Path, folder: Path) -> None:
    few, many = _bytes(one), _bytes(folder)
    for kind in ("images", "labels"):
        assert few[f"{kind}Tr/hippocampus_001.nii.gz"] == many[f"{kind}Tr/hippocampus_001.nii.gz"]
        assert few[f"{kind}Ts/hippocampus_003.nii.gz"] == many[f"{kind}Ts/hippocampus_010.nii.gz"]


def test_layout_is_complete(folder: Path) -> None:
    description = json.loads((folder / "dataset.json").read_text())
    assert description["labels"] == {"0": "background", "1": "Anterior", "2": "Posterior"}
    assert description["modality"] == {"0": "MRI"}
    assert (description["numTraining"], description["numTest"]) == (CASES, 2)
    assert {"name", "description", "licence", "reference", "tensorImageSize"} <= description.keys()
    listed = [name for entry in description["training"] for name in entry.values()] + description["test"]
    listed += [name.replace("imagesTs", "labelsTs") for name in description["test"]]
    assert description["training"][0]["image"] == "./imagesTr/hippocampus_001.nii.gz"
    assert sorted(str(Path(name)) for name in listed) == sorted(_bytes(folder).keys() - {"dataset.json"})


def test_cases_are_valid(training: list[Case], test: list[Case]) -> None:
    for image, label in training + test:
        assert image.geometry.shape == label.geometry.shape
        assert image.geometry.displacement_mm(label.geometry) == 0
        assert label.array.dtype == np.uint8
        assert set(np.unique(label.array)) == {0, 1, 2}
        assert np.isfinite(image.array).all()
        sides = [label.array.take(end, axis) for axis in range(3) for end in (0, -1)]
        assert not any(side.any() for side in sides), "the hippocampus is cut off"


def test_sizes_are_those_of_real_cases(training: list[Case]) -> None:
    extent = np.mean(
        [np.sort(np.multiply(image.geometry.shape, image.geometry.spacing_mm)) for image, _ in training], 0
    )
    np.testing.assert_allclose(extent, (35, 36, 50), atol=5)
    volumes = [[np.prod(label.geometry.spacing_mm) * (label.array == k).sum() for k in (1, 2)] for _, label in training]
    assert np.all((np.array(volumes) > 1000) & (np.array(volumes) < 3500))


def test_grids_and_voxel_types_vary(training: list[Case]) -> None:
    geometries = [image.geometry for image, _ in training]
    spacings = np.array([geometry.spacing_mm for geometry in geometries])
    assert spacings.min() > 0.79 and spacings.max() < 1.31
    assert np.median(spacings.max(1) / spacings.min(1)) > 1.1
    off_axis = [np.sort(np.abs(g.affine[:3, :3] / g.spacing_mm).ravel())[5] for g in geometries]
    assert np.median(off_axis) > 0.01, "no grid is oblique"
    assert {geometry.orientation for geometry in geometries} == {"RAS", "LPS", "PSR", "LAS"}
    assert {str(image.array.dtype) for image, _ in training} == {"uint8", "int16", "float32"}
    maxima = [float(image.array.max()) for image, _ in training]
    assert max(maxima) > 5 * min(maxima)


def test_both_sides_of_the_head_occur(training: list[Case]) -> None:
    assert len({_curves_right(label) for _, label in training}) == 2


def test_test_split_is_shifted(training: list[Case], test: list[Case]) -> None:
    contrasts = [[_relative_grey(*case) for case in split] for split in (training, test)]
    assert np.mean(contrasts[1]) > np.mean(contrasts[0]) + 0.02
    sizes = [[(label.array > 0).sum() * np.prod(label.geometry.spacing_mm) for _, label in s] for s in (training, test)]
    usual = np.mean(sizes[0])
    assert np.mean(np.abs(np.log(sizes[1] / usual))) > np.mean(np.abs(np.log(sizes[0] / usual)))
    axes = [[_long_axis(label) for _, label in split] for split in (training, test)]
    usual_axis = np.mean(axes[0], axis=0) / np.linalg.norm(np.mean(axes[0], axis=0))
    angles = [np.mean([np.arccos(axis @ usual_axis) for axis in split]) for split in axes]
    assert angles[1] > angles[0]


@pytest.mark.parametrize("baseline", BASELINES)
def test_intensity_alone_is_not_enough(baseline: str, training: list[Case], test: list[Case]) -> None:
    scores = [oracle_dice(clusters(image.array, baseline), label.array) for image, label in training[:3] + test]
    assert np.mean(scores) <= 0.5


def test_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean hippocampus_mri"):
        write_phantom("hipocampus", "unused")
    with pytest.raises(UsageError, match=rf"one of: .*{TASK}"):
        write_phantom("xyz", "unused")
    assert TASK in tasks()


@pytest.mark.parametrize(("cases", "seed"), [(0, 0), (1, -1)])
def test_numbers_too_small_are_refused(cases: int, seed: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too small"):
        write_phantom(TASK, tmp_path / "new", cases, seed)
    assert not (tmp_path / "new").exists()


def test_a_folder_in_use_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    for taken in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(DataError, match="E503"):
            write_phantom(TASK, taken, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, _: Volume) -> None:
        path.parent.mkdir(parents=True)
        path.touch()
        raise RuntimeError("half-way")

    monkeypatch.setattr(f"medseg.cases.phantoms.{TASK}.write_volume", fail)
    with pytest.raises(RuntimeError):
        write_phantom(TASK, tmp_path / "new", 1)
    assert list(tmp_path.iterdir()) == []


def _positions(label: Volume, value: int) -> npt.NDArray[np.float64]:
    indices = np.argwhere(label.array == value)
    return indices @ label.geometry.affine[:3, :3].T + label.geometry.affine[:3, 3]


def _long_axis(label: Volume) -> npt.NDArray[np.float64]:
    """Unit vector from the posterior part's centre to the anterior's, x taken without its sign (either side)."""
    axis = _positions(label, 1).mean(0) - _positions(label, 2).mean(0)
    axis[0] = -axis[0] if _curves_right(label) else axis[0]
    return axis / np.linalg.norm(axis)


def _curves_right(label: Volume) -> bool:
    """Whether the tail lies further right than the middle of the body: it curves towards the middle of the head."""
    body = _positions(label, 2)
    y = body[:, 1]
    return bool(body[y < np.quantile(y, 0.2), 0].mean() > body[y > np.quantile(y, 0.6), 0].mean())


def _relative_grey(image: Volume, label: Volume) -> float:
    """The hippocampus' intensity as a fraction of white matter's (nearly the brightest)."""
    return float(image.array[label.array > 0].mean() / np.percentile(image.array, 90))
