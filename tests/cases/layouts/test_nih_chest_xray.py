import csv
from pathlib import Path

import pytest

from medseg.cases.layouts import read_data_set

COLUMNS = "Image Index,Finding Labels,Follow-up #,Patient ID\n"


@pytest.fixture
def full(tmp_path):
    """The full set: a table, and images in numbered folders."""
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text(
        COLUMNS + "00000001_000.png,Cardiomegaly|Effusion,0,1\n00000001_001.png,No Finding,1,1\n"
        "00000002_000.png,Effusion,0,2\n"
    )
    for number, name in ((1, "00000001_000"), (2, "00000001_001"), (12, "00000002_000")):
        folder = tmp_path / f"images_{number:03d}" / "images"
        folder.mkdir(parents=True)
        (folder / f"{name}.png").touch()
    return tmp_path


def test_findings_and_patients(written):
    found = {case.id: case for case in read_data_set(written("nih_chest_xray")).cases}
    assert list(found) == ["00000001_000", "00000001_001", "00000002_000", "00000002_001", "00000003_000"]
    assert {case.group for case in found.values()} == {f"patient_0000000{number}" for number in (1, 2, 3)}
    healthy = dict.fromkeys(("Edema", "Emphysema", "Hernia", "Infiltration"), 0)
    assert found["00000001_000"].image_labels == healthy
    assert found["00000001_001"].image_labels == {**healthy, "Hernia": 1}
    assert found["00000002_000"].image_labels == {**healthy, "Edema": 1, "Emphysema": 1}
    assert found["00000003_000"].image_labels == {**healthy, "Hernia": 1, "Infiltration": 1}


def test_nested_copies_and_rows_without_an_image(written):
    found = read_data_set(written("nih_chest_xray"))
    assert found.ignored == {
        Path("sample/sample_labels.csv"): "a copy of what is in nih_chest_xray",
        Path("00000003_001.png"): "in sample_labels.csv, but not here",
        **{
            Path(f"sample/sample/images/{case.images[0].name}"): "a copy of what is in sample/images"
            for case in found.cases
        },
    }
    assert len(read_data_set(written("nih_chest_xray").parent).cases) == 5


def test_the_full_set(full):
    found = read_data_set(full)
    assert [(case.id, case.group) for case in found.cases] == [
        ("00000001_000", "patient_1"), ("00000001_001", "patient_1"), ("00000002_000", "patient_2")
    ]  # fmt: skip
    assert found.cases[0].image_labels == {"Cardiomegaly": 1, "Effusion": 1}
    assert found.ignored == {}


def test_two_tables_are_refused(full, refused):
    (full / "sample_labels.csv").write_text(COLUMNS)
    assert (refused(full)[0].code, refused(full)[0].what) == ("E501", "several tables of findings")


def test_two_images_of_one_name_are_refused(full, refused):
    (full / "images_012" / "images" / "00000001_000.png").write_bytes(b"another")
    assert refused(full)[0].code == "E501"


@pytest.mark.parametrize(
    "text",
    ["", COLUMNS, "Image Index,Finding Labels\na.png,Edema\n", COLUMNS + "00000001_000.png,,0,1\n",
     COLUMNS + "00000001_000.png\n", COLUMNS + "a,b,c,d,e\n"],
)  # fmt: skip
def test_tables_that_lack_something(full, refused, text):
    path = full / "Data_Entry_2017_v2020.csv"
    path.write_text(text)
    (fault,) = refused(full)
    assert (fault.code, fault.file) == ("E104", path)


def test_a_table_that_is_no_text(full, refused):
    path = full / "Data_Entry_2017_v2020.csv"
    path.write_bytes(b"Image Index,Finding Labels,Patient ID\n\xff\xfe,\x80,1\n")
    assert (refused(full)[0].code, refused(full)[0].file) == ("E104", path)


def test_the_table_of_the_phantom_is_csv_as_others_read_it(written):
    with open(written("nih_chest_xray") / "sample_labels.csv", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 6
