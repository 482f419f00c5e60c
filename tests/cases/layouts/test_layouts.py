import json

import numpy as np
import pytest

from medseg.cases.layouts import find_cases
from medseg.errors import DataError

VOXELS = np.ones((2, 2, 2), np.uint8)


def description(training, test=()):
    pairs = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in training]
    return {"training": pairs, "test": [f"./imagesTs/{name}.nii.gz" for name in test]}


@pytest.fixture
def decathlon(tmp_path, save):
    """A data set as the Decathlon ships it, the `._` files of its archives included."""
    root = tmp_path / "Task04"
    for name in ("h_2", "h_10"):
        for folder in ("imagesTr", "labelsTr"):
            save(root / folder / f"{name}.nii.gz", VOXELS)
            (root / folder / f"._{name}.nii.gz").write_bytes(b"\0\5\x16\7")
    save(root / "imagesTs" / "t_1.nii.gz", VOXELS)
    save(root / "imagesTs" / "t_2.nii.gz", VOXELS)
    (root / "dataset.json").write_text(json.dumps(description(["h_2", "h_10"], ["t_1", "t_2"])))
    return root


@pytest.fixture
def plain(tmp_path, save):
    root = tmp_path / "plain"
    for name in ("b.nii", "a.nii.gz"):
        save(root / "images" / name, VOXELS)
        save(root / "masks" / name, VOXELS)
        (root / "images" / f"._{name}").write_bytes(b"\0")
        (root / "masks" / "notes.txt").write_text("no volume")
    return root


def rewrite(root, content):
    (root / "dataset.json").write_text(content if isinstance(content, str) else json.dumps(content))


def faults(root, subset="labelled"):
    with pytest.raises(DataError) as caught:
        find_cases(root, subset)
    return caught.value.faults


def ids(cases):
    return [case.id for case in cases]


def test_decathlon(decathlon, save):
    cases = find_cases(decathlon)
    assert ids(cases) == ["h_10", "h_2"]
    assert cases[0].images == (decathlon / "imagesTr" / "h_10.nii.gz",)
    assert cases[0].label == decathlon / "labelsTr" / "h_10.nii.gz"
    assert cases[0].group == "h_10"
    assert ids(find_cases(decathlon, "images")) == ["t_1", "t_2"]
    assert find_cases(decathlon, "test") == []
    save(decathlon / "labelsTs" / "t_2.nii.gz", VOXELS)
    (test,) = find_cases(decathlon, "test")
    assert (test.id, test.label) == ("t_2", decathlon / "labelsTs" / "t_2.nii.gz")


def test_decathlon_without_test_images(decathlon):
    rewrite(decathlon, {"training": description(["h_2"])["training"], "test": None})
    found = find_cases(decathlon, "images")
    assert ids(found) == ["h_2"]
    assert found[0].label is None


def test_every_missing_file_is_named(decathlon):
    (decathlon / "imagesTr" / "h_2.nii.gz").unlink()
    (decathlon / "labelsTr" / "h_10.nii.gz").unlink()
    found = faults(decathlon)
    assert {(fault.code, fault.what, fault.file.name) for fault in found} == {
        ("E101", "an image is missing", "h_2.nii.gz"),
        ("E101", "a label is missing", "h_10.nii.gz"),
    }


@pytest.mark.parametrize(
    "entry",
    [{"image": "imagesTr/h_2.nii.gz"}, {"label": "labelsTr/h_2.nii.gz"}, "h_2", {"image": ["a"], "label": "b"}, 3],
)
def test_half_an_entry(decathlon, entry):
    rewrite(decathlon, {"training": [entry]})
    assert faults(decathlon)[0].code == "E101"


@pytest.mark.parametrize("name", ["../secret.nii.gz", "/etc/hostname", "imagesTr/../../secret.nii.gz", "."])
def test_paths_that_leave_the_folder(decathlon, save, name):
    save(decathlon.parent / "secret.nii.gz", VOXELS)
    for content in ({"training": [{"image": name, "label": name}]}, {"training": [], "test": [name]}):
        rewrite(decathlon, content)
        (fault,) = faults(decathlon, "images")
        assert (fault.code, fault.found) == ("E501", name)


def test_a_link_out_of_the_folder(decathlon, save):
    target = save(decathlon.parent / "secret.nii.gz", VOXELS)
    (decathlon / "imagesTr" / "h_2.nii.gz").unlink()
    (decathlon / "imagesTr" / "h_2.nii.gz").symlink_to(target)
    assert faults(decathlon)[0].code == "E501"


@pytest.mark.parametrize(
    "content",
    ['{"training": [', "", "[]", '{"training": {"a": 1}}', '{"test": [{"label": "x"}]}', '{"test": [1]}', "\0"],
)
def test_broken_descriptions(decathlon, content):
    rewrite(decathlon, content)
    (fault,) = faults(decathlon)
    assert (fault.code, fault.file) == ("E104", decathlon / "dataset.json")


def test_two_cases_of_one_id(decathlon, save):
    for folder in ("p1", "p2"):
        save(decathlon / folder / "img.nii.gz", VOXELS)
    rewrite(decathlon, {"training": [{"image": f"{p}/img.nii.gz", "label": f"{p}/img.nii.gz"} for p in ("p1", "p2")]})
    (fault,) = faults(decathlon)
    assert (fault.code, fault.case) == ("E501", "img")
    assert "p1" in fault.found and "p2" in str(fault.file)


def test_plain_folders(plain):
    cases = find_cases(plain)
    assert ids(cases) == ["a", "b"]
    assert cases[1].images == (plain / "images" / "b.nii",)
    assert cases[1].label == plain / "masks" / "b.nii"
    assert find_cases(plain, "test") == []
    assert [case.label for case in find_cases(plain, "images")] == [None, None]


def test_labels_win_over_masks(plain, save):
    for name in ("a", "b"):
        save(plain / "labels" / f"{name}.nii.gz", VOXELS)
    assert {case.label.parent.name for case in find_cases(plain)} == {"labels"}


def test_images_in_the_folder_itself(tmp_path, save):
    save(tmp_path / "x.NII.gz", VOXELS)
    assert ids(find_cases(tmp_path, "images")) == ["x"]
    assert faults(tmp_path)[0].what == "an image has no label"


def test_every_lonely_file_is_named(plain, save):
    (plain / "masks" / "a.nii.gz").unlink()
    save(plain / "masks" / "c.nii.gz", VOXELS)
    assert {(fault.code, fault.what, fault.case) for fault in faults(plain)} == {
        ("E101", "an image has no label", "a"),
        ("E101", "a label has no image", "c"),
    }


def test_two_files_of_one_case(plain, save):
    save(plain / "images" / "a.nii", VOXELS)
    assert faults(plain)[0].code == "E501"


@pytest.mark.parametrize("folder", [None, "", "None", " "])
def test_no_folder_given(folder):
    assert "dataset_dir is not set" in str(faults(folder)[0])


def test_folders_that_are_none(tmp_path):
    assert faults(tmp_path / "none")[0].found == "nothing"
    (tmp_path / "file").write_text("")
    assert faults(tmp_path / "file")[0].found == "a file"


@pytest.mark.parametrize("subset", ["labelled", "images", "test"])
def test_a_folder_without_images_says_what_was_looked_for(tmp_path, subset):
    (fault,) = faults(tmp_path, subset)
    assert fault.code == "E609"
    assert "dataset.json" in fault.expected and "images/" in fault.expected
    assert fault.found == "an empty folder"
    for number in range(7):
        (tmp_path / f"scan{number}.dcm").write_text("")
    assert faults(tmp_path, subset)[0].found.startswith("scan0.dcm, scan1.dcm")
