from pathlib import Path

from medseg.cases.layouts import read_data_set

MASKS = Path("MontgomerySet/ManualMask")


def test_a_label_is_the_left_and_the_right_mask(written):
    root = written("montgomery")
    found = read_data_set(root).subset("labelled")
    assert [case.id for case in found] == [f"MCUCXR_{number + 1:04d}_{number % 2}" for number in range(5)]
    name = "MCUCXR_0001_0.png"
    assert found[0].label == (root / MASKS / "leftMask" / name, root / MASKS / "rightMask" / name)


def test_one_mask_of_two_is_no_label(written):
    found = read_data_set(written("montgomery"))
    (half,) = (case for case in found.cases if case.label is None)
    assert half.id == "MCUCXR_0006_1"
    assert found.ignored == {MASKS / "rightMask" / "MCUCXR_0006_1.png": "belongs to no case"}


def test_folder_names_in_another_case(phantom):
    root = phantom("montgomery") / "MontgomerySet"
    (root / "ManualMask" / "leftMask").rename(root / "ManualMask" / "LeftMask")
    (root / "ManualMask" / "rightMask").rename(root / "ManualMask" / "RIGHTMASK")
    (root / "CXR_png").rename(root / "CXR_PNG")
    assert len(read_data_set(root).subset("labelled")) == 5
