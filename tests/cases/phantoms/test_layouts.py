"""The layouts' phantoms: same bytes, files that read, masks that lie where the picture is bright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medseg.cases.case import Case
from medseg.cases.layouts import read_data_set
from medseg.cases.phantoms import layout_names, tasks, write_phantom
from medseg.errors import UsageError
from medseg.volumes import read_volume

CASES, SEED = 4, 3
VALUES = {  # of all labels of a phantom
    "bids": {0, 1},
    "chest_xray_masks": {0, 255},
    "csv_pairs": {0, 1, 2},
    "drive": {0, 255},
    "finding_lungs": {0, 255},
    "flat": {0, 255},
    "isic2018": {0, 255},
    "lits": {0, 1, 2},
    "liver_folders": {0, 1},
    "montgomery": {0, 255},
    "msd": {0, 1, 2},
    "nnunet": {0, 1, 2},
    "nrrd_pairs": {0, 1},
    "promise12": {0, 1},
    "npy_stacks": {0, 1},
}
IMAGES = {  # type and number of axes of the first image
    "bids": ("uint8", 3),
    "chest_xray_masks": ("uint8", 3),
    "chest_xray_pneumonia": ("uint8", 3),
    "csv_pairs": ("uint8", 3),
    "drive": ("uint8", 4),
    "finding_lungs": ("int16", 3),
    "flat": ("uint8", 3),
    "isic2018": ("uint8", 4),
    "lits": ("int16", 3),
    "liver_folders": ("int16", 3),
    "montgomery": ("uint8", 3),
    "msd": ("int16", 3),
    "nih_chest_xray": ("uint8", 3),
    "nnunet": ("uint8", 3),
    "nrrd_pairs": ("int16", 3),
    "promise12": ("int16", 3),
    "npy_stacks": ("float64", 3),
}


@pytest.fixture(scope="module", params=layout_names())
def layout(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(layout: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(layout, tmp_path_factory.mktemp("phantoms") / layout, CASES, SEED)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _label(case: Case) -> np.ndarray:
    return np.maximum.reduce([read_volume(path, label=True).array for path in case.labels])


def test_same_seed_gives_the_same_bytes(layout: str, folder: Path, tmp_path: Path) -> None:
    assert _bytes(write_phantom(layout, tmp_path, CASES, SEED)) == _bytes(folder)


def test_another_seed_gives_other_images_of_the_same_names(layout: str, folder: Path, tmp_path: Path) -> None:
    other = write_phantom(layout, tmp_path / layout, CASES, SEED + 1)
    assert _bytes(other).keys() == _bytes(folder).keys()
    for one, two in zip(read_data_set(folder).cases, read_data_set(other).cases, strict=True):
        assert not np.array_equal(read_volume(one.images[0]).array, read_volume(two.images[0]).array)


def test_one_case_is_a_data_set(layout: str, tmp_path: Path) -> None:
    assert read_data_set(write_phantom(layout, tmp_path / "one", 1)).layout == layout


def test_every_image_reads_and_varies(layout: str, folder: Path) -> None:
    cases = read_data_set(folder).cases
    for case in cases:
        for path in case.images:
            array = read_volume(path).array
            assert array.max() > array.min()
            assert max(array.shape) <= 64
    first = read_volume(cases[0].images[0]).array
    assert (str(first.dtype), first.ndim) == IMAGES[layout]


def test_labels_hold_the_values_of_the_download(layout: str, folder: Path) -> None:
    labelled = [case for case in read_data_set(folder).cases if case.label is not None]
    values = {float(value) for case in labelled for value in np.unique(_label(case))}
    assert values == VALUES.get(layout, set())


def test_labels_lie_where_the_picture_is_bright(folder: Path) -> None:
    for case in read_data_set(folder).cases:
        if case.label is None:
            continue
        label, volume = _label(case), read_volume(case.images[0])
        image = volume.array.astype(np.float64)
        image = image.mean(0) if image.ndim == 4 else image
        assert image.shape == label.shape == volume.geometry.shape
        inside = np.isin(label, (1, 2, 255))
        if inside.any():
            assert image[inside].mean() - image[~inside].mean() > 0.2 * (image.max() - image.min())
            assert 0.05 < inside.mean() < 0.5


def test_grids_of_image_and_label_agree(folder: Path) -> None:
    for case in read_data_set(folder).cases:
        grids = [read_volume(path, label=path in case.labels).geometry for path in (*case.images, *case.labels)]
        assert all(grid.displacement_mm(grids[0]) == 0 for grid in grids)


def test_what_drive_adds_reads_too(tmp_path: Path) -> None:
    for case in read_data_set(write_phantom("drive", tmp_path / "drive", 1)).cases:
        view = read_volume(case.meta["field_of_view"], label=True).array
        assert set(np.unique(view)) == {0, 255}
        assert not read_volume(case.images[0]).array[:, view == 0].any()


def test_hounsfield_units_reach_air(tmp_path: Path) -> None:
    for layout in ("finding_lungs", "lits", "liver_folders", "msd", "nrrd_pairs"):
        for case in read_data_set(write_phantom(layout, tmp_path / layout, 2)).cases:
            assert read_volume(case.images[0]).array.min() < -500


def test_an_unknown_name_lists_tasks_and_layouts() -> None:
    with pytest.raises(UsageError, match="did you mean drive"):
        write_phantom("drives", "unused")
    with pytest.raises(UsageError, match=r"one of: .*hippocampus_mri.*; or of the layouts: bids, .*npy_stacks"):
        write_phantom("xyz", "unused")
    assert not set(tasks()) & set(layout_names())
    assert "layouts" not in tasks()
