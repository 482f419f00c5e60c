import shutil
from pathlib import Path

from medseg.cases.layouts import read_data_set

INPUT, TRUTH = "ISIC2018_Task1-2_{}_Input", "ISIC2018_Task1_{}_GroundTruth"


def test_three_subsets(written):
    root = written("isic2018")
    found = read_data_set(root)
    assert [case.id for case in found.subset("labelled")] == [f"ISIC_{number * 3:07d}" for number in range(5)]
    assert [case.id for case in found.subset("validate")] == ["ISIC_0000015", "ISIC_0000018"]
    assert [case.id for case in found.subset("test")] == ["ISIC_0000021", "ISIC_0000024"]
    assert found.cases[0].label == root / TRUTH.format("Training") / "ISIC_0000000_segmentation.png"
    assert found.ignored == {}


def test_training_images_alone(phantom):
    root = phantom("isic2018")
    for name in ("Validation", "Test"):
        for folder in (INPUT, TRUTH):
            shutil.rmtree(root / folder.format(name))
    found = read_data_set(root)
    assert len(found.cases) == len(found.subset("images")) == 5


def test_test_images_come_without_masks(phantom):
    root = phantom("isic2018")
    shutil.rmtree(root / TRUTH.format("Test"))
    found = read_data_set(root)
    assert found.subset("test") == []
    assert len(found.subset("images")) == 2


def test_a_mask_without_its_photograph_is_ignored(phantom):
    root = phantom("isic2018")
    (root / INPUT.format("Training") / "ISIC_0000000.jpg").unlink()
    assert read_data_set(root).ignored == {
        Path(TRUTH.format("Training"), "ISIC_0000000_segmentation.png"): "belongs to no case"
    }


def test_a_mirror_with_plain_folders_is_plain(phantom):
    root = phantom("isic2018")
    for name in ("Validation", "Test"):
        for folder in (INPUT, TRUTH):
            shutil.rmtree(root / folder.format(name))
    (root / INPUT.format("Training")).rename(root / "images")
    (root / TRUTH.format("Training")).rename(root / "masks")
    found = read_data_set(root)
    assert found.layout == "flat"
    assert [case.id for case in found.subset("labelled")] == [f"ISIC_{number * 3:07d}" for number in range(5)]
