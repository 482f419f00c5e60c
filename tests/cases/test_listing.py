import os
from pathlib import Path

import pytest

from medseg.cases.listing import look, natural_key, natural_sort
from medseg.errors import DataError


@pytest.fixture
def tree(tmp_path):
    """A function that writes files with a content and gives their folder."""

    def write(**contents):
        for name, content in contents.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode())
        return tmp_path / "root"

    return write


def test_numbers_in_names_count_as_numbers():
    names = ["liver_10", "liver_2", "liver_02", "Liver_3", "liver", "liver_2b", "10", "9", "x²", "x1"]
    assert natural_sort(names) == [
        "9",
        "10",
        "Liver_3",
        "liver",
        "liver_02",
        "liver_2",
        "liver_2b",
        "liver_10",
        "x1",
        "x²",
    ]
    assert natural_sort(reversed(names)) == natural_sort(names)
    assert natural_key("a1") != natural_key("a01")


def test_files_and_folders_are_listed_in_natural_order(tree):
    listing = look(tree(**{"b/x10": "", "b/x9": "", "a10/y": "", "a9/y": "", "z": ""}))
    assert list(listing.folders.items()) == [
        (Path(), ("z",)), (Path("a9"), ("y",)), (Path("a10"), ("y",)), (Path("b"), ("x9", "x10"))
    ]  # fmt: skip


def test_junk_is_left_out_and_remembered(tree):
    listing = look(tree(**{"a/x": "", "a/._x": "", ".DS_Store": "", "__MACOSX/a/x": "", ".git/config": ""}))
    assert list(listing.folders) == [Path("a")]
    assert listing.ignored == {
        Path("a/._x"): "a hidden file",
        Path(".DS_Store"): "a hidden file",
        Path("__MACOSX"): "what an archive program left",
        Path(".git"): "what an archive program left",
    }


def test_folders_are_found_by_their_last_names_in_any_case(tree):
    listing = look(tree(**{"b/Images/x": "", "images/x": "1", "b/train/images/y": "", "imagesTr/x": ""}))
    assert listing.named("images") == [Path("images"), Path("b/Images"), Path("b/train/images")]
    assert listing.named("B", "IMAGES") == [Path("b/Images")]
    assert listing.named("train") == [Path("b/train")]
    assert listing.beside(Path("b/Images"), "TRAIN") == Path("b/train")
    assert listing.beside(Path("b/Images"), "masks") is None


def test_volumes_and_files_by_pattern(tree):
    root = tree(**{"a/x.nii.gz": "", "a/y.txt": "", "a/z.PNG": "", "b.nii": "", "c.ZIP": "", "d/e.tar.gz": ""})
    listing = look(root)
    assert listing.volumes(Path("a")) == {"x.nii.gz": root / "a/x.nii.gz", "z.PNG": root / "a/z.PNG"}
    assert listing.volumes(Path("none")) == listing.volumes(None) == {}
    assert listing.files(r".*\.(nii|png)") == [root / "b.nii", root / "a/z.PNG"]
    assert listing.archives() == [Path("c.ZIP"), Path("d/e.tar.gz")]


@pytest.mark.parametrize(
    ("folder", "copy"),
    [("a/b", "a/a/b"), ("a/b", "data/a/b"), (".", "a"), ("a", "a/b"), ("a/b", "a/x/y/b"), ("b", "x/y/b")],
)
def test_a_tree_inside_itself_is_a_copy(tree, folder, copy):
    root = tree(**{f"{place}/{name}": name for place in (folder, copy) for name in ("1", "2", "3")})
    listing = look(root)
    assert list(listing.folders) == [Path(folder)]
    reason = f"a copy of what is in {'root' if folder == '.' else folder}"
    assert listing.ignored == {Path(copy, name): reason for name in ("1", "2", "3")}


def test_a_part_of_a_tree_is_a_copy_and_more_than_it_is_none(tree):
    root = tree(**{"a/1": "x", "a/2": "y", "a/a/1": "x", "b/1": "x", "b/b/1": "x", "b/b/2": "y"})
    assert list(look(root).folders) == [Path("a"), Path("b"), Path("b/b")]


@pytest.mark.parametrize("content", ["other", "anoth"])
def test_other_content_is_no_copy(tree, content):
    root = tree(
        **{"a/1": "other", "a/2": "other", "a/a/1": "other", "a/a/2": content + ("" if content == "anoth" else "!")}
    )
    assert len(look(root).folders) == 2


@pytest.mark.parametrize("odd", [0, 1, 25, 49])
def test_one_file_of_another_size_among_many_is_enough_to_be_no_copy(tree, odd):
    root = tree(**{f"{place}/{number}": "same" for place in ("a", "a/a") for number in range(50)})
    (root / "a" / "a" / str(odd)).write_bytes(b"longer")
    assert len(look(root).folders) == 2


def test_folders_side_by_side_are_no_copies(tree):
    assert len(look(tree(**{"patient1/mask": "same", "patient2/mask": "same"})).folders) == 2


def test_paths_in_tables(tree, tmp_path):
    root = tree(**{"a/x": "", "b/y": ""})
    (tmp_path / "secret").write_text("")
    (root / "a" / "out").symlink_to(tmp_path / "secret")
    (root / "a" / "in").symlink_to(root / "b" / "y")
    (root / "linked").symlink_to(tmp_path)
    listing = look(root)
    assert listing.links == {Path("a/out"), Path("a/in")}
    assert listing.inside(Path("a"), "x") == listing.inside(Path(), "./a/x") == root / "a" / "x"
    assert listing.inside(Path("a"), "in") == root / "a" / "in"
    assert listing.inside(Path(), "gone") == root / "gone"
    for name in ("out", "../b/y", "", ".", "/", "a\0b"):
        assert listing.inside(Path("a"), name) is None
    assert listing.inside(Path(), "linked/secret") is None
    found = [listing.has(root / name) for name in ("a/x", "a/in", "gone", "long" * 1000)]
    assert found == [True, True, False, False]


def test_absolute_paths_in_tables(tree, tmp_path, monkeypatch):
    root = tree(**{"a/x": "", "b/y": ""})
    (tmp_path / "secret").write_text("")
    (tmp_path / "link").symlink_to(root)
    (root / "a" / "out").symlink_to(tmp_path / "secret")
    (root / "a" / "in").symlink_to(root / "b" / "y")
    monkeypatch.chdir(tmp_path)
    for place in (root, tmp_path / "link", Path("root")):
        listing = look(place)
        for given in (root, tmp_path / "link"):
            for name in ("a/x", "a/in", "a/gone"):
                assert listing.inside(Path("b"), str(given / name)) == place / name
            for name in (".", "a/out", "a/../a/x", "../secret"):
                assert listing.inside(Path("b"), os.path.join(given, name)) is None
        assert listing.inside(Path("b"), str(tmp_path / "secret")) is None
        assert listing.inside(Path("b"), f"{root}_2/x") is None


def test_a_folder_reached_through_a_link_is_listed(tree, tmp_path):
    (tmp_path / "link").symlink_to(tree(**{"a/x": ""}))
    listing = look(tmp_path / "link")
    assert listing.inside(Path("a"), "x") == tmp_path / "link" / "a" / "x"
    assert listing.inside(Path("a"), "gone") == tmp_path / "link" / "a" / "gone"


def test_a_folder_that_cannot_be_read_is_named(tree, monkeypatch):
    root, scan = tree(**{"a/x": "", "b/x": ""}), os.scandir

    def refusing(path):
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError) as caught:
        look(root)
    assert (caught.value.faults[0].code, caught.value.faults[0].file) == ("E101", root / "b")
