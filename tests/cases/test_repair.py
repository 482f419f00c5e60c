import csv
import os

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medseg.cases.check_all import check_data_set
from medseg.cases.layouts import read_data_set
from medseg.cases.phantoms import write_phantom
from medseg.cases.repair import write_repaired
from medseg.errors import DataError
from medseg.volumes import read_volume

AFFINE = np.array([[0.0, -1.5, 0, 10], [1.5, 0, 0, -20], [0, 0, 2.0, 30], [0, 0, 0, 1]])
VOXELS = np.random.default_rng(0).integers(-900, 900, (4, 5, 6)).astype(np.int16)
NAMES = ("plain", "gzip", "metres", "qform", "rounded", "shifted")
LABEL = (VOXELS > 0).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, save):
    """One fault a case, and a case without."""
    root = tmp_path / "data"
    for number, name in enumerate(NAMES):
        save(root / "images" / f"{name}.nii.gz", VOXELS + number, AFFINE)
        save(root / "labels" / f"{name}.nii.gz", LABEL, AFFINE)
    unpacked = nib.load(root / "images" / "gzip.nii.gz").to_bytes()
    (root / "images" / "gzip.nii.gz").write_bytes(unpacked)
    for kind in ("images", "labels"):
        metres = nib.load(root / kind / "metres.nii.gz")
        metres = nib.Nifti1Image(np.asarray(metres.dataobj), np.diag([0.001, 0.001, 0.001, 1]) @ AFFINE)
        metres.header.set_xyzt_units("meter")
        nib.save(metres, root / kind / "metres.nii.gz")
    apart = nib.load(root / "images" / "qform.nii.gz")
    moved = AFFINE.copy()
    moved[0, 3] += 0.5
    apart.set_qform(moved, code=1)
    nib.save(apart, root / "images" / "qform.nii.gz")
    save(root / "labels" / "rounded.nii.gz", LABEL * np.float32(0.9996), AFFINE)
    near = AFFINE.copy()
    near[2, 3] += 0.001
    save(root / "labels" / "shifted.nii.gz", LABEL, near)
    (root / "images" / "._plain.nii.gz").write_bytes(b"\0")
    (root / "README.txt").write_text("kept")
    return root


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_safe_repairs(folder, tmp_path):
    before = contents(folder)
    changes = write_repaired(check_data_set(read_data_set(folder)), folder, tmp_path / "out")
    assert contents(folder) == before
    assert [(change["case"], change["file"]) for change in changes] == [
        ("gzip", "images/gzip.nii.gz"),
        ("metres", "images/metres.nii.gz"),
        ("metres", "labels/metres.nii.gz"),
        ("qform", "images/qform.nii.gz"),
        ("rounded", "labels/rounded.nii.gz"),
        ("shifted", "labels/shifted.nii.gz"),
    ]
    with open(tmp_path / "out" / "changes.csv", newline="") as stream:
        assert list(csv.DictReader(stream)) == changes
    after = contents(tmp_path / "out")
    changed = {change["file"] for change in changes}
    untouched = {
        path: content for path, content in before.items() if str(path) not in changed and "._" not in str(path)
    }
    assert {path: after[path] for path in untouched} == untouched
    assert set(map(str, after)) == set(map(str, untouched)) | changed | {"changes.csv"}
    assert check_data_set(read_data_set(tmp_path / "out")).faults == []
    for number, name in enumerate(NAMES):
        image, label = (read_volume(tmp_path / "out" / kind / f"{name}.nii.gz") for kind in ("images", "labels"))
        assert np.array_equal(image.array, VOXELS + number)
        assert np.array_equal(label.array, LABEL) and label.array.dtype == np.uint8
        assert np.allclose(image.geometry.affine, AFFINE, atol=1e-5)
        assert np.allclose(label.geometry.affine, image.geometry.affine, atol=1e-6)


def test_what_cannot_be_repaired_is_copied(folder, tmp_path):
    (folder / "images" / "plain.nii.gz").write_bytes(b"damaged")
    write_repaired(check_data_set(read_data_set(folder)), folder, tmp_path / "out")
    assert (tmp_path / "out" / "images" / "plain.nii.gz").read_bytes() == b"damaged"


def test_the_copy_has_a_place_of_its_own(folder, tmp_path):
    check = check_data_set(read_data_set(folder))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("kept")
    for out in (folder, folder / "fixed", tmp_path / "taken"):
        with pytest.raises(DataError, match="E503"):
            write_repaired(check, folder, out)
    assert not (folder / "fixed").exists()


def resized(mask, resampling):
    return np.asarray(Image.fromarray(mask).resize((96, 72), resampling))


def test_masks_whose_edges_were_smeared(tmp_path):
    """Split in the middle: at most the pixels of the edge differ from a mask that was never smeared."""
    root, masks = tmp_path / "data", {}
    rng = np.random.default_rng(0)
    for number, suffix in enumerate((".png", ".jpg", ".png")):
        y, x = np.indices((250, 333))
        mask = np.where((x - 150) ** 2 + (y - 120 - number) ** 2 < 60**2, 255, 0).astype(np.uint8)
        masks[number] = resized(mask, Image.Resampling.NEAREST)
        for kind in ("images", "masks"):
            (root / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (72, 96)).astype(np.uint8)).save(root / "images" / f"c{number}.png")
        found = masks[number] if number == 2 else resized(mask, Image.Resampling.BICUBIC)
        Image.fromarray(found).save(root / "masks" / f"c{number}{suffix}")
    check = check_data_set(read_data_set(root))
    assert [(fault.code, fault.case) for fault in check.errors] == [("E306", "c0"), ("E306", "c1")]
    changes = write_repaired(check, root, tmp_path / "out")
    assert [(change["case"], change["file"]) for change in changes] == [("c0", "masks/c0.png"), ("c1", "masks/c1.png")]
    after = check_data_set(read_data_set(tmp_path / "out"))
    assert after.errors == [] and len(after.cases) == 3
    for number, each in enumerate(after.cases):
        repaired = read_volume(each.case.label).array[..., 0].T
        assert np.mean(repaired != masks[number]) < 0.01
        assert set(np.unique(repaired)) == {0, 255}


def test_a_stack_of_masks_that_was_resized(tmp_path):
    root = write_phantom("npy_stacks", tmp_path / "data", 3)
    stack = np.load(root / "y_train.npy")
    soft = stack.copy()
    soft[:, 5, 5:9, 0] = (0.25, 0.5, 0.75, 0.4)
    np.save(root / "y_train.npy", soft)
    check = check_data_set(read_data_set(root))
    assert {fault.code for fault in check.errors} == {"E303"}
    (change,) = write_repaired(check, root, tmp_path / "out")
    assert change["file"] == "y_train.npy" and "split at 0.5" in change["change"]
    expected = stack.copy()
    expected[:, 5, 5:9, 0] = (0, 1, 1, 0)
    assert np.array_equal(np.load(tmp_path / "out" / "y_train.npy"), expected)
    assert check_data_set(read_data_set(tmp_path / "out")).errors == []


def test_what_is_no_regular_file_is_left_out(folder, tmp_path):
    (folder / "images" / "gone.txt").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe")
    for path in (folder / "images", folder):
        path.chmod(0o555)
    write_repaired(check_data_set(read_data_set(folder)), folder, tmp_path / "out")
    for path in (folder, folder / "images"):
        path.chmod(0o755)
    assert not (tmp_path / "out" / "pipe").exists() and not (tmp_path / "out" / "images" / "gone.txt").is_symlink()
    assert (tmp_path / "out" / "images").stat().st_mode & 0o200


def test_label_maps_and_probabilities_are_no_smeared_masks(tmp_path):
    """An atlas stored as a picture, and soft labels that nobody knows where to split, stay as they are."""
    root, rng = tmp_path / "data", np.random.default_rng(0)
    atlas = np.kron(rng.integers(0, 86, (8, 8)), np.ones((10, 10))).astype(np.uint8)
    atlas[:10, :10] = 255
    for kind, array in (("images", rng.integers(0, 255, atlas.shape).astype(np.uint8)), ("masks", atlas)):
        (root / kind).mkdir(parents=True)
        Image.fromarray(array).save(root / kind / "a.png")
    check = check_data_set(read_data_set(root))
    assert check.errors == [] and write_repaired(check, root, tmp_path / "out") == []
    stacks = write_phantom("npy_stacks", tmp_path / "stacks", 3)
    soft = np.load(stacks / "y_train.npy") * rng.uniform(0.1, 0.9, (3, 40, 40, 1))
    np.save(stacks / "y_train.npy", soft)
    check = check_data_set(read_data_set(stacks))
    assert check.errors and write_repaired(check, stacks, tmp_path / "same") == []
