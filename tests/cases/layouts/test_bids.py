from pathlib import Path

import numpy as np
import pytest

from medseg.cases.layouts import read_data_set

MASKS = Path("derivatives/manual/sub-01/ses-1/anat")
MASK = MASKS / "sub-01_ses-1_space-T1w_desc-lesion_mask.nii.gz"
IMAGES = Path("sub-01/ses-1/anat")


def test_a_mask_belongs_to_the_image_of_its_session_and_space(written):
    root = written("bids")
    found = read_data_set(root)
    assert [case.id for case in found.cases][:3] == ["sub-01_ses-1_T1w", "sub-01_ses-2_T1w", "sub-02_ses-1_T1w"]
    assert found.cases[0].images == (root / IMAGES / "sub-01_ses-1_T1w.nii.gz",)
    assert found.cases[0].label == root / MASK
    assert found.ignored == {IMAGES / "sub-01_ses-1_FLAIR.nii.gz": "belongs to no case"}


def test_sessions_of_a_subject_are_one_group(written):
    assert [case.group for case in read_data_set(written("bids")).subset("labelled")] == [
        "sub-01", "sub-01", "sub-02", "sub-02", "sub-03"
    ]  # fmt: skip


def test_a_session_without_a_mask_is_a_case_without_a_label(written):
    cases = read_data_set(written("bids")).cases
    assert [case.id for case in cases if case.label is None] == ["sub-03_ses-2_T1w", "sub-04_ses-1_T1w"]


@pytest.mark.parametrize("name", ["Derivatives", "DERIVATIVES"])
def test_derivatives_in_another_case(phantom, name):
    root = phantom("bids")
    (root / "derivatives").rename(root / name)
    found = read_data_set(root)
    assert (found.layout, len(found.subset("labelled"))) == ("bids", 5)


def test_a_mask_that_fits_two_images_is_refused(phantom, refused):
    root = phantom("bids")
    (root / MASK).rename(root / MASKS / "sub-01_ses-1_mask.nii.gz")
    (fault,) = refused(root)
    assert (fault.code, fault.found) == ("E501", "sub-01_ses-1_FLAIR.nii.gz, sub-01_ses-1_T1w.nii.gz")


def test_a_mask_without_its_image_is_refused(phantom, refused):
    root = phantom("bids")
    (root / IMAGES / "sub-01_ses-1_T1w.nii.gz").unlink()
    (root / IMAGES / "sub-01_ses-1_FLAIR.nii.gz").unlink()
    (fault,) = refused(root)
    assert (fault.code, fault.found, fault.file) == ("E501", "none", root / MASK)


def test_two_masks_of_one_image_are_refused(phantom, refused):
    root = phantom("bids")
    other = root / MASKS / "sub-01_ses-1_space-T1w_desc-brain_mask.nii.gz"
    other.write_bytes((root / MASK).read_bytes())
    (fault,) = refused(root)
    assert (fault.code, fault.what, fault.found, fault.file) == (
        "E501",
        "two masks of one image",
        f"{other}",
        root / MASK,
    )


def test_a_segmentation_without_sessions_is_found_too(tmp_path, save):
    voxels = np.ones((2, 2, 2), np.uint8)
    image = save(tmp_path / "sub-A1" / "anat" / "sub-A1_run-1_T2w.nii", voxels)
    save(tmp_path / "sub-A1" / "anat" / "sub-A1_run-2_T2w.nii", voxels)
    label = save(tmp_path / "derivatives" / "sub-A1_run-1_label-1_dseg.nii", voxels)
    (case,) = read_data_set(tmp_path).subset("labelled")
    assert (case.id, case.images, case.label) == ("sub-A1_run-1_T2w", (image,), label)
