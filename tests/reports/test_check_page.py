import csv
import re

import numpy as np
import pytest

from medseg.cases.check_all import check_data_set
from medseg.cases.layouts import read_data_set
from medseg.labels import Labels
from medseg.reports.check_page import PICTURES, findings_by_kind, write_check

LABELS = Labels({"background": 0, "liver": 1})


@pytest.fixture
def folder(tmp_path, save):
    """Nine cases; c1's label is elsewhere and c2's holds a 5, c3's image is damaged, c4's label is empty."""
    root = tmp_path / "data"
    for number in range(9):
        rng = np.random.default_rng(number)
        label = np.zeros((12, 10, 8), np.uint8)
        label[3:8, 2:7, 2:5] = 5 if number == 2 else 0 if number == 4 else 1
        affine = np.eye(4)
        affine[0, 3] = 3.0 if number == 1 else 0.0
        save(root / "images" / f"c{number}.nii.gz", rng.normal(size=label.shape).astype(np.float32))
        save(root / "labels" / f"c{number}.nii.gz", label, affine)
    (root / "images" / "c3.nii.gz").write_bytes(b"<script>")
    return root


def test_lines(folder):
    lines = findings_by_kind(check_data_set(read_data_set(folder), LABELS))
    assert [line.split()[:2] for line in lines[:-1]] == [["E104", "1"], ["E202", "1"], ["E301", "1"], ["W302", "1"]]
    assert lines[-1] == "9 cases read: 3 errors, 1 warning"


def test_the_page_and_the_table(folder, tmp_path):
    check = check_data_set(read_data_set(folder), LABELS)
    page = write_check(check, folder, tmp_path / "out").read_text()
    assert page == write_check(check, folder, tmp_path / "again").read_text()
    for expected in ("training refuses this folder", "E202", "3 mm", "5 (75 voxels)", "the label is empty", "flat"):
        assert expected in page
    assert page.count("<img ") == 3 + 5  # a finding each, but of the damaged image there is none; and six examples
    assert str(tmp_path) not in page and "<script" not in page
    assert set(re.findall(r'src="(data:image/png)', page)) == {"data:image/png"}
    with open(tmp_path / "out" / "findings.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["code"], row["case"], row["file"]) for row in rows] == [
        ("E202", "c1", "labels/c1.nii.gz"),
        ("E301", "c2", "labels/c2.nii.gz"),
        ("E104", "c3", "images/c3.nii.gz"),
        ("W302", "c4", "labels/c4.nii.gz"),
    ]


def test_a_folder_without_findings(folder, tmp_path):
    for number in range(1, 5):
        for kind in ("images", "labels"):
            (folder / kind / f"c{number}.nii.gz").unlink()
    check = check_data_set(read_data_set(folder), LABELS)
    assert findings_by_kind(check) == ["5 cases read: 0 errors, 0 warnings"]
    assert "Nothing is wrong" in write_check(check, folder, tmp_path / "out").read_text()


def test_a_long_list_is_cut(folder, tmp_path, save):
    for number in range(9, 9 + PICTURES):
        for kind in ("images", "labels"):
            save(folder / kind / f"c{number}.nii.gz", np.full((3, 3, 3), number, np.int16))
    page = write_check(check_data_set(read_data_set(folder), LABELS), folder, tmp_path / "out").read_text()
    assert page.count("<h3>") == PICTURES
    assert "more findings are in findings.csv" in page
