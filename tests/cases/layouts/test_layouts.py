import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from medseg.cases.layouts import NAMED, PLAIN, find_cases, read_data_set
from medseg.cases.phantoms import layout_names
from medseg.errors import DataError, UsageError

VOXELS = np.ones((2, 2, 2), np.uint8)


def description(training, test=()):
    pairs = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in training]
    return {"training": pairs, "test": [f"./imagesTs/{name}.nii.gz" for name in test]}


@pytest.fixture
def decathlon(tmp_path, save):
    """A data set as the Decathlon ships it, the `._` files of its archives included."""
    root = tmp_path / "Task04"
    for name in ("h_2", "h_10"):
        for folder in ("imagesTr", "labelsTr"):
            save(root / folder / f"{name}.nii.gz", VOXELS)
            (root / folder / f"._{name}.nii.gz").write_bytes(b"\0\5\x16\7")
    save(root / "imagesTs" / "t_1.nii.gz", VOXELS)
    save(root / "imagesTs" / "t_2.nii.gz", VOXELS)
    (root / "dataset.json").write_text(json.dumps(description(["h_2", "h_10"], ["t_1", "t_2"])))
    return root


@pytest.fixture
def plain(tmp_path, save):
    root = tmp_path / "plain"
    for name in ("b.nii", "a.nii.gz"):
        save(root / "images" / name, VOXELS)
        save(root / "masks" / name, VOXELS)
        (root / "images" / f"._{name}").write_bytes(b"\0")
        (root / "masks" / "notes.txt").write_text("no volume")
    return root


def rewrite(root, content):
    (root / "dataset.json").write_text(content if isinstance(content, str) else json.dumps(content))


def faults(root, subset="labelled"):
    with pytest.raises(DataError) as caught:
        find_cases(root, subset)
    return caught.value.faults


def ids(cases):
    return [case.id for case in cases]


def test_decathlon(decathlon, save):
    cases = find_cases(decathlon)
    assert ids(cases) == ["h_2", "h_10"]
    assert cases[1].images == (decathlon / "imagesTr" / "h_10.nii.gz",)
    assert cases[1].label == decathlon / "labelsTr" / "h_10.nii.gz"
    assert cases[1].group == "h_10"
    assert ids(find_cases(decathlon, "images")) == ["t_1", "t_2"]
    assert find_cases(decathlon, "test") == []
    save(decathlon / "labelsTs" / "t_2.nii.gz", VOXELS)
    (test,) = find_cases(decathlon, "test")
    assert (test.id, test.label) == ("t_2", decathlon / "labelsTs" / "t_2.nii.gz")


def test_absolute_paths_within_the_folder(decathlon):
    (decathlon.parent / "link").symlink_to(decathlon)
    expected = find_cases(decathlon)
    for place in (decathlon, decathlon.parent / "link"):
        given = description(["h_2", "h_10"])["training"]
        rewrite(decathlon, {"training": [{key: str(place / name) for key, name in each.items()} for each in given]})
        assert find_cases(decathlon) == expected


def test_decathlon_without_test_images(decathlon):
    rewrite(decathlon, {"training": description(["h_2"])["training"], "test": None})
    found = find_cases(decathlon, "images")
    assert ids(found) == ["h_2"]
    assert found[0].label is None


def test_every_missing_file_is_named(decathlon):
    (decathlon / "imagesTr" / "h_2.nii.gz").unlink()
    (decathlon / "labelsTr" / "h_10.nii.gz").unlink()
    found = faults(decathlon)
    assert {(fault.code, fault.what, fault.file.name) for fault in found} == {
        ("E101", "an image is missing", "h_2.nii.gz"),
        ("E101", "a label is missing", "h_10.nii.gz"),
    }


@pytest.mark.parametrize(
    "entry",
    [{"image": "imagesTr/h_2.nii.gz"}, {"label": "labelsTr/h_2.nii.gz"}, "h_2", {"image": ["a"], "label": "b"}, 3],
)
def test_half_an_entry(decathlon, entry):
    rewrite(decathlon, {"training": [entry]})
    assert faults(decathlon)[0].code == "E101"


@pytest.mark.parametrize("name", ["../secret.nii.gz", "/etc/hostname", "imagesTr/../../secret.nii.gz", "."])
def test_paths_that_leave_the_folder(decathlon, save, name):
    save(decathlon.parent / "secret.nii.gz", VOXELS)
    for content in ({"training": [{"image": name, "label": name}]}, {"training": [], "test": [name]}):
        rewrite(decathlon, content)
        (fault,) = faults(decathlon, "images")
        assert (fault.code, fault.found) == ("E501", name)


def test_a_link_out_of_the_folder(decathlon, save):
    target = save(decathlon.parent / "secret.nii.gz", VOXELS)
    (decathlon / "imagesTr" / "h_2.nii.gz").unlink()
    (decathlon / "imagesTr" / "h_2.nii.gz").symlink_to(target)
    assert faults(decathlon)[0].code == "E501"


@pytest.mark.parametrize(
    "content",
    ['{"training": [', "", "[]", '{"training": {"a": 1}}', '{"test": [{"label": "x"}]}', '{"test": [1]}', "\0"],
)
def test_broken_descriptions(decathlon, content):
    rewrite(decathlon, content)
    (fault,) = faults(decathlon)
    assert (fault.code, fault.file) == ("E104", decathlon / "dataset.json")


def test_two_cases_of_one_id(decathlon, save):
    for folder in ("p1", "p2"):
        save(decathlon / folder / "img.nii.gz", VOXELS)
    rewrite(decathlon, {"training": [{"image": f"{p}/img.nii.gz", "label": f"{p}/img.nii.gz"} for p in ("p1", "p2")]})
    (fault,) = faults(decathlon)
    assert (fault.code, fault.case) == ("E501", "img")
    assert "p1" in fault.found and "p2" in str(fault.file)


def test_plain_folders(plain):
    cases = find_cases(plain)
    assert ids(cases) == ["a", "b"]
    assert cases[1].images == (plain / "images" / "b.nii",)
    assert cases[1].label == plain / "masks" / "b.nii"
    assert find_cases(plain, "test") == []
    assert [case.label for case in find_cases(plain, "images")] == [None, None]


def test_labels_win_over_masks(plain, save):
    for name in ("a", "b"):
        save(plain / "labels" / f"{name}.nii.gz", VOXELS)
    assert {case.label.parent.name for case in find_cases(plain)} == {"labels"}


def test_images_in_the_folder_itself(tmp_path, save):
    save(tmp_path / "x.NII.gz", VOXELS)
    assert ids(find_cases(tmp_path, "images")) == ["x"]
    assert faults(tmp_path)[0].what == "an image has no label"


def test_every_lonely_file_is_named(plain, save):
    (plain / "masks" / "a.nii.gz").unlink()
    save(plain / "masks" / "c.nii.gz", VOXELS)
    assert {(fault.code, fault.what, fault.case) for fault in faults(plain)} == {
        ("E101", "an image has no label", "a"),
        ("E101", "a label has no image", "c"),
    }


def test_two_files_of_one_case(plain, save):
    save(plain / "images" / "a.nii", VOXELS)
    assert faults(plain)[0].code == "E501"


@pytest.mark.parametrize("folder", [None, "", "None", " "])
def test_no_folder_given(folder):
    assert "dataset_dir is not set" in str(faults(folder)[0])


def test_folders_that_are_none(tmp_path):
    assert faults(tmp_path / "none")[0].found == "nothing"
    (tmp_path / "file").write_text("")
    assert faults(tmp_path / "file")[0].found == "a file"


@pytest.mark.parametrize("subset", ["labelled", "images", "test"])
def test_a_folder_without_images_says_what_was_looked_for(tmp_path, subset):
    (fault,) = faults(tmp_path, subset)
    assert fault.code == "E609"
    assert "dataset.json" in fault.fix and "images/" in fault.fix
    assert fault.found == "an empty folder"
    for number in range(7):
        (tmp_path / f"scan{number}.dcm").write_text("")
    assert faults(tmp_path, subset)[0].found.startswith("scan0.dcm, scan1.dcm")


# Of five training cases: how many are labelled, validate, test (labelled) and images; groups, channels, label names.
COUNTS = {
    "bids": (5, 0, 0, 7, 4, 1, None),
    "chest_xray_masks": (5, 0, 0, 1, 8, 1, ["lung"]),
    "csv_pairs": (5, 0, 2, 2, 5, 2, None),
    "drive": (5, 0, 2, 2, 7, 1, ["vessel"]),
    "finding_lungs": (7, 0, 0, 7, 7, 1, ["lung"]),
    "flat": (5, 0, 0, 5, 5, 1, None),
    "isic2018": (5, 2, 2, 2, 9, 1, ["lesion"]),
    "lits": (5, 0, 0, 2, 7, 1, ["liver", "tumour"]),
    "liver_folders": (5, 0, 2, 2, 7, 1, None),
    "montgomery": (5, 0, 0, 6, 6, 1, ["lung"]),
    "msd": (5, 0, 0, 2, 7, 1, ["liver", "cancer"]),
    "nnunet": (5, 0, 0, 2, 7, 2, ["tumour", "core"]),
    "nrrd_pairs": (5, 0, 0, 6, 6, 1, None),
    "promise12": (5, 0, 0, 2, 7, 1, ["prostate"]),
    "npy_stacks": (5, 0, 0, 5, 5, 1, None),
}
WITHOUT_MASKS = {"chest_xray_pneumonia": (0, 0, 2, 8, 1), "nih_chest_xray": (0, 0, 5, 3, 1)}


def test_every_layout_is_counted():
    assert sorted(COUNTS | WITHOUT_MASKS) == layout_names()
    assert sorted(module.__name__.rsplit(".", 1)[-1] for module in (*NAMED, *PLAIN)) == layout_names()


@pytest.mark.parametrize("layout", COUNTS)
def test_a_phantom_is_recognised_with_its_counts(layout, written):
    found = read_data_set(written(layout))
    assert found.layout == layout
    subsets = [len(found.subset(name)) for name in ("labelled", "validate", "test", "images")]
    groups, channels = len({case.group for case in found.cases}), {len(case.images) for case in found.cases}
    names = None if found.labels is None else found.labels.foreground
    assert (*subsets, groups, *channels, names) == COUNTS[layout]


@pytest.mark.parametrize("layout", WITHOUT_MASKS)
def test_a_phantom_of_labels_of_whole_images_is_recognised_with_its_counts(layout, written):
    found = read_data_set(written(layout))
    assert (found.layout, found.labels) == (layout, None)
    subsets = [len(found.subset(name)) for name in ("validate", "test", "images")]
    groups, channels = len({case.group for case in found.cases}), {len(case.images) for case in found.cases}
    assert (*subsets, groups, *channels) == WITHOUT_MASKS[layout]
    assert all(case.image_labels and case.label is None for case in found.cases)


@pytest.mark.parametrize("layout", COUNTS | WITHOUT_MASKS)
def test_no_other_layout_claims_a_phantom(layout, written):
    for other in (module.__name__.rsplit(".", 1)[-1] for module in NAMED):
        if other != layout:
            with pytest.raises(DataError, match=f"E609.*not laid out as {other}"):
                read_data_set(written(layout), layout=other)


@pytest.mark.parametrize("layout", COUNTS | WITHOUT_MASKS)
def test_listing_order_does_not_matter(layout, written, monkeypatch):
    expected, scan = read_data_set(written(layout)), os.scandir

    class Shuffled:
        def __init__(self, path):
            with scan(path) as entries:
                self.entries = list(entries)
            random.Random(str(path)).shuffle(self.entries)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Shuffled)
    found = read_data_set(written(layout))
    assert found.cases == expected.cases
    assert list(found.ignored.items()) == list(expected.ignored.items())


@pytest.mark.parametrize("layout", COUNTS | WITHOUT_MASKS)
def test_junk_changes_nothing_but_what_is_ignored(layout, phantom):
    root = phantom(layout)
    before = read_data_set(root)
    for path in [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
        (path.parent / ".DS_Store").touch()
        (path.parent / ".ipynb_checkpoints").mkdir(exist_ok=True)
        shutil.copy(path, path.parent / ".ipynb_checkpoints")
    shutil.copytree(root, root / "download" / "__MACOSX")
    after = read_data_set(root)
    assert after.cases == before.cases
    assert after.ignored.items() >= before.ignored.items()
    assert {after.ignored[path] for path in after.ignored.keys() - before.ignored.keys()} == {
        "a hidden file", "what an archive program left"
    }  # fmt: skip


@pytest.mark.parametrize("layout", sorted((COUNTS | WITHOUT_MASKS).keys() - {"csv_pairs", "flat"}))
def test_a_data_set_is_found_further_below(layout, phantom, tmp_path):
    inner = phantom(layout)
    before = [case.id for case in read_data_set(inner).cases]
    outer = tmp_path / "downloads"
    (outer / "v2").mkdir(parents=True)
    inner.rename(outer / "v2" / "set")
    found = read_data_set(outer)
    assert (found.layout, [case.id for case in found.cases]) == (layout, before)


@pytest.mark.parametrize(("one", "other"), [("drive", "isic2018"), ("msd", "nnunet"), ("lits", "finding_lungs")])
def test_a_folder_with_two_data_sets_is_refused_until_one_is_named(one, other, phantom, tmp_path):
    root = tmp_path / "both"
    root.mkdir()
    for layout in (one, other):
        phantom(layout).rename(root / layout)
    (fault,) = faults(root)
    assert (fault.code, fault.file) == ("E609", root)
    for module in NAMED:
        name = module.__name__.rsplit(".", 1)[-1]
        assert (f"\n  {name}: {module.LOOKS_LIKE}" in fault.fix) == (name in (one, other))
    for layout in (one, other):
        assert read_data_set(root, layout=layout).layout == layout


def without_plain(layouts):
    return sorted(layouts.keys() - {"csv_pairs", "flat"})


@pytest.mark.parametrize("layout", without_plain(COUNTS | WITHOUT_MASKS))
def test_plain_folders_beside_a_data_set_are_not_dropped(layout, phantom):
    root = phantom(layout)
    phantom("flat").rename(root / "mine")
    (fault,) = faults(root)
    assert (fault.code, fault.found) == ("E609", f"{layout}, flat")
    assert read_data_set(root, layout=layout).layout == layout
    shutil.rmtree(root / "mine" / "masks")
    assert read_data_set(root).layout == layout


@pytest.mark.parametrize("layout", without_plain(COUNTS | WITHOUT_MASKS))
def test_a_table_of_pairs_beside_a_data_set_is_not_dropped(layout, phantom):
    root = phantom(layout)
    shutil.copytree(phantom("csv_pairs"), root, dirs_exist_ok=True)
    (fault,) = faults(root)
    assert (fault.code, fault.found) == ("E609", f"{layout}, csv_pairs")
    assert read_data_set(root, layout=layout).layout == layout


@pytest.mark.parametrize("layout", without_plain(COUNTS))
def test_a_table_of_the_same_images_is_only_ignored(layout, phantom):
    root = phantom(layout)
    before = read_data_set(root)
    pairs = [(case.images[0].relative_to(root), case.labels[0].relative_to(root)) for case in before.subset("labelled")]
    (root / "mine.csv").write_text("image,label\n" + "".join(f"{image},{label}\n" for image, label in pairs))
    after = read_data_set(root)
    assert (after.layout, after.cases) == (layout, before.cases)
    assert after.ignored[Path("mine.csv")] == f"a table that {layout} does not read"


def test_plain_folders_that_a_data_set_uses_are_no_second_one(phantom):
    root = phantom("drive")
    (root / "DRIVE" / "training" / "masks").mkdir()
    for path in (root / "DRIVE" / "training" / "images").iterdir():
        shutil.copy(path, root / "DRIVE" / "training" / "masks")
    assert read_data_set(root).layout == "drive"


def test_of_many_equal_faults_some_are_shown_and_the_others_counted(tmp_path, save):
    folders = [f"{n:02d}" for n in range(24)]
    for folder in folders:
        save(tmp_path / folder / "img.nii.gz", VOXELS)
    pairs = [{"image": f"{folder}/img.nii.gz", "label": f"{folder}/img.nii.gz"} for folder in folders]
    rewrite(tmp_path, {"training": pairs})
    found = faults(tmp_path)
    assert [fault.case for fault in found] == ["img"] * 20 + [""]
    assert (found[-1].code, found[-1].what) == ("E501", "two cases have one id: 3 more")
    rewrite(tmp_path, {"training": pairs[:21]})
    assert [fault.case for fault in faults(tmp_path)] == ["img"] * 20


def test_a_folder_without_images_lists_every_layout(tmp_path):
    (fault,) = faults(tmp_path)
    first, *lines = str(fault).splitlines()
    assert "found an empty folder; fix: point dataset_dir at" in first
    assert lines == [f"  {module.__name__.rsplit('.', 1)[-1]}: {module.LOOKS_LIKE}" for module in (*NAMED, *PLAIN)]


def test_a_layout_that_is_none(decathlon):
    with pytest.raises(UsageError, match=r"E903.*drive.*msd.*found dive"):
        read_data_set(decathlon, layout="dive")


def test_a_subset_that_is_none(decathlon):
    with pytest.raises(UsageError, match=r"E903.*labelled, validate, test, images.*found train"):
        find_cases(decathlon, "train")


def test_a_folder_of_links_says_so(decathlon, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "imagesTr").symlink_to(decathlon / "imagesTr")
    assert "replace links to folders by the folders: imagesTr" in faults(tmp_path / "linked")[0].fix
