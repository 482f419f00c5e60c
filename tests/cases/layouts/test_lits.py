import shutil
from pathlib import Path

from medseg.cases.layouts import read_data_set


def test_volumes_of_two_batches_and_tests(written):
    root = written("lits")
    found = read_data_set(root)
    assert [case.id for case in found.subset("labelled")] == [f"volume-{number}" for number in range(5)]
    assert [case.id for case in found.subset("images")] == ["test-volume-0", "test-volume-1"]
    assert found.subset("test") == []
    last = found.subset("labelled")[-1]
    assert last.images == (root / "Training Batch 2" / "volume-4.nii",)
    assert last.label == root / "Training Batch 2" / "segmentation-4.nii"
    assert found.labels.values == {"background": (0,), "liver": (1,), "tumour": (2,)}
    assert found.ignored == {}


def test_segmentations_in_a_folder_of_their_own(phantom):
    root = phantom("lits")
    (root / "segmentations").mkdir()
    for path in sorted(root.glob("Training*/segmentation-*.nii")):
        path.rename(root / "segmentations" / path.name)
    assert len(read_data_set(root).subset("labelled")) == 5


def test_a_volume_without_a_segmentation_and_the_reverse(phantom):
    root = phantom("lits")
    (root / "Training Batch 1" / "segmentation-1.nii").unlink()
    (root / "Training Batch 1" / "volume-2.nii").unlink()
    found = read_data_set(root)
    assert [case.id for case in found.subset("labelled")] == ["volume-0", "volume-3", "volume-4"]
    assert [case.id for case in found.cases if case.label is None] == ["test-volume-0", "test-volume-1", "volume-1"]
    assert found.ignored == {Path("Training Batch 1/segmentation-2.nii"): "belongs to no case"}


def test_two_volumes_of_one_number_are_refused(phantom, refused):
    root = phantom("lits")
    shutil.copy(root / "Training Batch 1" / "volume-0.nii", root / "Training Batch 2" / "volume-0.nii")
    (fault,) = refused(root)
    assert (fault.code, fault.found) == ("E501", str(root / "Training Batch 1" / "volume-0.nii"))
