import json

import numpy as np
import pytest

from medseg import files
from medseg.cases import Case, evaluated_cases, list_images, split_cases
from medseg.errors import DataError, UsageError

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
        assert set(item) == {"image", key, "case", "group"}
        assert item["image"] == str(folder / "images" / f"{item['case']}.nii.gz")
        assert item[key] == str(folder / "labels" / f"{item['case']}.nii.gz")
    assert lists == split_cases(str(folder), LABELS, held_out=0.4)


def test_test_cases_with_their_truth(folder, save):
    for kind in ("images", "labels"):
        (folder / kind).rename(folder / f"{kind}Tr")
        save(folder / f"{kind}Ts" / "t.nii.gz", np.ones((4, 4, 4), np.uint8))
    pairs = [{"image": f"imagesTr/c{n}.nii.gz", "label": f"labelsTr/c{n}.nii.gz"} for n in range(5)]
    (folder / "dataset.json").write_text(json.dumps({"training": pairs, "test": ["imagesTs/t.nii.gz"]}))
    (item,) = split_cases(str(folder), LABELS)["test"]
    assert (item["case"], item["reference"]) == ("t", str(folder / "labelsTs" / "t.nii.gz"))


def test_images_alone(folder):
    for path in (folder / "labels").iterdir():
        path.write_bytes(b"not looked at")
    items = list_images(str(folder))
    assert [set(item) for item in items] == [{"image", "case", "group"}] * 5


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


def test_one_image_on_both_sides(folder):
    """All five are copies of one, so that any split shows it."""
    content = (folder / "images" / "c0.nii.gz").read_bytes()
    for path in (folder / "images").iterdir():
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"E502.*training and in held-out") as caught:
        split_cases(str(folder), LABELS)
    assert caught.value.faults[0].found


def test_a_negative_case_needs_no_label(folder, monkeypatch):
    paths = sorted((folder / "images").iterdir())
    found = [Case(path.name, (path, path), negative=True) for path in paths]
    monkeypatch.setattr(
        "medseg.cases.lists.find_cases", lambda _, subset="labelled": found if subset == "labelled" else []
    )
    item = split_cases(str(folder), LABELS)["train"][0]
    assert item["label"] is None
    assert item["image"][0] == item["image"][1]
    found[2] = Case("c2", (paths[2],))
    with pytest.raises(DataError) as caught:
        split_cases(str(folder), LABELS)
    assert [(fault.code, fault.case) for fault in caught.value.faults] == [("E101", "c2")]


def test_a_case_that_the_weights_were_trained_on_is_not_scored(tmp_path, caplog):
    """By content: the same image under another name, split another way, is refused, wherever the results go."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    digest = {"image": [files.digest(tmp_path / "a")], "label": None}
    (tmp_path / "split.json").write_text(json.dumps({"train": [{"case": "old", "group": "g", "digest": digest}]}))
    cases = {"validate": [{"image": str(tmp_path / "b"), "case": "b"}], "test": [], "train": []}
    weights = tmp_path / "checkpoints" / "last.pt"
    assert evaluated_cases(cases, "validate", weights) == cases["validate"]
    cases["validate"].append({"image": str(tmp_path / "a"), "case": "renamed"})
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
