import shutil

from medseg.cases.layouts import read_data_set


def test_a_folder_a_patient(written):
    root = written("nrrd_pairs")
    found = read_data_set(root)
    assert [case.id for case in found.cases] == [f"LUNG1-00{number}" for number in range(1, 7)]
    assert [case.images[0].name for case in found.cases[:2]] == ["image.nrrd", "CT_volume.nrrd"]
    assert found.cases[1].label == root / "LUNG1-002" / "GTV-1_mask.nrrd"
    assert [case.id for case in found.cases if case.label is None] == ["LUNG1-006"]
    assert found.ignored == {}


def test_names_in_another_case_and_a_mask_that_names_its_image(phantom):
    root = phantom("nrrd_pairs")
    (root / "LUNG1-001" / "image.nrrd").rename(root / "LUNG1-001" / "CT_IMAGE.NRRD")
    (root / "LUNG1-001" / "GTV-1_mask.nrrd").rename(root / "LUNG1-001" / "CT_image_MASK.nrrd")
    first = read_data_set(root).cases[0]
    assert (first.images[0].name, first.label.name) == ("CT_IMAGE.NRRD", "CT_image_MASK.nrrd")


def test_two_masks_of_one_patient_are_refused(phantom, refused):
    root = phantom("nrrd_pairs")
    shutil.copy(root / "LUNG1-001" / "GTV-1_mask.nrrd", root / "LUNG1-001" / "GTV-2_mask.nrrd")
    (fault,) = refused(root)
    assert (fault.code, fault.found, fault.file) == ("E501", "GTV-1_mask.nrrd, GTV-2_mask.nrrd", root / "LUNG1-001")


def test_two_patients_of_one_name_are_refused(phantom, refused):
    root = phantom("nrrd_pairs")
    (root / "other").mkdir()
    (root / "LUNG1-002").rename(root / "other" / "LUNG1-001")
    assert [(fault.code, fault.case) for fault in refused(root)] == [("E501", "LUNG1-001")]
