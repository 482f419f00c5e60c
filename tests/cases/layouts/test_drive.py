import shutil
from pathlib import Path

import pytest

from medseg.cases.layouts import read_data_set


def test_vessels_field_of_view_and_second_observer(written):
    root = written("drive") / "DRIVE"
    found = {case.id: case for case in read_data_set(written("drive")).cases}
    assert list(found) == ["01_test", "02_test", *(f"0{number}_training" for number in range(3, 8))]
    training, test = found["03_training"], found["01_test"]
    assert training.label == root / "training" / "1st_manual" / "03_manual1.gif"
    assert training.meta == {
        "modality": "fundus", "field_of_view": str(root / "training" / "mask" / "03_training_mask.gif")
    }  # fmt: skip
    assert test.label == root / "test" / "1st_manual" / "01_manual1.gif"
    assert test.meta["second_observer"] == str(root / "test" / "2nd_manual" / "01_manual2.gif")
    assert read_data_set(written("drive")).ignored == {}


def test_todays_download_has_no_vessels_of_the_test_half(phantom):
    root = phantom("drive")
    shutil.rmtree(root / "DRIVE" / "test" / "1st_manual")
    found = read_data_set(root)
    assert len(found.subset("labelled")) == 5
    assert found.subset("test") == []
    assert [case.id for case in found.subset("images")] == ["01_test", "02_test"]


@pytest.mark.parametrize("name", ["Test", "testing", "TESTING"])
def test_other_names_of_the_test_half(phantom, name):
    root = phantom("drive") / "DRIVE"
    (root / "test").rename(root / name)
    assert len(read_data_set(root).subset("test")) == 2


def test_a_folder_of_data_sets_above_it(phantom, tmp_path):
    root = tmp_path / "repository" / "datasets"
    shutil.copytree(phantom("drive") / "DRIVE", root)
    (root / "test").rename(root / "testing")
    assert len(read_data_set(root.parent).cases) == 7


def test_vessels_without_their_photograph_are_ignored(phantom):
    root = phantom("drive") / "DRIVE"
    (root / "training" / "images" / "03_training.tif").unlink()
    ignored = read_data_set(root).ignored
    assert set(ignored) == {
        Path("training/1st_manual/03_manual1.gif"), Path("training/mask/03_training_mask.gif")
    }  # fmt: skip
    assert set(ignored.values()) == {"belongs to no case"}


def test_two_photographs_of_one_number_are_refused(phantom, refused):
    root = phantom("drive") / "DRIVE"
    shutil.copy(root / "training" / "images" / "03_training.tif", root / "training" / "images" / "03_again.tif")
    assert refused(root)[0].code == "E501"
