"""Images to rebuild: all that a segmenter's run does not hold out, labelled or not."""

import json

import numpy as np
import pytest

from medseg.cases import split_cases, split_images
from medseg.errors import DataError

LABELS = {"background": 0, "liver": 1}


def ids(items):
    return {item["case"] for item in items}


@pytest.fixture
def decathlon(tmp_path, save):
    """Six labelled cases, two test images without labels; the sizes of labels differ, so that the split has strata."""
    rng = np.random.default_rng(0)
    for number in range(8):
        folder, name = ("imagesTr" if number < 6 else "imagesTs"), f"c{number}.nii.gz"
        save(tmp_path / folder / name, rng.normal(size=(4, 4, 4)).astype(np.float32))
        if number < 6:
            label = np.zeros((4, 4, 4), np.uint8)
            label[: 1 + number % 3] = 1
            save(tmp_path / "labelsTr" / name, label)
    pairs = [{"image": f"imagesTr/c{n}.nii.gz", "label": f"labelsTr/c{n}.nii.gz"} for n in range(6)]
    (tmp_path / "dataset.json").write_text(
        json.dumps({"training": pairs, "test": [f"imagesTs/c{n}.nii.gz" for n in (6, 7)]})
    )
    return tmp_path


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_who_is_held_out_is_as_for_a_segmenter(decathlon, fold):
    images = split_images(str(decathlon), LABELS, held_out=2, fold=fold)
    cases = split_cases(str(decathlon), LABELS, held_out=2, fold=fold)
    assert ids(images["validate"]) == ids(cases["validate"]) and images["test"] == []
    assert ids(images["train"]) == ids(cases["train"]) | {"c6", "c7"}
    assert all(set(item) == {"image", "case", "group", "modality"} for side in images.values() for item in side)


def test_cases_kept_for_a_test_are_not_trained_on(decathlon, save):
    images = split_images(str(decathlon), LABELS, held_out=2, tested=2)
    assert ids(images["test"]) == ids(split_cases(str(decathlon), LABELS, held_out=2, tested=2)["test"])
    assert len(images["train"]) == 2 + 2 and not ids(images["train"]) & ids(images["test"])
    save(decathlon / "labelsTs" / "c7.nii.gz", np.ones((4, 4, 4), np.uint8))  # the data set's own test
    images = split_images(str(decathlon), LABELS, held_out=2)
    assert ids(images["test"]) == {"c7"} and len(images["train"]) == 4 + 1


def test_no_other_image_of_a_patient_who_is_held_out(tmp_path, save):
    """Four patients, each with a labelled and an unlabelled image."""
    rng, lines = np.random.default_rng(0), ["image,label,group"]
    for number in range(8):
        save(tmp_path / f"c{number}.nii.gz", rng.normal(size=(4, 4, 4)).astype(np.float32))
        if number < 4:
            save(tmp_path / f"l{number}.nii.gz", np.ones((4, 4, 4), np.uint8))
        lines.append(f"c{number}.nii.gz,{f'l{number}.nii.gz' if number < 4 else ''},p{number % 4}")
    (tmp_path / "cases.csv").write_text("\n".join(lines) + "\n")
    images = split_images(str(tmp_path), LABELS, held_out=1)
    (held,) = images["validate"]
    assert len(images["train"]) == 6 and held["group"] not in {item["group"] for item in images["train"]}


def test_without_any_label_the_images_are_dealt(decathlon):
    for path in (decathlon / "labelsTr").iterdir():
        path.unlink()
    names = [f"imagesTr/c{n}.nii.gz" for n in range(6)]
    (decathlon / "dataset.json").write_text(json.dumps({"test": names}))
    images = split_images(str(decathlon), LABELS, held_out=2)
    assert (len(images["train"]), len(images["validate"])) == (4, 2)
    assert ids(images["train"]) | ids(images["validate"]) == {f"c{n}" for n in range(6)}
    with pytest.raises(DataError, match="E101"):
        split_cases(str(decathlon), LABELS, held_out=2)
