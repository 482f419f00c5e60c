import math

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from medseg.cases.score_pairs import Pair
from medseg.cases.scored_case import Settings, by_number, score_pair, with_absent
from medseg.labels import Labels
from medseg.metrics.catalogue import OF_PROBABILITIES

LIVER = Labels({"background": 0, "liver": 1})
SPACING = np.diag([1.0, 2.0, 3.0, 1.0])


def cube(start=2, value=1, dtype=np.uint8):
    """4 x 4 x 4 voxels from x = `start`."""
    found = np.zeros((12, 10, 8), dtype)
    found[start : start + 4, 3:7, 2:6] = value
    return found


@pytest.fixture
def scored(tmp_path, save):
    """A function that stores a pair of arrays and scores it."""

    def score(prediction, reference, affine=SPACING, **settings):
        pair = Pair("a", "p1", (save(tmp_path / "p" / "a.nii.gz", prediction, affine),),
                    (save(tmp_path / "r" / "a.nii.gz", reference, affine),), "test", {"age": "40"})  # fmt: skip
        return score_pair(pair, Settings(**settings))

    return score


def codes(done):
    assert not done.rows and {fault.case for fault in done.faults} == {"a"}
    return [fault.code for fault in done.faults]


def test_a_row_by_hand(scored):
    """Moved by one voxel of 1 mm along x: 48 of 64 voxels in common; each surface lies 0 or 1 mm from the other."""
    done = scored(cube(3), cube(2), labels=LIVER, metrics=("dice", "hd", "volume_difference_ml"))
    (row,) = done.rows
    assert row == {
        "case": "a", "group": "p1", "label": "liver", "distance_unit": "mm", "dice": 0.75, "hd": 1.0,
        "volume_difference_ml": 0.0, "empties": "", "reference_ml": pytest.approx(64 * 6 / 1000),
        "prediction_ml": pytest.approx(64 * 6 / 1000), "spacing_mm": "1 2 3", "subset": "test", "age": "40",
    }  # fmt: skip
    assert list(row)[:4] == ["case", "group", "label", "distance_unit"]
    assert done.grid.spacing_mm == (1, 2, 3) and not done.faults and not done.notes


def test_a_picture_is_scored_in_pixels(tmp_path):
    for name, start in (("p", 12), ("r", 10)):
        array = np.zeros((40, 60), np.uint8)  # rows, columns
        array[5:15, start : start + 10] = 255
        (tmp_path / name).mkdir()
        Image.fromarray(array).save(tmp_path / name / "a.png")
    pair = Pair("a", "a", (tmp_path / "p" / "a.png",), (tmp_path / "r" / "a.png",))
    done = score_pair(pair, Settings(LIVER, ("dice", "hd"), with_location=True))
    (row,) = done.rows
    assert (row["distance_unit"], row["dice"], row["hd"], row["location"]) == ("px", 0.8, 2.0, "upper left")
    assert math.isnan(row["reference_ml"])
    assert [note.code for note in done.notes] == ["W307", "W307"]


def test_the_location_is_that_of_the_reference(scored):
    """4 of 12 voxels along x, which grows towards the patient's right: centres at 2 and 10 of 12."""
    assert [scored(cube(8 - start), cube(start), labels=LIVER, with_location=True).rows[0]["location"]
            for start in (0, 8)] == ["middle left", "middle right"]  # fmt: skip


def test_values_that_no_list_names(scored):
    done = scored(cube(value=3), cube(value=7), labels=LIVER)
    assert codes(done) == ["E301", "E301"]
    assert [fault.found for fault in done.faults] == ["7 (64 voxels)", "3 (64 voxels)"]
    assert "labels" in done.faults[0].fix and str(done.faults[0].file).endswith("r/a.nii.gz")
    assert codes(scored(cube(value=2), cube(value=1), labels=Labels({"background": 0, "x": 1, "y": 3}))) == ["E301"]


def test_maps_that_hold_no_labels(scored):
    fractions = cube(dtype=np.float32) * 0.7
    assert codes(done := scored(fractions, cube(), labels=LIVER)) == ["E303"]
    assert "--probabilities" in done.faults[0].fix
    assert codes(scored(np.where(cube() > 0, np.float32(np.nan), np.float32(0)), cube(), labels=LIVER)) == ["E401"]
    assert codes(scored(cube(dtype=np.int16, value=-1), cube(), labels=LIVER)) == ["E301"]
    image = np.random.default_rng(0).integers(0, 4000, (12, 10, 8)).astype(np.int16)
    assert codes(done := scored(image, cube())) == ["E301"]
    assert done.faults[0].what == "so many values look like intensities"


def test_whole_numbers_stored_as_floats_are_labels(scored):
    exact = scored(cube(3), cube(), labels=LIVER).rows
    assert scored(cube(3, 0.9999, np.float32), cube(dtype=np.float64), labels=LIVER).rows == exact


def test_jpeg_and_damage(tmp_path, save):
    rows, columns = np.indices((64, 64))
    disc = ((rows - 30) ** 2 + (columns - 33) ** 2 < 400).astype(np.uint8) * 255
    Image.fromarray(disc).save(tmp_path / "a.jpg")
    Image.fromarray(disc).save(tmp_path / "a.png")
    good = save(tmp_path / "a.nii.gz", cube())
    (tmp_path / "cut.nii.gz").write_bytes(good.read_bytes()[:-20])
    for prediction, reference, code in (("a.jpg", "a.png", "E306"), ("cut.nii.gz", "a.nii.gz", "E102")):
        done = score_pair(Pair("a", "a", (tmp_path / prediction,), (tmp_path / reference,)), Settings(LIVER))
        assert codes(done) == [code]


def test_a_grid_that_differs_after_all(tmp_path, save):
    one, other = save(tmp_path / "1.nii.gz", cube()), save(tmp_path / "2.nii.gz", cube(), SPACING)
    assert codes(score_pair(Pair("a", "a", (one,), (other,)), Settings(LIVER))) == ["E202"]


def test_masks_of_0_and_255(scored):
    """Where 1 is the only label they are read as 0 and 1; where another label is named they are an unknown value."""
    exact = scored(cube(3), cube(), labels=LIVER).rows
    done = scored(cube(3, 255), cube(), labels=LIVER)
    assert done.rows == exact and [note.code for note in done.notes] == ["W307"]
    assert codes(scored(cube(3, 255), cube(), labels=Labels({"background": 0, "x": 1, "y": 2}))) == ["E301"]
    assert scored(cube(3, 255), cube(2, 255), labels=Labels({"background": 0, "liver": 255})).rows == exact
    done = scored(cube(3, 255), cube())  # labels without names
    assert done.is_white and done.values == (0, 1) and done.notes == ()
    assert [row | {"label": "liver"} for row in done.rows] == list(exact)


def test_values_are_labels_where_nothing_names_them(scored):
    prediction = cube(2, 5) + cube(6, 20)
    done = scored(prediction, cube(2, 5), tolerance_mm={"5": 2.0})
    assert done.values == (0, 5, 20)
    assert [(row["label"], row["dice"], row["empties"]) for row in done.rows] == [("5", 1, ""), ("20", 0, "invented")]
    assert scored(prediction * 0, cube() * 0).rows == ()


def test_labels_of_other_cases_are_absent(scored):
    """The same row as if the list of labels had been known."""
    labels, metrics = by_number([1, 2]), ("dice", "hd95", "nsd", "components", "volume_difference_ml")
    settings = Settings(metrics=metrics, tolerance_mm={"1": 1.0, "2": 0.5})
    done = scored(cube(3), cube(), metrics=metrics, tolerance_mm=settings.tolerance_mm)
    known = scored(cube(3), cube(), labels=labels, metrics=metrics, tolerance_mm=settings.tolerance_mm)
    completed = with_absent(done, labels, settings)
    assert [row["label"] for row in completed.rows] == ["1", "2"] and completed.rows[1]["empties"] == "absent"
    for one, other in zip(completed.rows, known.rows, strict=True):
        assert list(one) == list(other)
        assert {key: str(value) for key, value in one.items()} == {key: str(value) for key, value in other.items()}
    assert completed.sample.label_voxels == known.sample.label_voxels == {"1": 64, "2": 0}


def test_a_case_without_a_reference_is_background(tmp_path, save):
    path = save(tmp_path / "a.nii.gz", cube(), SPACING)
    (row,) = score_pair(Pair("a", "a", (path,), ()), Settings(LIVER)).rows
    assert (row["dice"], row["empties"], row["reference_ml"]) == (0, "invented", 0)
    path = save(tmp_path / "b.nii.gz", cube() * 0, SPACING)
    (row,) = score_pair(Pair("b", "b", (path,), ()), Settings(LIVER)).rows
    assert math.isnan(row["dice"]) and row["empties"] == "absent"


def test_a_label_in_two_files_is_joined(tmp_path, save):
    left, right = save(tmp_path / "l.nii.gz", cube(1)), save(tmp_path / "r.nii.gz", cube(7))
    both = save(tmp_path / "b.nii.gz", cube(1) + cube(7))
    (row,) = score_pair(Pair("a", "a", (both,), (left, right)), Settings(LIVER)).rows
    assert row["dice"] == 1


def test_probabilities_beside_masks(tmp_path, save):
    rng = np.random.default_rng(0)
    probability = np.clip(cube() * 0.4 + rng.uniform(0, 0.6, cube().shape), 0, 1).astype(np.float32)
    maps = {name: save(tmp_path / f"{name}.nii.gz", probability) for name in ("liver", "tumour")}
    path = save(tmp_path / "a.nii.gz", cube())
    labels = Labels({"background": 0, "liver": 1, "tumour": 2})
    liver, tumour = score_pair(Pair("a", "a", (path,), (path,), probabilities=maps),
                               Settings(labels, tuple(OF_PROBABILITIES))).rows  # fmt: skip
    truth, flat = cube().ravel(), probability.ravel()
    for name, theirs in (("roc_auc", roc_auc_score), ("pr_auc", average_precision_score), ("brier", brier_score_loss)):
        assert liver[name] == pytest.approx(theirs(truth, flat), abs=1e-6)
    assert tumour["empties"] == "absent" and all(math.isnan(tumour[name]) for name in OF_PROBABILITIES)


def test_voxels_to_be_ignored_are_refused(tmp_path, save):
    path = save(tmp_path / "a.nii.gz", cube() * 3)
    faults = score_pair(Pair("a", "a", (path,), (path,), ignore_value=3), Settings(LIVER)).faults
    assert {fault.code for fault in faults} == {"E308"} and faults[0].case == "a"
