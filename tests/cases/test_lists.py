import json
from dataclasses import replace

import numpy as np
import pytest

from medseg import files
from medseg.cases import evaluated_cases, list_images, split_cases
from medseg.cases.layouts import read_data_set
from medseg.errors import DataError, UsageError
from medseg.volumes import Volume, read_volume, write_volume

LABELS = {"background": 0, "liver": 1}


@pytest.fixture
def folder(tmp_path, save):
    rng = np.random.default_rng(0)
    for number in range(5):
        save(tmp_path / "images" / f"c{number}.nii.gz", rng.normal(size=(4, 4, 4)).astype(np.float32))
        save(tmp_path / "labels" / f"c{number}.nii.gz", np.ones((4, 4, 4), np.uint8))
    return tmp_path


def test_items_for_every_use(folder):
    lists = split_cases(str(folder), LABELS, held_out=0.4)
    assert [len(lists[name]) for name in ("train", "validate", "test")] == [3, 2, 0]
    for name, key in (("train", "label"), ("validate", "reference")):
        item = lists[name][0]
        assert set(item) == {"image", key, "case", "group", "modality"}
        assert item["image"] == str(folder / "images" / f"{item['case']}.nii.gz")
        assert item[key] == str(folder / "labels" / f"{item['case']}.nii.gz")
    assert lists == split_cases(str(folder), LABELS, held_out=0.4)


def test_cases_may_be_kept_for_a_test_where_there_is_none(folder):
    """Before any are held out, and the same ones for every fold."""
    lists = [split_cases(str(folder), LABELS, held_out=1, fold=fold, tested=2) for fold in range(3)]
    names = [{name: {item["case"] for item in items} for name, items in each.items()} for each in lists]
    assert all([len(each[name]) for name in ("train", "validate", "test")] == [2, 1, 2] for each in names)
    assert len({frozenset(each["test"]) for each in names}) == 1
    assert set.union(*(each["validate"] for each in names)) == {f"c{n}" for n in range(5)} - names[0]["test"]
    assert {"reference", "image", "case", "group", "modality"} == set(lists[0]["test"][0])


@pytest.mark.parametrize("tested", [-1, 5, 1.5, True])
def test_shares_for_a_test_that_make_no_sense(folder, tested):
    with pytest.raises(UsageError, match=r"E903.*tested"):
        split_cases(str(folder), LABELS, tested=tested)


def test_test_cases_with_their_truth(folder, save):
    for kind in ("images", "labels"):
        (folder / kind).rename(folder / f"{kind}Tr")
        save(folder / f"{kind}Ts" / "t.nii.gz", np.ones((4, 4, 4), np.uint8))
    pairs = [{"image": f"imagesTr/c{n}.nii.gz", "label": f"labelsTr/c{n}.nii.gz"} for n in range(5)]
    (folder / "dataset.json").write_text(json.dumps({"training": pairs, "test": ["imagesTs/t.nii.gz"]}))
    with pytest.raises(UsageError, match=r"E903.*test cases of its own"):
        split_cases(str(folder), LABELS, tested=0.2)
    (item,) = split_cases(str(folder), LABELS)["test"]
    assert (item["case"], item["reference"]) == ("t", str(folder / "labelsTs" / "t.nii.gz"))


def test_images_alone(folder):
    for path in (folder / "labels").iterdir():
        path.write_bytes(b"not looked at")
    items = list_images(str(folder))
    assert [set(item) for item in items] == [{"image", "case", "group", "modality"}] * 5


def test_masks_in_the_way_are_found_before_any_is_written(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert len(list_images(str(folder), out)) == 5
    (out / "c3.nii.gz").write_text("kept")
    with pytest.raises(DataError, match=r"E503.*c3\.nii\.gz.*overwrite"):
        list_images(str(folder), out)
    assert len(list_images(str(folder), out, overwrite=True)) == 5


def test_faulty_cases_are_refused(folder, save):
    save(folder / "labels" / "c1.nii.gz", np.full((4, 4, 4), 7, np.uint8))
    (folder / "images" / "c3.nii.gz").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        split_cases(str(folder), LABELS)
    assert [(fault.case, fault.code) for fault in caught.value.faults] == [("c1", "E301"), ("c3", "E103")]
    with pytest.raises(DataError, match="E103"):
        list_images(str(folder))


def test_copies_of_one_image_stay_on_one_side(folder, caplog):
    """c0 to c3 are copies under other names, in other files: they are a group, and c4 is the other."""
    image = read_volume(folder / "images" / "c0.nii.gz")
    for number in range(1, 4):
        write_volume(folder / "images" / f"c{number}.nii.gz", Volume(image.array.astype(np.float64), image.geometry))
    lists = split_cases(str(folder), LABELS, held_out=0.5)
    sides = [{item["case"] for item in lists[name]} for name in ("train", "validate")]
    assert sorted(sides, key=len) == [{"c4"}, {"c0", "c1", "c2", "c3"}]
    assert "W501" in caplog.text
    (folder / "images" / "c4.nii.gz").write_bytes((folder / "images" / "c0.nii.gz").read_bytes())
    with pytest.raises(DataError, match="E502"):
        split_cases(str(folder), LABELS)


def table(folder, rows):
    columns = list(dict.fromkeys(key for row in rows for key in row))
    files.write_csv(folder / "cases.csv", rows, columns)


def rows(folder):
    return [
        {"case": f"c{n}", "image": f"images/c{n}.nii.gz", "label": f"labels/c{n}.nii.gz", "subset": "", "group": ""}
        for n in range(5)
    ]


def test_the_data_sets_own_split(folder):
    """Nothing is drawn where there are validation cases; test cases go to neither."""
    found = rows(folder)
    found[1]["subset"], found[3]["subset"] = "validate", "test"
    table(folder, found)
    lists = split_cases(str(folder), LABELS, layout="csv_pairs")
    cases = {name: [item["case"] for item in items] for name, items in lists.items()}
    assert cases == {"train": ["c0", "c2", "c4"], "validate": ["c1"], "test": ["c3"]}
    for row in found[:2]:
        row["group"] = "one patient"
    table(folder, found)
    with pytest.raises(DataError, match=r"E502.*one patient.*c0 \(train\), c1 \(validate\)"):
        split_cases(str(folder), LABELS, layout="csv_pairs")


def test_copies_on_both_sides_of_the_data_sets_own_split(folder):
    (folder / "images" / "c1.nii.gz").write_bytes((folder / "images" / "c0.nii.gz").read_bytes())
    found = rows(folder)
    found[1]["subset"] = "test"
    table(folder, found)
    with pytest.raises(DataError, match=r"E502.*case=c1.*found c0"):
        split_cases(str(folder), LABELS, layout="csv_pairs")


def test_empty_labels_are_left_out_on_request(folder, save):
    for number in (0, 1):
        save(folder / "labels" / f"c{number}.nii.gz", np.zeros((4, 4, 4), np.uint8))
    counts = [
        sum(len(items) for items in split_cases(str(folder), LABELS, drop_empty=drop).values())
        for drop in (False, True)
    ]
    assert counts == [5, 3]
    with pytest.raises(UsageError, match="E903"):
        split_cases(str(folder), LABELS, drop_empty="no")


def test_images_without_a_label_are_counted(folder, caplog):
    found = rows(folder)
    found[4]["label"] = ""
    table(folder, found)
    lists = split_cases(str(folder), LABELS, layout="csv_pairs")
    assert sum(len(items) for items in lists.values()) == 4
    assert "W101" in caplog.text and "1 of 5 images" in caplog.text


def test_a_negative_case_needs_no_label(folder, monkeypatch):
    data_set = read_data_set(folder)
    cases = [replace(case, label=None, negative=True) for case in data_set.cases]
    monkeypatch.setattr("medseg.cases.lists.read_data_set", lambda *_: replace(data_set, cases=cases))
    assert split_cases(str(folder), LABELS)["train"][0]["label"] is None


def test_a_case_of_several_files(folder, monkeypatch):
    """Two channels, and a label in two parts."""
    data_set = read_data_set(folder)
    cases = [replace(case, images=case.images * 2, label=(case.label, case.label)) for case in data_set.cases]
    monkeypatch.setattr("medseg.cases.lists.read_data_set", lambda *_: replace(data_set, cases=cases))
    item = split_cases(str(folder), LABELS)["train"][0]
    case = next(case for case in cases if case.id == item["case"])
    assert item["image"] == [str(path) for path in case.images]
    assert item["label"] == [str(path) for path in case.label]


def test_a_case_that_the_weights_were_trained_on_is_not_scored(tmp_path, caplog):
    """By content: the same image under another name, split another way, is refused, wherever the results go."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.nii").write_text(name)
    digest = {"image": [files.digest(tmp_path / "a.nii")], "label": None}
    (tmp_path / "split.json").write_text(json.dumps({"train": [{"case": "old", "group": "g", "digest": digest}]}))
    cases = {"validate": [{"image": str(tmp_path / "b.nii"), "case": "b"}], "test": [], "train": []}
    weights = tmp_path / "checkpoints" / "last.pt"
    assert evaluated_cases(cases, "validate", weights) == cases["validate"]
    cases["validate"].append({"image": str(tmp_path / "a.nii"), "case": "renamed"})
    with pytest.raises(DataError, match=r"E502.*case=renamed.*trained on"):
        evaluated_cases(cases, "validate", weights)
    assert not caplog.text
    assert evaluated_cases(cases, "validate", tmp_path / "elsewhere" / "models" / "model.pt") == cases["validate"]
    assert "W502" in caplog.text


@pytest.mark.parametrize("subset", ["train", "validat", "test"])
def test_only_held_out_cases_are_scored(subset, tmp_path):
    """`train` holds labels that transforms reorient; here `test` is empty."""
    cases = {"train": [{}], "validate": [{}], "test": []}
    with pytest.raises(UsageError, match="E903"):
        evaluated_cases(cases, subset, tmp_path / "checkpoints" / "last.pt")
