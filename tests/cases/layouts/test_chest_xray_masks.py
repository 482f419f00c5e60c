import shutil
from pathlib import Path

from medseg.cases.layouts import read_data_set

TREE = Path("Lung Segmentation")


def test_masks_of_both_sources_are_found(written):
    root = written("chest_xray_masks") / TREE
    found = {case.id: case for case in read_data_set(root.parent).subset("labelled")}
    assert sorted(found) == [
        "CHNCXR_0001_0", "CHNCXR_0002_1", "CHNCXR_0004_1", "CHNCXR_0005_0", "MCUCXR_0003_0"
    ]  # fmt: skip
    assert found["CHNCXR_0001_0"].label == root / "masks" / "CHNCXR_0001_0_mask.png"
    assert found["MCUCXR_0003_0"].label == root / "masks" / "MCUCXR_0003_0.png"


def test_the_second_tree_is_ignored_as_a_copy(written):
    ignored = read_data_set(written("chest_xray_masks")).ignored
    for name in ("CXR_png/CHNCXR_0001_0.png", "masks/CHNCXR_0001_0_mask.png"):
        assert ignored[Path("data") / TREE / name] == f"a copy of what is in {TREE / Path(name).parent}"


def test_the_inner_folder_alone_is_the_same_data_set(written):
    outer, inner = (read_data_set(written("chest_xray_masks") / place) for place in (".", f"data/{TREE}"))
    assert [case.id for case in outer.cases] == [case.id for case in inner.cases]


def test_a_test_image_that_stands_among_the_others_is_not_listed_twice(written):
    found = read_data_set(written("chest_xray_masks"))
    assert [case.id for case in found.cases if case.meta.get("subset") == "test"] == ["CHNCXR_0008_1"]
    again = [path.name for path, reason in found.ignored.items() if reason == "stands in CXR_png/ too"]
    assert again == ["CHNCXR_0007_0.png", "MCUCXR_0006_1.png"]
    assert [case.id for case in found.cases if case.label is None and "subset" not in case.meta] == [
        "CHNCXR_0007_0", "MCUCXR_0006_1"
    ]  # fmt: skip


def test_a_mask_without_its_image_is_ignored(phantom):
    root = phantom("chest_xray_masks") / TREE
    (root / "CXR_png" / "CHNCXR_0001_0.png").unlink()
    found = read_data_set(root)
    assert len(found.subset("labelled")) == 4
    assert found.ignored[Path("masks/CHNCXR_0001_0_mask.png")] == "belongs to no case"


def test_two_masks_of_one_image_are_refused(phantom, refused):
    root = phantom("chest_xray_masks") / TREE
    (root / "masks" / "CHNCXR_0001_0.png").write_bytes(b"another")
    (fault,) = refused(root)
    assert (fault.code, fault.what) == ("E501", "two files of one case")


def test_folder_names_in_another_case(phantom):
    root = phantom("chest_xray_masks") / TREE
    (root / "CXR_png").rename(root / "cxr_PNG")
    (root / "masks").rename(root / "Masks")
    assert len(read_data_set(root).subset("labelled")) == 5


def test_a_test_image_whose_mask_is_there_is_a_labelled_test_case(phantom):
    root = phantom("chest_xray_masks") / TREE
    mask = root / "masks" / "CHNCXR_0008_1_mask.png"
    shutil.copy(root / "masks" / "CHNCXR_0001_0_mask.png", mask)
    found = read_data_set(root)
    assert [(case.id, case.label) for case in found.subset("test")] == [("CHNCXR_0008_1", mask)]
    assert len(found.subset("labelled")) == 5
    assert mask.relative_to(root) not in found.ignored
