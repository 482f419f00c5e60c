import shutil
from pathlib import Path

import pytest

from medseg.cases.layouts import read_data_set


def moved(root, paths, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for path in list(paths):
        path.rename(folder / path.name)


def test_parts_and_tests_whose_numbers_begin_anew(written):
    root = written("promise12")
    found = read_data_set(root)
    assert [case.id for case in found.subset("labelled")] == [f"Case0{number}" for number in range(5)]
    assert [case.images[0].parent.name[-1] for case in found.subset("labelled")] == ["1", "1", "2", "2", "3"]
    assert [case.id for case in found.subset("images")] == ["TestData_Case00", "TestData_Case01"]
    assert found.subset("labelled")[4].label == root / "TrainingData_Part3" / "Case04_segmentation.mhd"
    assert found.ignored == {}


@pytest.mark.parametrize("folder", [".", "training_data", "Training/all", "latest"])
def test_all_in_one_folder(phantom, folder):
    root = phantom("promise12")
    shutil.rmtree(root / "TestData")
    moved(root, root.glob("TrainingData*/*"), root / folder)
    assert [case.id for case in read_data_set(root).subset("labelled")] == [f"Case0{number}" for number in range(5)]


def test_tests_with_numbers_of_their_own_in_the_same_folder(phantom):
    root = phantom("promise12")
    moved(root, root.glob("TrainingData*/*"), root)
    for number in (0, 1):
        for path in list((root / "TestData").glob(f"Case0{number}.*")):
            path.rename(root / f"Case5{number}{path.suffix}")
    found = read_data_set(root)
    assert len(found.subset("labelled")) == 5
    assert [case.id for case in found.subset("images")] == ["Case50", "Case51"]


@pytest.mark.parametrize("drop", ["", "_segmentation"])
def test_images_and_truth_in_folders_of_their_own(phantom, drop):
    root = phantom("promise12")
    shutil.rmtree(root / "TestData")
    moved(root, root.glob("TrainingData*/*_segmentation.*"), root / "gt")
    moved(root, root.glob("TrainingData*/*"), root / "img")
    for path in list((root / "gt").iterdir()):
        path.rename(path.with_name(path.name.replace(drop, "") if drop else path.name))
    found = read_data_set(root)
    assert [case.id for case in found.subset("labelled")] == [f"Case0{number}" for number in range(5)]
    assert {case.label.parent for case in found.cases} == {root / "gt"}


@pytest.mark.parametrize("name", ["Test", "test_data", "livechallenge_test_data"])
def test_other_names_of_the_folder_of_tests(phantom, name):
    root = phantom("promise12")
    (root / "TestData").rename(root / name)
    assert [case.id for case in read_data_set(root).subset("images")] == [f"{name}_Case00", f"{name}_Case01"]


def test_a_test_case_with_a_segmentation_is_scored(phantom):
    root = phantom("promise12")
    for suffix in (".mhd", ".raw"):
        shutil.copy(root / "TrainingData_Part1" / f"Case00_segmentation{suffix}", root / "TestData")
    assert [case.id for case in read_data_set(root).subset("test")] == ["TestData_Case00"]


def test_a_segmentation_without_its_volume_is_ignored(phantom):
    root = phantom("promise12")
    (root / "TrainingData_Part1" / "Case00.mhd").unlink()
    assert read_data_set(root).ignored == {Path("TrainingData_Part1/Case00_segmentation.mhd"): "belongs to no case"}


def test_two_volumes_of_one_number_are_refused(phantom, refused):
    root = phantom("promise12")
    shutil.copy(root / "TrainingData_Part1" / "Case00.mhd", root / "TrainingData_Part3" / "Case00.mhd")
    assert refused(root)[0].code == "E501"
