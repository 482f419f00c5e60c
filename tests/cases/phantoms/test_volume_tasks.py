"""Phantoms of lungs, prostate and liver: same bytes, downloads' layouts, valid cases, out of reach of thresholds."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
import torch
from oracle import BASELINES, clusters, oracle_dice
from scipy.ndimage import binary_dilation
from scipy.ndimage import label as connected

from medseg.cases.case import Case
from medseg.cases.check_all import check_data_set
from medseg.cases.layouts import DataSet, read_data_set
from medseg.cases.lists import split_cases
from medseg.cases.phantoms import prostate_mri, tasks, write_phantom
from medseg.cases.phantoms.layouts._drawing import itk
from medseg.errors import DataError
from medseg.geometry import Geometry
from medseg.transforms import ReadLabeld
from medseg.volumes import Volume, read_volume

CASES, SEED = 4, 3
LAYOUTS = {"lung_ct": "finding_lungs", "prostate_mri": "promise12", "liver_ct": "msd"}
LABELS: dict[str, dict[str, int | list[int]]] = {
    "lung_ct": {"lung": 1}, "prostate_mri": {"prostate": 1}, "liver_ct": {"liver": [1, 2], "tumour": 2},
}  # fmt: skip
STORED = {"lung_ct": {0, 255}, "prostate_mri": {0, 1}, "liver_ct": {0, 1, 2}}
VOLUME_ML = {"lung_ct": (2000, 6000), "prostate_mri": (18, 110), "liver_ct": (1100, 2200)}
SPLIT = {  # two slices are labelled cases of the lungs too
    "lung_ct": (3, 3, 0), "prostate_mri": (2, 2, 2), "liver_ct": (2, 2, 2),
}  # fmt: skip
DESCRIPTION = "dataset.json"  # of the livers: it lists the cases
HU_OF_AIR = -700
Pair = tuple[Volume, Volume]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("phantoms")
    return {task: write_phantom(task, root / task, CASES, SEED) for task in LAYOUTS}


@pytest.fixture(params=sorted(LAYOUTS))
def task(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def folder(folders: dict[str, Path], task: str) -> Path:
    return folders[task]


@pytest.fixture(scope="module")
def pairs(folders: dict[str, Path]) -> dict[str, dict[str, Pair]]:
    """Task to case to image and label."""
    return {task: {case.id: _read(case) for case in read_data_set(folder).cases} for task, folder in folders.items()}


def _read(case: Case) -> Pair:
    assert case.label is not None
    return read_volume(case.images[0]), read_volume(case.label, label=True)


def _files(folder: Path) -> dict[str, bytes]:
    """File to bytes, without what macOS left, which holds nothing of a case."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("._")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _volumes(pairs: dict[str, Pair]) -> list[Pair]:
    """Without the single slices, whose unit is the pixel."""
    return [pair for pair in pairs.values() if pair[0].geometry.unit == "mm"]


def test_same_seed_gives_the_same_bytes_however_many_cases_there_are(task: str, folder: Path, tmp_path: Path) -> None:
    many, one = _files(folder), _files(write_phantom(task, tmp_path / "one", 1, SEED))
    assert one.keys() < many.keys()
    assert all(many[name] == content for name, content in one.items() if name != DESCRIPTION)


def test_another_seed_gives_other_images_of_the_same_names(task: str, folder: Path, tmp_path: Path) -> None:
    many, other = _files(folder), _files(write_phantom(task, tmp_path / "other", 1, SEED + 1))
    assert other.keys() < many.keys()
    assert all(many[name] != content for name, content in other.items())


def test_no_two_cases_are_alike(pairs: dict[str, dict[str, Pair]], task: str) -> None:
    images = [image.array.tobytes() for image, _ in pairs[task].values()]
    assert len(set(images)) == len(images)


def test_the_layout_is_recognised(folders: dict[str, Path]) -> None:
    found = {task: read_data_set(folder) for task, folder in folders.items()}
    assert {task: data_set.layout for task, data_set in found.items()} == LAYOUTS
    lungs, prostates = found["lung_ct"], found["prostate_mri"]
    assert _ids(lungs, "labelled") == [
        *("ID_0000_Z_0075", "ID_0001_Z_0076"),
        *(f"IMG_{number:04d}" for number in range(2, 2 + CASES)),
    ]
    assert not lungs.subset("test") and not lungs.subset("validate")
    assert len({case.group for case in lungs.cases}) == len(lungs.cases)
    assert list(lungs.ignored) == [Path("lung_stats.csv")]
    assert _ids(prostates, "labelled") == [f"Case{number:02d}" for number in range(CASES)]
    assert _ids(prostates, "test") == ["TestData_Case00", "TestData_Case01"]
    assert not prostates.ignored
    parts = {case.images[0].parent.name for case in prostates.subset("labelled")}
    assert parts == {f"TrainingData_Part{number}" for number in (1, 2, 3)}
    livers = found["liver_ct"]
    assert _ids(livers, "labelled") == [f"liver_{number}" for number in range(CASES)]
    assert _ids(livers, "test") == ["liver_132", "liver_133"]
    assert livers.ignored == {Path("imagesTr/._liver_0.nii.gz"): "a hidden file"}
    assert livers.labels is not None
    assert livers.labels.values == {"background": (0,), "liver": (1,), "cancer": (2,)}
    assert {case.meta["modality"] for case in livers.cases} == {"CT"}


def _ids(data_set: DataSet, subset: str) -> list[str]:
    return [case.id for case in data_set.subset(subset)]


def test_splits_take_them(folder: Path, task: str) -> None:
    found = split_cases(str(folder), {"background": 0, **LABELS[task]}, held_out=0.34)
    counts = {side: len(items) for side, items in found.items()}
    assert counts == dict(zip(("train", "validate", "test"), SPLIT[task], strict=True))


def test_cases_are_valid(pairs: dict[str, dict[str, Pair]], task: str) -> None:
    for image, label in pairs[task].values():
        assert image.geometry.is_same_grid(label.geometry)
        assert image.array.dtype == np.int16
        assert np.isin(label.array, list(STORED[task])).all()
    assert {value for _, label in pairs[task].values() for value in np.unique(label.array)} == STORED[task]


def test_what_is_labelled_has_the_volume_of_the_organ(pairs: dict[str, dict[str, Pair]], task: str) -> None:
    volumes_ml = [_volume_ml(label) for _, label in _volumes(pairs[task])]
    low, high = VOLUME_ML[task]
    assert all(low < volume < high for volume in volumes_ml)
    assert max(volumes_ml) > 1.2 * min(volumes_ml)


def _volume_ml(label: Volume) -> float:
    return float((label.array > 0).sum() * np.prod(label.geometry.spacing_mm) / 1000)


@pytest.mark.parametrize("baseline", BASELINES)
def test_intensity_alone_is_not_enough(pairs: dict[str, dict[str, Pair]], task: str, baseline: str) -> None:
    chosen = _volumes(pairs[task])
    chosen = [chosen[0], chosen[-1]]  # of prostates and livers, one of training and one of test
    # of whole numbers multi-Otsu would try every single one
    partitions = [clusters(image.array.astype(np.float32), baseline) for image, _ in chosen]
    scores = [oracle_dice(found, label.array > 0) for found, (_, label) in zip(partitions, chosen, strict=True)]
    assert np.mean(scores) <= 0.65


def test_scans_lie_as_in_the_download(pairs: dict[str, dict[str, Pair]]) -> None:
    for image, _ in _volumes(pairs["lung_ct"]):
        assert image.geometry.slice_axis == 0
        assert image.geometry.orientation == "SPL"
        assert 20 <= image.array.shape[0] <= 28
        assert image.array.shape[1:] == (96, 96)
    slices = [image for image, _ in pairs["lung_ct"].values() if image.geometry.unit == "px"]
    assert [image.array.shape for image in slices] == [(96, 96, 1)] * 2


def test_scans_are_in_hounsfield_units_and_some_are_padded(pairs: dict[str, dict[str, Pair]]) -> None:
    lowest = {int(image.array.min()) for image, _ in _volumes(pairs["lung_ct"])}
    assert -2000 in lowest and len(lowest) > 1
    for image, label in _volumes(pairs["lung_ct"]):
        inside = image.array[label.array > 0]
        assert -950 < np.median(inside) < -750
        assert 200 < image.array.max() < 1000  # bone
        assert ((image.array < -950) & (image.array > -1100)).any()


def test_lungs_are_two_and_end_in_narrow_tips(pairs: dict[str, dict[str, Pair]]) -> None:
    for _, label in _volumes(pairs["lung_ct"]):
        inside = label.array > 0
        sizes = np.sort(np.bincount(connected(inside)[0].ravel())[1:])[::-1]
        assert sizes[:2].sum() > 0.98 * inside.sum()
        areas = inside.sum((1, 2))
        middle = len(areas) // 2
        assert areas[middle] > 3 * areas[-2]


def test_air_is_not_always_lung_nor_lung_always_air(pairs: dict[str, dict[str, Pair]]) -> None:
    dense = []
    for image, label in _volumes(pairs["lung_ct"]):
        inside, is_air = label.array > 0, image.array < HU_OF_AIR
        dense.append(np.mean(image.array[inside] > -300))
        voxel_ml = np.prod(image.geometry.spacing_mm) / 1000
        elsewhere = [part for part in _parts(is_air & ~inside) if not _touches_side(part)]
        assert sum(part.sum() for part in elsewhere) * voxel_ml > 15  # airways, stomach, bowel
    assert min(dense) > 0.01  # vessels
    assert max(dense) > 0.04  # a consolidation


def _parts(mask: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.bool_]]:
    numbered, n = connected(mask)
    return [numbered == number for number in range(1, n + 1) if (numbered == number).sum() > 8]


def _touches_side(mask: npt.NDArray[np.bool_]) -> bool:
    return bool(mask[:, [0, -1]].any() or mask[:, :, [0, -1]].any())


def test_measures_agree_with_the_masks(folders: dict[str, Path]) -> None:
    with open(folders["lung_ct"] / "lung_stats.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["img_id"] for row in rows] == ["ID_0000_Z_0075.tif", "ID_0001_Z_0076.tif"]
    for row in rows:
        image = read_volume(folders["lung_ct"] / "2d_images" / row["img_id"]).array
        inside = read_volume(folders["lung_ct"] / "2d_masks" / row["img_id"], label=True).array == 255
        assert float(row["lung_volume_fraction"]) == pytest.approx(inside.mean(), abs=1e-4)
        assert float(row["lung_mean_hu"]) == pytest.approx(image[inside].mean(), abs=0.1)
        pixel_mm2 = float(row["lung_area_mm2"]) / inside.sum()
        assert 3.6**2 < pixel_mm2 < 4.1**2


def test_prostates_lie_whole_in_the_volume(pairs: dict[str, dict[str, Pair]]) -> None:
    for _, label in pairs["prostate_mri"].values():
        inside = label.array > 0
        sides = [inside.take(end, axis) for axis in range(2) for end in (0, -1)]
        assert not any(side.any() for side in sides)
        sizes = np.bincount(connected(inside)[0].ravel())[1:]
        assert sizes.max() == sizes.sum()


def test_every_second_volume_is_oblique(pairs: dict[str, dict[str, Pair]]) -> None:
    tilts = {name: _tilt_deg(image.geometry) for name, (image, _) in pairs["prostate_mri"].items()}
    assert all((tilt > 4) == (int(name[-1]) % 2 == 1) for name, tilt in tilts.items())
    for image, _ in pairs["prostate_mri"].values():
        assert image.geometry.orientation == "LPS"
        assert image.array.shape[:2] == (80, 80)
        x, y, z = image.geometry.spacing_mm
        assert x == pytest.approx(y, abs=1e-4)
        assert 1.2 <= x <= 1.6
        assert 3.6 <= z <= 4.0


def _tilt_deg(geometry: Geometry) -> float:
    axis = geometry.affine[:3, 2] / geometry.spacing_mm[2]
    return float(np.degrees(np.arccos(min(1.0, abs(axis[2])))))


def test_the_test_split_is_drawn_from_larger_and_darker_prostates(pairs: dict[str, dict[str, Pair]]) -> None:
    for index in range(2):
        image, label = pairs["prostate_mri"][f"TestData_Case{index:02d}"]
        usual = prostate_mri.draw(prostate_mri.TRAINING, np.random.default_rng((SEED, 1, index)), index)
        assert _volume_ml(label) > 1.1 * _volume_ml(usual[1])
        assert _relative_grey(image, label) < _relative_grey(*usual) - 0.05


def _relative_grey(image: Volume, label: Volume) -> float:
    """The prostate's intensity as a fraction of what is nearly the brightest."""
    return float(image.array[label.array > 0].mean() / np.percentile(image.array, 95))


def test_prostate_signal_is_of_any_scale_and_never_negative(pairs: dict[str, dict[str, Pair]]) -> None:
    brightest = [float(np.percentile(image.array, 99)) for image, _ in pairs["prostate_mri"].values()]
    assert max(brightest) > 2 * min(brightest)
    assert all(image.array.min() >= 0 for image, _ in pairs["prostate_mri"].values())


@pytest.mark.parametrize("suffix", [".mhd", ".nrrd"])
def test_an_oblique_affine_is_written_as_it_is(suffix: str, tmp_path: Path) -> None:
    affine = np.array([[-1.2, 0.3, 0.0, 40.0], [-0.4, -0.9, 0.8, -7.0], [0.0, 0.32, 2.25, 11.0], [0, 0, 0, 1.0]])
    array = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    read = read_volume(itk(tmp_path / f"x{suffix}", array, affine=affine))
    np.testing.assert_array_equal(read.array, array)
    assert read.geometry.displacement_mm(Geometry(affine, array.shape)) < 1e-3


def test_what_macos_left_beside_a_liver_is_no_image(folders: dict[str, Path]) -> None:
    (left,) = folders["liver_ct"].rglob("._*")
    named = left.rename(left.parent / "damaged.nii.gz")
    try:
        with pytest.raises(DataError):
            read_volume(named)
    finally:
        named.rename(left)


def test_labels_of_both_voxel_types_read_as_whole_numbers(folders: dict[str, Path]) -> None:
    found = read_data_set(folders["liver_ct"])
    stored = {case.id: nib.load(case.labels[0]).get_data_dtype() for case in found.subset("labelled")}
    assert set(stored.values()) == {np.dtype(np.uint8), np.dtype(np.float32)}
    assert check_data_set(found).faults == []
    read = ReadLabeld("label", labels=LABELS["liver_ct"] | {"background": 0})
    for case in found.subset("labelled"):
        label = read({"label": str(case.label)})["label"]
        assert label.dtype == torch.uint8
        assert set(np.unique(label.numpy())) <= {0, 1, 2}


def test_one_liver_of_four_has_no_tumour(pairs: dict[str, dict[str, Pair]]) -> None:
    without = [name for name, (_, label) in pairs["liver_ct"].items() if not (label.array == 2).any()]
    assert without == ["liver_3"]


def test_livers_lie_on_grids_of_many_kinds(pairs: dict[str, dict[str, Pair]]) -> None:
    geometries = [image.geometry for image, _ in pairs["liver_ct"].values()]
    assert {geometry.orientation for geometry in geometries} == {"RAS", "LAS", "LPS"}
    assert len({geometry.shape for geometry in geometries}) > 2
    for geometry in geometries:
        columns, rows, slices = geometry.shape
        assert 80 <= columns == rows <= 96
        assert 28 <= slices <= 44
        x, y, z = geometry.spacing_mm
        assert x == pytest.approx(y)
        assert 3.6 <= x <= 4.4
        assert 4.5 <= z <= 6.0


def test_livers_are_whole_in_one_piece_and_on_the_right(pairs: dict[str, dict[str, Pair]]) -> None:
    for image, label in pairs["liver_ct"].values():
        inside = label.array > 0
        assert not any(inside.take(end, axis).any() for axis in range(3) for end in (0, -1))
        sizes = np.bincount(connected(inside)[0].ravel())[1:]
        assert sizes.max() > 0.995 * sizes.sum()
        body = image.array > -250
        right, height = _middle_mm(inside, image.geometry)[::2] - _middle_mm(body, image.geometry)[::2]
        assert right > 30
        assert -60 < height < 60


def _middle_mm(mask: npt.NDArray[np.bool_], geometry: Geometry) -> npt.NDArray[np.floating]:
    """(3,) to the right, to the front and upwards."""
    return geometry.affine[:3, :3] @ np.argwhere(mask).mean(0) + geometry.affine[:3, 3]


def test_the_phase_of_the_contrast_medium_varies(pairs: dict[str, dict[str, Pair]]) -> None:
    levels = [float(np.median(image.array[label.array == 1])) for image, label in pairs["liver_ct"].values()]
    assert 45 < min(levels) < max(levels) < 145
    assert max(levels) - min(levels) > 25
    for image, label in pairs["liver_ct"].values():
        assert -1024 <= image.array.min() < -950
        assert 250 < image.array.max() < 800  # bone
        upper = image.array[:, :, -1 if image.geometry.affine[2, 2] > 0 else 0]
        assert ((upper > -920) & (upper < -750)).mean() > 0.02  # the bases of the lungs
        spread = np.std(image.array[label.array == 1])
        assert 10 < spread < 40


def test_most_tumours_are_dark_spots_within_the_liver_and_few_are_bright(pairs: dict[str, dict[str, Pair]]) -> None:
    contrasts = []
    for image, label in pairs["liver_ct"].values():
        usual = np.median(image.array[label.array == 1])
        numbered, n = connected(label.array == 2)
        assert n <= 4
        for number in range(1, n + 1):
            spot = numbered == number
            volume_mm3 = spot.sum() * np.prod(image.geometry.spacing_mm)
            assert 9 < (6 * volume_mm3 / np.pi) ** (1 / 3) < 52
            contrasts.append(float(image.array[spot].mean() - usual))
            rim = binary_dilation(spot) & ~spot
            assert (label.array[rim] > 0).mean() > 0.5
    assert len(contrasts) >= 8
    assert np.mean(np.array(contrasts) < -15) > 0.6
    assert max(contrasts) > 25


@pytest.mark.parametrize("baseline", BASELINES)
def test_intensity_alone_finds_no_liver_even_within_the_body(
    pairs: dict[str, dict[str, Pair]], baseline: str
) -> None:  # fmt: skip
    """Neither the air, the lungs nor the couch are in the way, and the clusters are chosen by the truth."""
    livers, tumours = [], []
    for image, label in (pair for pair in pairs["liver_ct"].values() if (pair[1].array == 2).any()):
        body = image.array > -250
        found, truth = clusters(image.array[body], baseline), label.array[body]
        livers.append(oracle_dice(found, truth > 0))
        tumours.append(oracle_dice(found, truth == 2))
    assert np.mean(livers) <= 0.6
    assert np.mean(tumours) <= 0.2


def test_all_are_tasks() -> None:
    assert set(LAYOUTS) <= set(tasks())
