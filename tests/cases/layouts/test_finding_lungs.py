import shutil
from pathlib import Path

import numpy as np
import pytest

from medseg.cases.layouts import read_data_set


def test_slices_and_volumes(written):
    root = written("finding_lungs")
    found = {case.id: case for case in read_data_set(root).cases}
    assert sorted(found) == ["ID_0000_Z_0070", "ID_0001_Z_0071", "ID_0002_Z_0072", "ID_0003_Z_0073", "ID_0004_Z_0074",
                             "IMG_0002", "IMG_0031"]  # fmt: skip
    volume, piece = found["IMG_0031"], found["ID_0004_Z_0074"]
    assert (volume.label, volume.meta["part"]) == (root / "3d_images" / "MASK_0031.nii.gz", "3d")
    assert (piece.label, piece.meta["part"]) == (root / "2d_masks" / "ID_0004_Z_0074.tif", "2d")
    assert (piece.group, volume.group) == ("ID_0004", "IMG_0031")


def test_an_archive_that_was_not_unpacked_is_named(phantom, refused):
    root = phantom("finding_lungs")
    assert read_data_set(root).ignored == {
        Path("3d_images.zip"): "an archive that was not unpacked",
        Path("lung_stats.csv"): "a table that finding_lungs does not read",
    }
    for name in ("2d_images", "2d_masks", "3d_images"):
        shutil.rmtree(root / name)
    (fault,) = refused(root)
    assert fault.code == "E609"
    assert "unpack 3d_images.zip" in fault.fix


@pytest.mark.parametrize(("gone", "left"), [("3d_images", "2d"), ("2d_images", "3d"), ("2d_masks", "3d")])
def test_each_part_alone(phantom, gone, left):
    root = phantom("finding_lungs")
    shutil.rmtree(root / gone)
    assert {case.meta["part"] for case in read_data_set(root).cases} == {left}


def test_a_volume_without_a_mask_has_no_label(phantom):
    root = phantom("finding_lungs")
    (root / "3d_images" / "MASK_0002.nii.gz").unlink()
    found = {case.id: case.label for case in read_data_set(root).cases}
    assert found["IMG_0002"] is None
    assert found["IMG_0031"] is not None


def test_plain_folders_with_such_names_are_plain(tmp_path, save):
    voxels = np.ones((2, 2, 2), np.uint8)
    for folder in ("images", "masks"):
        save(tmp_path / folder / "IMG_0002.nii.gz", voxels)
    assert read_data_set(tmp_path).layout == "flat"
