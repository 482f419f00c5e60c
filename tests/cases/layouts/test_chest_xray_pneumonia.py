from collections import Counter
from pathlib import Path

import pytest

from medseg.cases.layouts import read_data_set
from medseg.errors import DataError

ROOT = Path("chest_xray")


def test_subsets_and_classes(written):
    cases = read_data_set(written("chest_xray_pneumonia")).cases
    counts = Counter((case.meta.get("subset"), case.image_labels["pneumonia"]) for case in cases)
    assert counts == {
        (None, 0): 3,
        (None, 1): 2,
        ("validate", 0): 1,
        ("validate", 1): 1,
        ("test", 0): 1,
        ("test", 1): 1,
    }
    assert {case.images[0].parent.name: case.image_labels["pneumonia"] for case in cases} == {
        "NORMAL": 0,
        "PNEUMONIA": 1,
    }


def test_two_images_of_a_child_are_one_group(written):
    groups = {case.id: case.group for case in read_data_set(written("chest_xray_pneumonia")).cases}
    assert groups["train_person1_bacteria_1"] == groups["train_person1_bacteria_2"] == "train_PNEUMONIA_person1"
    assert groups["train_IM-0001-0001"] == "train_NORMAL_IM-0001"
    assert groups["test_person1_bacteria_1"] == "test_PNEUMONIA_person1"


def test_names_of_the_real_set_give_their_patient(phantom):
    root = phantom("chest_xray_pneumonia") / ROOT / "train"
    for folder, name in (("NORMAL", "NORMAL2-IM-0927-0001"), ("PNEUMONIA", "person100_virus_184"), ("NORMAL", "odd")):
        (root / folder / f"{name}.jpeg").touch()
    groups = {case.id: case.group for case in read_data_set(root.parent).cases}
    assert groups["train_NORMAL2-IM-0927-0001"] == "train_NORMAL_NORMAL2-IM-0927"
    assert groups["train_person100_virus_184"] == "train_PNEUMONIA_person100"
    assert groups["train_odd"] == "train_odd"


def test_there_are_no_masks_to_train_on(written):
    with pytest.raises(DataError, match=r"E101.*an image has no label"):
        read_data_set(written("chest_xray_pneumonia")).subset("labelled")


def test_the_nested_tree_and_the_files_of_macos_are_ignored(written):
    found = read_data_set(written("chest_xray_pneumonia"))
    assert found.ignored[Path("__MACOSX")] == "what an archive program left"
    copies = [path for path, reason in found.ignored.items() if reason.startswith("a copy of")]
    assert copies == sorted(ROOT / case.images[0].relative_to(written("chest_xray_pneumonia")) for case in found.cases)
    assert len(read_data_set(written("chest_xray_pneumonia") / ROOT).cases) == len(found.cases) == 9


def test_a_nested_tree_with_other_images_is_refused(phantom, refused):
    root = phantom("chest_xray_pneumonia")
    (root / ROOT / ROOT / "train" / "NORMAL" / "IM-0001-0001.jpeg").write_bytes(b"another image")
    assert {(fault.code, fault.case) for fault in refused(root)} == {
        ("E501", f"train_IM-000{number}-0001") for number in (1, 2, 3)
    }
