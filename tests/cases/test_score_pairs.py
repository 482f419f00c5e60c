import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from medseg.cases.layouts import read_data_set
from medseg.cases.phantoms import layout_names, write_phantom
from medseg.cases.score_pairs import find_pairs, refuse_other_grids
from medseg.errors import DataError, UsageError
from medseg.volumes import write_volume
from medseg.volumes.label_map import read_label

LABEL = np.zeros((6, 5, 4), np.uint8)
LABEL[1:4, 1:3] = 1


@pytest.fixture
def place(tmp_path, save):
    """A function that stores a label map under each of some names in a folder, and gives the folder."""

    def write(folder, *names, label=LABEL, affine=None):
        for name in names:
            save(tmp_path / folder / name, label, affine)
        return tmp_path / folder

    return write


def files(predictions, references, **options):
    """Case to the names of its prediction and its reference, from their folders."""
    found = find_pairs(predictions, references, **options)
    return {
        pair.case: (str(pair.prediction[0].relative_to(predictions)), str(pair.reference[0].relative_to(references)))
        for pair in found.pairs
    }


def refused(*arguments, **options):
    with pytest.raises(DataError) as caught:
        find_pairs(*arguments, **options)
    return caught.value.faults


def test_two_plain_folders(place):
    predictions, references = place("p", "c10.nii", "c2.nii.gz"), place("r", "c2.nii.gz", "c10.nii.gz")
    found = find_pairs(predictions, references)
    assert files(predictions, references) == {"c2": ("c2.nii.gz", "c2.nii.gz"), "c10": ("c10.nii", "c10.nii.gz")}
    assert [(pair.group, pair.subset, pair.columns) for pair in found.pairs] == [("c2", "", {}), ("c10", "", {})]
    assert (found.labels, found.left_out) == (None, [])
    assert found.notes == [f"2 cases: predictions from {predictions} (a folder of label maps), references from"
                           f" {references} (a folder of label maps)"]  # fmt: skip


@pytest.mark.parametrize(
    "layout", [name for name in layout_names() if name not in ("chest_xray_pneumonia", "nih_chest_xray")]
)
def test_predictions_named_by_case_beside_every_layout_with_masks(layout, tmp_path):
    """What a model would write: one map a case, named by its id."""
    root = write_phantom(layout, tmp_path / "data", cases=2)
    cases = [case for case in read_data_set(root).cases if case.labels]
    for case in cases:
        write_volume(tmp_path / "p" / f"{case.id}.nii.gz", read_label(case.labels))
    found = find_pairs(tmp_path / "p", root)
    assert [(pair.case, pair.reference, pair.prediction) for pair in found.pairs] == [
        (case.id, case.labels, (tmp_path / "p" / f"{case.id}.nii.gz",)) for case in cases
    ]
    assert not any(str(tmp_path) in value for pair in found.pairs for value in pair.columns.values())


def test_a_data_set_gives_names_patients_and_columns(tmp_path, place):
    root = write_phantom("csv_pairs", tmp_path / "data", cases=3)
    data_set = read_data_set(root)
    predictions = place("p", *(f"{case.id}.nii.gz" for case in data_set.cases if case.labels))
    found = {pair.case: pair for pair in find_pairs(predictions, root).pairs}
    for case in (case for case in data_set.cases if case.labels):
        assert (found[case.id].group, found[case.id].subset) == (case.group, case.meta.get("subset", ""))
        assert found[case.id].columns["age"] == case.meta["age"]
    liver = write_phantom("msd", tmp_path / "liver", cases=2)
    predictions = place("l", "liver_0.nii.gz", "liver_1.nii.gz")
    assert find_pairs(predictions, liver).labels.values == {"background": (0,), "liver": (1,), "cancer": (2,)}


def test_labels_alone_are_references_whatever_their_names(place):
    """Folders that a layout would take for half a data set, or for images."""
    lits = place("lits", "segmentation-0.nii", "segmentation-1.nii")
    assert list(files(place("p", "volume-0.nii", "volume-1.nii"), place("v", "volume-0.nii", "volume-1.nii"))) == [
        "volume-0", "volume-1"]  # fmt: skip
    assert list(files(lits, lits)) == ["segmentation-0", "segmentation-1"]
    endings = place("e", "a_seg.nii.gz", "b_seg.nii.gz")
    assert files(place("q", "a.nii.gz", "b.nii.gz"), endings) == {
        "a_seg": ("a.nii.gz", "a_seg.nii.gz"), "b_seg": ("b.nii.gz", "b_seg.nii.gz")}  # fmt: skip


def test_folders_of_their_own(place):
    predictions = place("p", "a/a_pred.nii.gz", "b/mask.nii.gz")
    assert files(predictions, place("r", "a.nii.gz", "b.nii.gz")) == {
        "a": ("a/a_pred.nii.gz", "a.nii.gz"), "b": ("b/mask.nii.gz", "b.nii.gz")}  # fmt: skip
    nested = place("n", "a/mask.nii.gz", "b/mask.nii.gz")
    assert files(place("q", "a.nii.gz", "b_0000.nii.gz"), nested) == {
        "a": ("a.nii.gz", "a/mask.nii.gz"), "b": ("b_0000.nii.gz", "b/mask.nii.gz")}  # fmt: skip


def test_a_name_that_several_cases_share_is_none(place):
    """The folder's, here: it would fit both of the references in it."""
    references = place("r", "labels/a.nii.gz", "labels/b.nii.gz")
    (fault,) = refused(place("p", "a.nii.gz", "b.nii.gz", "labels.nii.gz"), references)
    assert (fault.code, fault.found) == ("E506", "labels")


def test_an_ending_never_wins_over_a_name(place):
    references = place("r", "a.nii.gz", "a_seg.nii.gz", "b.nii.gz")
    # in one folder with a, a_seg is the label of an image
    fault = refused(place("p", "a.nii.gz", "b.nii.gz"), references)[0]
    assert fault.code == "E506" and "b" in fault.found
    pairs = files(place("q", "x/a.nii.gz", "x/a_pred.nii.gz"), place("s", "y/a.nii.gz", "y/a_pred.nii.gz"))
    assert pairs == {"a": ("x/a.nii.gz", "y/a.nii.gz"), "a_pred": ("x/a_pred.nii.gz", "y/a_pred.nii.gz")}


def test_two_files_are_a_pair_whatever_their_names(place):
    predictions, references = place("p", "mine.nii.gz"), place("r", "truth.nii")
    (pair,) = find_pairs(predictions / "mine.nii.gz", references / "truth.nii").pairs
    assert (pair.case, pair.group) == ("truth", "truth")
    assert [fault.code for fault in refused(predictions, references)] == ["E506"]


def test_a_run_folder_stands_for_its_predictions(place):
    run = place("run", "predictions/a.nii.gz")
    (run / "cases.csv").write_text("case\n")
    Image.new("L", (4, 4)).save(run / "preview.png")
    (pair,) = find_pairs(run, place("r", "a.nii.gz")).pairs
    assert pair.prediction == (run / "predictions" / "a.nii.gz",)


def test_nnunet_leaves_descriptions_beside_its_predictions(place):
    predictions = place("p", "a.nii.gz")
    (predictions / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": {"background": 0}}))
    assert list(files(predictions, place("r", "a.nii.gz"))) == ["a"]


def test_dicom_references(tmp_path, place, write_series):
    for name in ("a", "b"):
        write_series(tmp_path / "r" / name)
    found = find_pairs(place("p", "a.nii.gz", "b.nii.gz"), tmp_path / "r").pairs
    assert [(pair.case, pair.reference) for pair in found] == [(name, (tmp_path / "r" / name,)) for name in "ab"]


@pytest.fixture
def write_series():
    """A function that makes a folder look like a DICOM series; matching opens no file."""

    def write(folder):
        folder.mkdir(parents=True)
        for number in range(2):
            (folder / f"{number}.dcm").write_bytes(bytes(128) + b"DICM")

    return write


def test_references_without_a_prediction_need_consent(place):
    predictions = place("p", "c1.nii.gz")
    references = place("r", *(f"c{number}.nii.gz" for number in range(30)))
    (fault,) = refused(predictions, references)
    assert (fault.code, fault.what) == ("E506", "29 of 30 references have no prediction")
    assert "--only-predicted" in fault.fix
    assert fault.found == ", ".join(f"c{number}" for number in range(21) if number != 1) + ", …"
    found = find_pairs(predictions, references, only_predicted=True)
    assert [pair.case for pair in found.pairs] == ["c1"] and len(found.left_out) == 29
    assert found.notes[1] == "29 of 30 references have no prediction and are left out"


def test_predictions_without_a_reference_are_refused(place):
    predictions, references = place("p", "a.nii.gz", "x.nii.gz", "y.nii.gz"), place("r", "a.nii.gz", "b.nii.gz")
    for options in ({}, {"only_predicted": True}):
        (fault,) = refused(predictions, references, **options)
        assert (fault.code, fault.what, fault.found) == ("E506", "2 of 3 predictions have no reference", "x, y")


def test_two_maps_of_one_case_are_refused(place):
    references = place("r", "a.nii.gz")
    (fault,) = refused(place("p", "a.nii.gz", "a.nii"), references)
    assert fault.code == "E501" and {"a.nii.gz", "a.nii"} == {os.path.basename(fault.found), fault.file.name}
    (fault,) = refused(place("q", "a.nii.gz", "1/a_seg.nii.gz"), references)
    assert (fault.code, fault.case, fault.what) == ("E501", "a", "several predictions of one case")
    assert "q/a.nii.gz, " in fault.found and "q/1/a_seg.nii.gz" in fault.found
    place("s", "x/m.nii.gz")
    (fault,) = refused(references, place("s", "y/x/m.nii.gz", label=1 - LABEL))
    assert (fault.code, fault.what) == ("E501", "several references of one name")


def test_nothing_there(tmp_path, place):
    folder = place("p", "a.nii.gz")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("")
    for name in ("none", "empty", "notes"):
        for arguments in ((tmp_path / name, folder), (folder, tmp_path / name)):
            (fault,) = refused(*arguments)
            assert (fault.code, fault.file) == ("E101", tmp_path / name)
    images = write_phantom("msd", tmp_path / "data", cases=2)
    shutil.rmtree(images / "Task03_Liver" / "labelsTr")
    description = images / "Task03_Liver" / "dataset.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), "training": []}))
    (fault,) = refused(folder, images)
    assert (fault.code, fault.what) == ("E101", "the data set has no labels")
    with pytest.raises(UsageError, match="no such layout"):
        find_pairs(folder, folder, layout="none")


def test_one_folder_twice_is_told(place):
    folder = place("p", "a.nii.gz", "b.nii.gz")
    os.symlink(folder / "a.nii.gz", place("r", "b.nii.gz") / "a.nii.gz")
    assert find_pairs(folder, folder).notes[1].startswith("2 of 2 predictions are the reference's own file")
    assert find_pairs(folder, folder.parent / "r").notes[1].startswith("1 of 2 predictions")


def grid_faults(*arguments):
    with pytest.raises(DataError) as caught:
        refuse_other_grids(find_pairs(*arguments).pairs)
    return caught.value.faults


def test_grids_that_differ_come_in_one_error(place, tmp_path):
    references = place("r", "a.nii.gz", "b.nii.gz", "c.nii.gz", "d.nii.gz", "e.nii.gz")
    place("p", "a.nii.gz", label=LABEL[:5])
    place("p", "b.nii.gz", affine=np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 10], [0, 0, 0, 1]]))
    predictions = place("p", "e.nii.gz")
    np.save(predictions / "c.npy", LABEL)
    (predictions / "d.nii.gz").write_bytes(b"")
    faults = grid_faults(predictions, references)
    assert [(fault.case, fault.code) for fault in faults] == [
        ("a", "E201"), ("b", "E202"), ("c", "E203"), ("d", "E103")]  # fmt: skip
    assert faults[0].what == "the prediction has another shape than its reference"
    assert (faults[0].expected, faults[0].found) == ("(6, 5, 4)", "(5, 5, 4)")
    assert faults[1].found == "10 mm" and "its reference's grid" in faults[1].fix


def test_a_long_list_of_grids_is_cut_short(place):
    names = [f"c{number}.nii.gz" for number in range(23)]
    faults = grid_faults(place("p", *names, label=LABEL[:5]), place("r", *names))
    assert len(faults) == 21 and faults[20].what == "3 more faults"


def test_probabilities_that_nnunet_leaves_beside_its_masks_are_no_predictions(place):
    """They have the mask's name; an array alone is a prediction."""
    predictions, references = place("p", "a.nii.gz"), place("r", "a.nii.gz", "b.nii.gz")
    for name in ("a", "b"):
        np.savez(predictions / f"{name}.npz", probabilities=LABEL)
    assert files(predictions, references) == {"a": ("a.nii.gz", "a.nii.gz"), "b": ("b.npz", "b.nii.gz")}


def test_pictures_that_inference_leaves_below_its_masks_are_no_predictions(place):
    """`medseg infer` into a folder, `medseg score` of that folder; pictures alone are masks."""
    references = place("r", "a.nii.gz")
    predictions = place("p", "a.nii.gz")
    (predictions / "previews").mkdir()
    (predictions / "previews" / "a.png").write_bytes(b"a picture")
    assert files(predictions, references) == {"a": ("a.nii.gz", "a.nii.gz")}
    (predictions / "a.nii.gz").rename(predictions / "previews" / "a.nii.gz")
    (predictions / "previews" / "a.png").unlink()
    assert files(predictions, references) == {"a": ("previews/a.nii.gz", "a.nii.gz")}
