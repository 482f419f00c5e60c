from pathlib import Path

import numpy as np
import pytest

from medseg.cases.layouts import read_data_set

VOXELS = np.ones((2, 2, 2), np.uint8)


@pytest.fixture
def pairs(tmp_path, save):
    """A function that writes a table beside two images and a mask."""
    for name in ("a", "b", "a_drawn"):
        save(tmp_path / "data" / f"{name}.nii.gz", VOXELS)

    def write(text, name="pairs.csv", **options):
        (tmp_path / "data" / name).write_text(text, **options)
        return tmp_path / "data"

    return write


def test_channels_groups_subsets_and_meta_data(written):
    root = written("csv_pairs")
    found = read_data_set(root)
    assert [case.id for case in found.subset("labelled")] == ["c1", "c2", "c3", "c4", "c5"]
    assert [case.id for case in found.subset("test")] == ["c6", "c7"]
    assert [case.group for case in found.cases] == ["p1", "p1", "p2", "p2", "p3", "t1", "t2"]
    assert found.cases[0].images == (root / "scans" / "1_pre.nii.gz", root / "scans" / "1_post.nii.gz")
    assert found.cases[0].label == root / "scans" / "1_drawn.nii.gz"
    assert found.cases[0].meta == {"modality": "MR", "age": "40"}
    assert found.cases[6].meta == {"modality": "MR", "age": "46", "subset": "test"}
    assert found.ignored == {}


def test_the_shortest_table(pairs):
    root = pairs("Image, Mask\na.nii.gz, a_drawn.nii.gz\nb.nii.gz,\n\n", encoding="utf-8-sig")
    found = read_data_set(root)
    assert [(case.id, case.images, case.label) for case in found.cases] == [
        ("a", (root / "a.nii.gz",), root / "a_drawn.nii.gz"), ("b", (root / "b.nii.gz",), None)
    ]  # fmt: skip


def test_ten_channels_are_in_the_order_of_their_numbers(pairs):
    columns = [f"image_{number}" for number in (10, 2, 1)]
    root = pairs(f"{','.join(columns)},label\na.nii.gz,b.nii.gz,a_drawn.nii.gz,a_drawn.nii.gz\n")
    assert [path.name for path in read_data_set(root).cases[0].images] == ["a_drawn.nii.gz", "b.nii.gz", "a.nii.gz"]


def test_a_table_wins_over_plain_folders(written, phantom):
    root = phantom("flat")
    (root / "pairs.csv").write_text("image,label\nimages/scan_1.png,masks/scan_1_mask.png\n")
    found = read_data_set(root)
    assert (found.layout, [case.id for case in found.cases]) == ("csv_pairs", ["scan_1"])
    assert found.ignored[Path("images/scan_2.png")] == "belongs to no case"
    assert read_data_set(root, layout="flat").layout == "flat"


@pytest.mark.parametrize(
    "text",
    ["image,label\nscan_1,melanoma\n", "image,score\nimages/scan_1.png,3\n", "image,label\n", "", "a;b\n1;2\n",
     "\0,image,label\n"],
)  # fmt: skip
def test_a_table_of_something_else_is_left_alone(phantom, text):
    root = phantom("flat")
    (root / "classes.csv").write_text(text)
    assert read_data_set(root).layout == "flat"


@pytest.mark.parametrize("name", ["../secret.nii.gz", "/etc/hostname", "x/../../secret.nii.gz", "x/../a.nii.gz"])
def test_paths_that_leave_the_folder_are_refused(pairs, tmp_path, save, refused, name):
    save(tmp_path / "secret.nii.gz", VOXELS)
    for row in (f"{name},a_drawn.nii.gz", f"a.nii.gz,{name}"):
        root = pairs(f"image,label\na.nii.gz,a_drawn.nii.gz\n{row}\n")
        (fault,) = refused(root)
        assert (fault.code, fault.found, fault.file) == ("E501", name, root / "pairs.csv")


def test_a_link_that_leaves_the_folder_is_refused(pairs, tmp_path, save, refused):
    root = pairs("image,label\nlink.nii.gz,a_drawn.nii.gz\n")
    (root / "link.nii.gz").symlink_to(save(tmp_path / "secret.nii.gz", VOXELS))
    assert [(fault.code, fault.found) for fault in refused(root)] == [("E501", "link.nii.gz")]


def test_every_fault_of_the_table_is_named(pairs, refused):
    root = pairs(
        "case,image,label,subset\n1,a.nii.gz,gone.nii.gz,train\n2,lost.nii.gz,,\n3,,a_drawn.nii.gz,\n4,b.nii.gz,,later\n"
    )
    assert [(fault.code, fault.what, fault.found) for fault in refused(root)] == [
        ("E101", "row 2 names a file that is not there", "gone.nii.gz"),
        ("E101", "row 3 names a file that is not there", "lost.nii.gz"),
        ("E101", "row 4 lacks an image", "3, , a_drawn.nii.gz, "),
        ("E104", "no such subset", "later"),
    ]


def test_a_missing_file_is_told_by_its_table_and_row(pairs, refused):
    root = pairs("image,label\na.nii.gz,a_drawn.nii.gz\ni/9.nii.gz,a_drawn.nii.gz\n")
    (fault,) = refused(root)
    assert str(fault).startswith(
        f"[E101] {root / 'pairs.csv'}: row 3 names a file that is not there; found i/9.nii.gz; fix: "
    )


@pytest.mark.parametrize("column", ["subset", "Split", "SET"])
def test_names_of_subsets(pairs, column):
    names = {"labelled": ("Train", "training", ""), "validate": ("val", "Valid", "validate", "VALIDATION"),
             "test": ("test", "Testing")}  # fmt: skip
    rows = [f"{subset}{name},a.nii.gz,a_drawn.nii.gz,{name}\n" for subset in names for name in names[subset]]
    found = read_data_set(pairs(f"case,image,label,{column}\n{''.join(rows)}"))
    for subset, given in names.items():
        assert {case.id for case in found.subset(subset)} == {f"{subset}{name}" for name in given}


def test_subsets_that_are_none_are_one_fault(pairs, refused):
    rows = [f"{number},a.nii.gz,a_drawn.nii.gz,{name}\n" for number, name in enumerate(("A", "B", "train", "A"))]
    (fault,) = refused(pairs(f"case,image,label,split\n{''.join(rows)}"))
    assert (fault.code, fault.found) == ("E104", "A, B")
    assert fault.expected == "train, training, val, valid, validate, validation, test, testing"


@pytest.mark.parametrize(
    "column",
    ["group", "patient", "Patient", "patient_id", "Patient ID", "PATIENT  id", "subject", "subject_id", "Subject Id"],
)
def test_a_patient_is_a_group(pairs, column):
    root = pairs(f"image,Label,{column}\na.nii.gz,a_drawn.nii.gz,p7\nb.nii.gz,a_drawn.nii.gz,p7\n")
    assert [(case.group, case.meta) for case in read_data_set(root).cases] == [("p7", {}), ("p7", {})]


def test_columns_with_spaces(pairs):
    root = pairs("Image 1,image_0,mask,Scan_Date\na.nii.gz,b.nii.gz,a_drawn.nii.gz,May\n")
    (case,) = read_data_set(root).cases
    assert ([path.name for path in case.images], case.meta) == (["b.nii.gz", "a.nii.gz"], {"scan_date": "May"})


@pytest.mark.parametrize(
    ("columns", "meaning"),
    [("patient,Subject ID", "group"), ("group,patient", "group"), ("split,subset", "subset"), ("mask,x", "label"),
     ("Age,age", "age"), ("image,x", "image"), ("age,age", "")],
)  # fmt: skip
def test_two_columns_of_one_meaning_are_refused(pairs, refused, columns, meaning):
    root = pairs(f"Image,label,{columns}\na.nii.gz,a_drawn.nii.gz,b.nii.gz,b.nii.gz\n")
    (fault,) = refused(root)
    assert (fault.code, fault.file) == ("E104", root / "pairs.csv")
    assert fault.expected == (f"one for {meaning}" if meaning else "")
    assert set(fault.found.split(", ")) <= {*columns.split(","), "Image", "label"}


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_table_with_semicolons_or_tabs(pairs, mark):
    rows = ("image,label,patient", "a.nii.gz,a_drawn.nii.gz,p1", "b.nii.gz,,p1", "")
    found = read_data_set(pairs("\n".join(rows).replace(",", mark), encoding="utf-8-sig"))
    assert (found.layout, [case.id for case in found.cases]) == ("csv_pairs", ["a", "b"])
    assert [case.group for case in found.cases] == ["p1", "p1"]


def test_absolute_paths_within_the_folder(pairs, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "data")
    root = pairs(f"image,label\n{tmp_path}/data/a.nii.gz,{tmp_path}/link/a_drawn.nii.gz\n")
    (case,) = read_data_set(root).cases
    assert (case.images, case.label) == ((root / "a.nii.gz",), root / "a_drawn.nii.gz")
    assert read_data_set(root).ignored == {Path("b.nii.gz"): "belongs to no case"}


def test_other_tables_are_told_in_what_is_ignored(pairs):
    root = pairs("image,label\na.nii.gz,a_drawn.nii.gz\n")
    pairs("patient,age\np1,40\n", "clinic.csv")
    assert read_data_set(root).ignored[Path("clinic.csv")] == "a table that csv_pairs does not read"
    assert Path("pairs.csv") not in read_data_set(root).ignored


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "a\\b", "..", "."])
def test_ids_that_no_file_can_have_are_refused(pairs, refused, name):
    root = pairs(f"case,image,label\n{name},a.nii.gz,a_drawn.nii.gz\nfine,b.nii.gz,a_drawn.nii.gz\n")
    (fault,) = refused(root)
    assert (fault.code, fault.found, fault.file) == ("E501", repr(name), root / "a.nii.gz")


def test_several_tables_are_refused(pairs, refused):
    root = pairs("image,label\na.nii.gz,a_drawn.nii.gz\n")
    pairs("image,mask\nb.nii.gz,a_drawn.nii.gz\n", "more.csv")
    (fault,) = refused(root)
    assert (fault.code, fault.found) == ("E501", "more.csv, pairs.csv")


def test_one_image_twice_is_refused(pairs, refused):
    root = pairs("image,label\na.nii.gz,a_drawn.nii.gz\na.nii.gz,a_drawn.nii.gz\n")
    assert [(fault.code, fault.case) for fault in refused(root)] == [("E501", "a")]


@pytest.mark.parametrize(
    "content", [b"image,label\na.nii.gz,a_drawn.nii.gz,more\n", b"image,label\na.nii.gz,a_drawn.nii.gz\n\xff,\n"]
)
def test_tables_that_cannot_be_read(pairs, refused, content):
    root = pairs("")
    (root / "pairs.csv").write_bytes(content)
    (fault,) = refused(root)
    assert (fault.code, fault.file) == ("E104", root / "pairs.csv")


def test_members_of_a_stack(pairs):
    root = pairs("case,image,label\nfirst,x.npy::0,y.npy::0\nlast,x.npy::3,y.npy::3\n")
    for name in ("x", "y"):
        np.save(root / f"{name}.npy", np.ones((4, 5, 5)))
    found = read_data_set(root)
    assert [case.images[0].name for case in found.cases] == ["x.npy::0", "x.npy::3"]
    assert Path("x.npy") not in found.ignored


def test_folders_of_dicom_series(pairs):
    root = pairs("case,image,label\n1,series,a_drawn.nii.gz\n")
    (root / "series").mkdir()
    (root / "series" / "000001.dcm").touch()
    assert read_data_set(root).cases[0].images == (root / "series",)
