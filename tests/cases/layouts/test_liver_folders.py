import shutil

from medseg.cases.layouts import read_data_set


def test_training_and_test_folders(written):
    root = written("liver_folders")
    found = read_data_set(root)
    assert [case.id for case in found.subset("labelled")] == [f"liver_{number}" for number in range(5)]
    assert [case.id for case in found.subset("test")] == ["liver_5", "liver_6"]
    assert found.cases[0].label == root / "TrainSegmentation" / "liver_0.nii.gz"
    assert found.labels is None


def test_test_folders_are_not_needed(phantom):
    root = phantom("liver_folders")
    shutil.rmtree(root / "TestSegmentation")
    assert read_data_set(root).subset("test") == []
    shutil.rmtree(root / "TestVolumes")
    assert len(read_data_set(root).cases) == 5


def test_names_of_lits_in_these_folders(phantom):
    root = phantom("liver_folders")
    for half in ("Train", "Test"):
        for kind, name in (("Volumes", "volume"), ("Segmentation", "segmentation")):
            for path in list((root / f"{half}{kind}").iterdir()):
                path.rename(path.with_name(path.name.replace("liver_", f"{name}-")))
    found = read_data_set(root)
    assert found.layout == "liver_folders"
    assert [(case.id, case.label.name) for case in found.subset("test")] == [
        ("volume-5", "segmentation-5.nii.gz"), ("volume-6", "segmentation-6.nii.gz")
    ]  # fmt: skip
