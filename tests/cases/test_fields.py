"""The field of view and the second observer of a data set's photographs, on their way into case lists."""

import csv
from pathlib import Path

import numpy as np
import pytest

from medseg.cases import list_images, split_cases
from medseg.cases.phantoms.layouts import drive
from medseg.errors import DataError, UsageError

LABELS = {"background": 0, "vessel": 1}


@pytest.fixture
def folder(tmp_path):
    """Eight training photographs (03 to 10) and two of the test half."""
    return drive.write(tmp_path, 8, seed=0) / "DRIVE"


def test_items_know_their_field_and_those_that_are_scored_their_second_observer(folder):
    lists = split_cases(str(folder), LABELS)
    for name, items in lists.items():
        half = "test" if name == "test" else "training"
        for item in items:
            number = item["case"].partition("_")[0]
            assert item["field_of_view"] == str(folder / half / "mask" / f"{number}_{half}_mask.gif")
            second = str(folder / "test" / "2nd_manual" / f"{number}_manual2.gif") if half == "test" else None
            assert item.get("second_observer") == second
    assert [len(lists[name]) for name in ("train", "validate", "test")] == [6, 2, 2]
    images = list_images(str(folder))
    assert len(images) == 2 and all(Path(item["field_of_view"]).is_file() for item in images)  # of the test half
    assert not any("second_observer" in item for item in images)


def test_items_of_other_data_sets_have_neither(tmp_path, save):
    for number in range(4):
        save(tmp_path / "images" / f"c{number}.nii.gz", np.random.default_rng(number).random((4, 4, 1)))
        save(tmp_path / "labels" / f"c{number}.nii.gz", np.eye(4)[..., None])
    items = split_cases(str(tmp_path), LABELS)["train"]
    assert items and not any({"field_of_view", "second_observer"} & set(item) for item in items)


def test_one_warning_says_how_many_images_have_no_mask(folder, caplog):
    for number in ("04", "07", "09"):
        (folder / "training" / "mask" / f"{number}_training_mask.gif").unlink()
    split_cases(str(folder), LABELS)
    assert "W107" not in caplog.text  # where it does not matter
    split_cases(str(folder), LABELS, fields=True)
    (warning,) = [record.getMessage() for record in caplog.records if "W107" in record.getMessage()]
    assert "3 of 10 images" in warning and all(f"{number}_training" in warning for number in ("04", "07", "09"))


def test_no_warning_where_all_have_one(folder, caplog):
    split_cases(str(folder), LABELS, fields=True)
    assert "W107" not in caplog.text
    with pytest.raises(UsageError, match=r"E903.*fields"):
        split_cases(str(folder), LABELS, fields="yes")


def test_the_published_split_is_held_out_of_the_training_half(tmp_path, monkeypatch):
    """18 to train on, 2 to validate, and the other half, 20, to test."""
    monkeypatch.setattr(drive, "n_tests", lambda cases: 20)
    lists = split_cases(str(drive.write(tmp_path, 20, seed=0)), LABELS, held_out=0.1)
    assert [len(lists[name]) for name in ("train", "validate", "test")] == [18, 2, 20]
    assert all(item["case"].endswith("_training") for item in lists["train"] + lists["validate"])
    assert all(item["case"].endswith("_test") for item in lists["test"])


def test_a_table_names_both(folder):
    """As paths from the table's folder; one that is not there is refused with its row."""
    rows = [
        {
            "image": f"training/images/{number:02d}_training.tif",
            "label": f"training/1st_manual/{number:02d}_manual1.gif",
            "field_of_view": f"training/mask/{number:02d}_training_mask.gif",
            "second_observer": "",
            "subset": "test" if number == 3 else "",
        }
        for number in range(3, 11)
    ]
    rows[0]["second_observer"] = "test/2nd_manual/01_manual2.gif"

    def write():
        with open(folder / "pairs.csv", "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)

    write()
    lists = split_cases(str(folder), LABELS, layout="csv_pairs")
    (item,) = lists["test"]
    assert item["field_of_view"] == str(folder / "training" / "mask" / "03_training_mask.gif")
    assert item["second_observer"] == str(folder / "test" / "2nd_manual" / "01_manual2.gif")
    assert "strata" not in item  # files are no columns of a table of scores
    rows[1]["field_of_view"] = "training/mask/absent.gif"
    write()
    with pytest.raises(DataError, match=r"E101.*row 3 names a file that is not there.*absent\.gif"):
        split_cases(str(folder), LABELS, layout="csv_pairs")
