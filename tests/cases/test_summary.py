import numpy as np
import pytest

from medseg import files
from medseg.cases.layouts import read_data_set
from medseg.cases.summary import describe


@pytest.fixture
def folder(tmp_path, save):
    """Three cases of 4, 4 and 6 axial slices, of which 2, 0 and 1 hold label; the third runs upwards along x."""
    shapes = {"a": ((5, 3, 4), np.eye(4)), "b": ((5, 3, 4), np.eye(4)), "c": ((6, 3, 5), np.eye(4)[:, [2, 1, 0, 3]])}
    for name, (shape, affine) in shapes.items():
        label = np.zeros(shape, np.uint8)
        if name == "a":
            label[0, 0, 1:3] = 1
        if name == "c":
            label[4, 0, 1:3] = 1
        save(tmp_path / "images" / f"{name}.nii.gz", np.random.default_rng(3).normal(size=shape), affine)
        save(tmp_path / "labels" / f"{name}.nii.gz", label, affine)
    (tmp_path / "images" / "._a.nii.gz").write_bytes(b"\0")
    return tmp_path


def test_from_the_headers(folder):
    found = dict(describe(read_data_set(folder)))
    assert (found["layout"], found["cases"], found["groups"]) == ("flat", "3: to train on", "3")
    assert found["slices"].startswith("14 axial")
    assert (found["modality"], found["images a case"], found["without label"]) == ("not stated", "1", "0")
    assert found["ignored"] == "a hidden file: 1: images/._a.nii.gz"


def test_what_has_no_label_is_left_out(folder):
    found = dict(describe(read_data_set(folder), drop_empty=True))
    assert (found["cases"], found["empty labels"]) == ("2: to train on", "1: b")
    assert found["slices"] == "10 axial, 7 of them without label"


def test_a_header_that_cannot_be_read(folder):
    (folder / "images" / "b.nii.gz").write_bytes(b"")
    found = dict(describe(read_data_set(folder)))
    assert found["slices"].startswith("10 axial")
    assert found["unreadable"] == "1: b; medseg check says why"


def test_subsets_channels_and_modalities(folder):
    common = {"group": "p", "modality": "CT"}
    rows = [
        {"case": n, "image_0": f"images/{n}.nii.gz", "image_1": f"images/{n}.nii.gz", "label": label, "subset": subset}
        for n, label, subset in (("a", "labels/a.nii.gz", ""), ("b", "", "test"))
    ]
    rows = [row | common for row in rows]
    files.write_csv(folder / "pairs.csv", rows)
    found = dict(describe(read_data_set(folder, "csv_pairs")))
    assert found["cases"] == "2: 1 to train on, 1 test"
    assert (found["groups"], found["modality"], found["images a case"], found["without label"]) == (
        "1",
        "CT",
        "2",
        "1: b",
    )
