import shutil
from pathlib import Path

import pytest
from PIL import Image

from medseg.cases.layouts import read_data_set

ROOT = Path("Dataset001_Phantom")


def test_channels_labels_and_modality(written):
    root = written("nnunet")
    found = read_data_set(root)
    first = found.subset("labelled")[0]
    assert first.images == tuple(root / ROOT / "imagesTr" / f"phantom_000_{channel:04d}.nii.gz" for channel in (0, 1))
    assert first.label == root / ROOT / "labelsTr" / "phantom_000.nii.gz"
    assert first.meta == {"modality": "T1, FLAIR"}
    assert [case.id for case in found.subset("images")] == ["phantom_005", "phantom_006"]
    assert found.labels.values == {"background": (0,), "tumour": (1, 2), "core": (2,)}
    assert found.ignored == {}


def test_a_value_to_ignore(phantom, describe):
    root = phantom("nnunet")
    describe(root / ROOT / "dataset.json", labels={"background": 0, "rim": 1, "ignore": 2})
    found = read_data_set(root)
    assert found.labels.values == {"background": (0,), "rim": (1,)}
    assert {case.meta["ignore_value"] for case in found.cases} == {2}


def test_labels_of_test_cases_are_read_where_they_are(phantom):
    root = phantom("nnunet") / ROOT
    (root / "labelsTs").mkdir()
    shutil.copy(root / "labelsTr" / "phantom_000.nii.gz", root / "labelsTs" / "phantom_006.nii.gz")
    assert [case.id for case in read_data_set(root).subset("test")] == ["phantom_006"]


@pytest.mark.parametrize(
    ("gone", "expected", "found"),
    [("phantom_002_0000", "0000, 0001", "0001"), ("phantom_002_0001", "0000, 0001", "0000")],
)
def test_a_case_that_lacks_a_channel_is_refused(phantom, refused, gone, expected, found):
    root = phantom("nnunet") / ROOT
    (root / "imagesTr" / f"{gone}.nii.gz").unlink()
    (fault,) = refused(root)
    assert (fault.code, fault.case, fault.expected, fault.found) == ("E101", "phantom_002", expected, found)


def test_a_case_with_one_channel_too_many_is_refused(phantom, refused):
    root = phantom("nnunet") / ROOT
    shutil.copy(root / "imagesTr" / "phantom_002_0000.nii.gz", root / "imagesTr" / "phantom_002_0002.nii.gz")
    assert refused(root)[0].found == "0000, 0001, 0002"


def test_version_1_named_channels_modality_and_images_without_them(phantom, describe):
    root = phantom("nnunet")
    names = [f"phantom_{number:03d}.nii.gz" for number in range(5)]
    describe(
        root / ROOT / "dataset.json",
        channel_names=None,
        modality={"0": "T1", "1": "FLAIR"},
        labels={"0": "background", "1": "rim", "2": "core"},
        training=[{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        test=["./imagesTs/phantom_005.nii.gz"],
    )
    found = read_data_set(root)
    assert (found.layout, len(found.cases), len(found.cases[0].images)) == ("nnunet", 7, 2)
    assert found.cases[0].meta["modality"] == "T1, FLAIR"
    assert found.labels.values["core"] == (2,)


def test_pictures(tmp_path):
    for folder, name in (("imagesTr", "a_0000"), ("labelsTr", "a"), ("imagesTr", "b_0000")):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "photo"}, "file_ending": ".png"}')
    found = read_data_set(tmp_path)
    assert [(case.id, case.label is None) for case in found.cases] == [("a", False), ("b", True)]
    assert found.labels is None


def test_the_colours_of_a_photograph_are_channels_in_one_file(tmp_path):
    (tmp_path / "imagesTr").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "imagesTr" / "a_0000.png")
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "R", "1": "G", "2": "B"}, "file_ending": ".png"}')
    (case,) = read_data_set(tmp_path).cases
    assert (case.images, case.meta["modality"]) == ((tmp_path / "imagesTr" / "a_0000.png",), "R, G, B")


def test_files_without_a_channel_or_an_image_are_ignored(phantom):
    root = phantom("nnunet") / ROOT
    shutil.copy(root / "labelsTr" / "phantom_000.nii.gz", root / "labelsTr" / "phantom_077.nii.gz")
    shutil.copy(root / "labelsTr" / "phantom_000.nii.gz", root / "imagesTr" / "phantom_077.nii.gz")
    assert read_data_set(root).ignored == dict.fromkeys(
        (Path("imagesTr/phantom_077.nii.gz"), Path("labelsTr/phantom_077.nii.gz")), "belongs to no case"
    )


@pytest.mark.parametrize("names", [{"0": "T1"}, {"0": "T1", "2": "FLAIR"}, ["T1", "FLAIR"], {}])
def test_channel_names_that_do_not_fit(phantom, describe, refused, names):
    root = phantom("nnunet")
    describe(root / ROOT / "dataset.json", channel_names=names)
    assert {fault.code for fault in refused(root)} <= {"E101", "E104"}


def test_two_data_sets_below_one_folder_are_refused(phantom, refused):
    root = phantom("nnunet")
    shutil.copytree(root / ROOT, root / "Dataset002_Other")
    (root / "Dataset002_Other" / "imagesTr" / "phantom_000_0000.nii.gz").write_bytes(b"another")
    (fault,) = refused(root)
    assert (fault.code, fault.found) == ("E609", "Dataset001_Phantom, Dataset002_Other")
