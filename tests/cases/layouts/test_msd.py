import json
import logging
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from medseg.cases.check_all import check_data_set
from medseg.cases.layouts import read_data_set
from medseg.transforms import ReadImaged

ROOT = Path("Task03_Liver")


def test_names_labels_and_modality_of_the_description(written):
    found = read_data_set(written("msd"))
    assert [case.id for case in found.subset("labelled")] == [f"liver_{number}" for number in range(5)]
    assert [case.id for case in found.subset("images")] == ["liver_5", "liver_6"]
    assert {case.meta["modality"] for case in found.cases} == {"CT"}
    assert found.labels.values == {"background": (0,), "liver": (1,), "cancer": (2,)}


def test_what_macos_left_is_ignored(written):
    ignored = read_data_set(written("msd")).ignored
    assert list(ignored) == [
        ROOT / folder / f"._liver_{number}.nii.gz"
        for folder, numbers in (("imagesTr", range(5)), ("imagesTs", (5, 6)))
        for number in numbers
    ]
    assert set(ignored.values()) == {"a hidden file"}


def test_a_file_that_the_description_does_not_name_is_ignored(phantom, save):
    root = phantom("msd") / ROOT
    save(root / "imagesTr" / "liver_99.nii.gz", np.ones((2, 2, 2), np.uint8))
    found = read_data_set(root)
    assert len(found.cases) == 7
    assert found.ignored[Path("imagesTr/liver_99.nii.gz")] == "belongs to no case"


def test_several_modalities_and_one_as_text(phantom, describe):
    root = phantom("msd")
    for modality, expected in (({"0": "FLAIR", "1": "T1w"}, "FLAIR, T1w"), ("PET", "PET"), (None, None)):
        describe(root / ROOT / "dataset.json", modality=modality)
        assert read_data_set(root).cases[0].meta.get("modality") == expected


@pytest.mark.skipif("MEDSEG_REAL_DATA" not in os.environ, reason="MEDSEG_REAL_DATA names no folder of real data")
def test_a_real_task_of_the_decathlon():
    found = read_data_set(Path(os.environ["MEDSEG_REAL_DATA"], "Task04_Hippocampus"))
    assert [len(found.subset(name)) for name in ("labelled", "validate", "test", "images")] == [200, 0, 0, 60]
    assert found.labels.values == {"background": (0,), "Anterior": (1,), "Posterior": (2,)}
    assert {case.meta["modality"] for case in found.cases} == {"MRI"}
    assert found.ignored == {}


@pytest.mark.parametrize("modality", [["CT"], {"CT": "0"}, {"1": "CT"}, 3])
def test_modalities_that_are_none(phantom, describe, refused, modality):
    root = phantom("msd")
    describe(root / ROOT / "dataset.json", modality=modality)
    (fault,) = refused(root)
    assert (fault.code, fault.what) == ("E104", "not a table of channels")


def test_two_tasks_below_one_folder_are_refused(phantom, refused):
    root = phantom("msd")
    shutil.copytree(root / ROOT, root / "Task09_Spleen")
    (root / "Task09_Spleen" / "dataset.json").write_text('{"training": [], "test": ["imagesTs/liver_5.nii.gz"]}')
    (fault,) = refused(root)
    assert (fault.code, fault.found) == ("E609", "Task03_Liver, Task09_Spleen")


def test_a_description_further_below_is_not_looked_at(phantom):
    root = phantom("msd") / ROOT
    (root / "old").mkdir()
    (root / "old" / "dataset.json").write_text('{"training": 3}')
    assert len(read_data_set(root).cases) == 7


def test_a_description_of_something_else_above_it_is_passed_over(phantom):
    root = phantom("msd")
    (root / "dataset.json").write_text('{"name": "all tasks"}')
    assert len(read_data_set(root).cases) == 7


def test_a_description_of_something_else_is_no_data_set(tmp_path, refused):
    (tmp_path / "dataset.json").write_text(json.dumps({"name": "a table", "rows": 3}))
    assert refused(tmp_path)[0].code == "E609"


def test_a_link_within_the_folder_and_a_linked_folder(phantom):
    root = phantom("msd") / ROOT
    image = root / "imagesTr" / "liver_0.nii.gz"
    image.rename(root / "elsewhere.nii.gz")
    image.symlink_to("../elsewhere.nii.gz")
    (root / "labelsTr").rename(root / "drawn")
    (root / "labelsTr").symlink_to("drawn")
    found = read_data_set(root)
    assert len(found.subset("labelled")) == 5
    assert Path("labelsTr") not in found.ignored
    (root / "spare").symlink_to("imagesTs")
    assert read_data_set(root).ignored[Path("spare")] == "a link to a folder, which is not followed"


def test_a_linked_folder_that_leads_out_is_refused(phantom, refused):
    root = phantom("msd") / ROOT
    (root / "labelsTr").rename(root.parent / "outside")
    (root / "labelsTr").symlink_to("../outside")
    (fault,) = refused(root)
    assert (fault.code, fault.found) == ("E501", "./labelsTr/liver_0.nii.gz")


def test_labels_of_some_test_images_are_worth_a_warning(phantom, save, caplog):
    root = phantom("msd") / ROOT
    save(root / "labelsTs" / "liver_6.nii.gz", np.ones((2, 2, 2), np.uint8))
    with caplog.at_level(logging.WARNING):
        assert [case.id for case in read_data_set(root).subset("test")] == ["liver_6"]
    assert "W101" in caplog.text and "1 of 2 test images" in caplog.text


def test_four_axes_are_channels(phantom, describe):
    """Task01 and Task05: `dataset.json` names the modalities; the last axis holds them."""
    root = phantom("msd")
    file = next(root.rglob("dataset.json"))
    describe(file, modality={"0": "T2", "1": "ADC"})
    for path in (*file.parent.glob("imagesTr/*.nii.gz"), *file.parent.glob("imagesTs/*.nii.gz")):
        if not path.name.startswith("."):
            image = nib.load(path)
            pair = np.stack([image.dataobj, np.asarray(image.dataobj) + 1], axis=-1)
            nib.save(nib.Nifti1Image(pair, image.affine), path)
    found = read_data_set(root)
    assert {case.meta["modality"] for case in found.cases} == {"T2, ADC"}
    first = found.subset("labelled")[0]
    assert [path.name for path in first.images] == ["liver_0.nii.gz::0", "liver_0.nii.gz::1"]
    assert check_data_set(found).faults == []
    channels = ReadImaged("image")({"image": [str(path) for path in first.images]})["image"]
    assert torch.equal(channels[1], channels[0] + 1)
    describe(file, modality={"0": "T2"})
    assert {fault.code for fault in check_data_set(read_data_set(root)).errors} == {"E204"}
    describe(file, modality={"0": "T2", "1": "ADC", "2": "DWI"})
    assert {fault.code for fault in check_data_set(read_data_set(root)).errors} >= {"E101", "E204"}
