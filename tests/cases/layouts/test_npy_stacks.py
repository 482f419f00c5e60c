from pathlib import Path

import numpy as np
import pytest

from medseg.cases import split_cases
from medseg.cases.layouts import read_data_set


def test_a_case_a_slice(written):
    root = written("npy_stacks")
    found = read_data_set(root)
    assert [case.id for case in found.subset("labelled")] == [f"train_000{number}" for number in range(5)]
    assert str(found.cases[3].images[0]) == f"{root / 'X_train.npy'}::3"
    assert str(found.cases[3].label) == f"{root / 'y_train.npy'}::3"


def test_changed_copies_of_the_slices_are_ignored(written):
    assert read_data_set(written("npy_stacks")).ignored == dict.fromkeys(
        (Path("X_train(Clahe).npy"), Path("X_train(Hist).npy")), "the same slices, their histogram changed"
    )


def test_test_slices(phantom):
    root = phantom("npy_stacks")
    for name in ("X", "y"):
        np.save(root / f"{name}_test.npy", np.load(root / f"{name}_train.npy")[:2])
    found = read_data_set(root)
    assert [case.id for case in found.subset("test")] == ["test_0000", "test_0001"]
    assert str(found.subset("test")[1].images[0]) == f"{root / 'X_test.npy'}::1"
    assert len(found.subset("labelled")) == 5


@pytest.mark.parametrize("name", ["Y_train.npy", "Y_TRAIN.npy"])
def test_other_names_of_the_labels(phantom, name):
    root = phantom("npy_stacks")
    (root / "y_train.npy").rename(root / name)
    assert len(read_data_set(root).subset("labelled")) == 5


def test_stacks_that_differ_in_length_are_refused(phantom, refused):
    root = phantom("npy_stacks")
    np.save(root / "y_train.npy", np.zeros((4, 40, 40, 1)))
    (fault,) = refused(root)
    assert (fault.code, fault.expected, fault.found, fault.file) == ("E201", "5 labels", "4", root / "y_train.npy")


def test_objects_are_refused_without_loading_them(phantom, refused):
    root = phantom("npy_stacks")
    np.save(root / "y_train.npy", np.array([{}] * 5, dtype=object), allow_pickle=True)
    (fault,) = refused(root)
    assert (fault.code, fault.file) == ("E205", root / "y_train.npy")


def test_a_split_says_that_patients_are_not_known(written, caplog):
    lists = split_cases(str(written("npy_stacks")), {"background": 0, "prostate": 1})
    assert lists["validate"] and "[W504]" in caplog.text and "5 slices in a stack" in caplog.text
    caplog.clear()
    split_cases(str(written("npy_stacks")), {"background": 0, "prostate": 1}, held_out=0)
    assert "W504" not in caplog.text  # nothing is scored
