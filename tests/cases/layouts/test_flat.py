from pathlib import Path

import numpy as np
import pytest

from medseg.cases.layouts import read_data_set

VOXELS = np.ones((2, 2, 2), np.uint8)


def test_labels_carry_an_ending(written):
    root = written("flat")
    found = read_data_set(root)
    assert [case.id for case in found.subset("labelled")] == [f"scan_{number}" for number in range(1, 6)]
    assert found.cases[0].label == root / "masks" / "scan_1_mask.png"
    assert set(found.ignored.values()) == {"a hidden file"}


@pytest.mark.parametrize("ending", ["_label", "_seg", "_segmentation", "_MASK", ""])
@pytest.mark.parametrize("folder", ["labels", "Masks"])
def test_other_endings_and_folders(phantom, ending, folder):
    root = phantom("flat")
    (root / "masks").rename(root / folder)
    for path in list((root / folder).iterdir()):
        path.rename(path.with_name(path.name.replace("_mask", ending)))
    assert [case.id for case in read_data_set(root).subset("labelled")] == [f"scan_{number}" for number in range(1, 6)]


def test_an_ending_that_images_carry_too_is_part_of_the_name(tmp_path, save):
    for folder in ("images", "labels"):
        save(tmp_path / folder / "a_seg.nii", VOXELS)
    assert [case.id for case in read_data_set(tmp_path).subset("labelled")] == ["a_seg"]


def test_masks_beside_labels_are_ignored(phantom):
    root = phantom("flat")
    (root / "labels").mkdir()
    for number in range(1, 6):
        (root / "labels" / f"scan_{number}.png").write_bytes((root / "masks" / f"scan_{number}_mask.png").read_bytes())
    found = read_data_set(root)
    assert {case.label.parent.name for case in found.cases} == {"labels"}
    assert found.ignored[Path("masks/scan_1_mask.png")] == "belongs to no case"


def test_several_folders_of_images_are_refused(tmp_path, save, refused):
    for folder in ("one", "two"):
        save(tmp_path / folder / "images" / "a.nii", VOXELS)
    (fault,) = refused(tmp_path)
    assert (fault.code, fault.found) == ("E501", "one/images, two/images")


def test_a_name_may_be_composed_or_parted(tmp_path, save):
    image = save(tmp_path / "images" / "a\u0308.nii", VOXELS)
    label = save(tmp_path / "labels" / "\u00e4.nii", VOXELS)
    (case,) = read_data_set(tmp_path).subset("labelled")
    assert (case.id, case.images, case.label) == ("\u00e4", (image,), label)


def test_images_further_below(tmp_path, save):
    for folder in ("images", "labels"):
        save(tmp_path / "set" / "v1" / folder / "a.nii", VOXELS)
    assert len(read_data_set(tmp_path).subset("labelled")) == 1


def test_labels_beside_their_images(tmp_path, save, refused):
    for name in ("a", "a_seg", "b", "b_Mask", "c", "seg", "x_seg"):
        save(tmp_path / f"{name}.nii.gz", np.ones((2, 2, 2), np.uint8))
    found = read_data_set(tmp_path)
    labels = {case.id: case.label.name if case.label else None for case in found.cases}
    assert labels == {"a": "a_seg.nii.gz", "b": "b_Mask.nii.gz", "c": None, "seg": None, "x_seg": None}
    assert [case.id for case in found.subset("labelled")] == ["a", "b"]
    save(tmp_path / "a_label.nii.gz", np.ones((2, 2, 2), np.uint8))
    (fault,) = refused(tmp_path)
    assert (fault.code, fault.case) == ("E501", "a")
