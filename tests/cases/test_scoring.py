import csv
import io
import math
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric, SurfaceDistanceMetric

from medseg.cases.phantoms import write_phantom
from medseg.cases.score_pairs import find_pairs
from medseg.cases.scored_case import Settings
from medseg.cases.scoring import score_folders, score_pairs
from medseg.errors import DataError, UsageError
from medseg.labels import Labels
from medseg.metrics.case_table import write_cases
from medseg.metrics.curves import THRESHOLDS
from medseg.volumes import Volume, read_volume, write_volume

SHAPE = (14, 12, 10)
SPACING = np.diag([0.5, 1.0, 2.5, 1.0])
BOTH = Labels({"background": 0, "liver": [1, 2], "tumour": 2})


def blobs(seed, shift=0):
    """An ellipsoid of 1 with a core of 2, elsewhere for each seed."""
    rng = np.random.default_rng(seed)
    centre, half = np.array(SHAPE) / 2 + rng.uniform(-1, 1, 3), np.array(SHAPE) * rng.uniform(0.25, 0.4, 3)
    place = np.indices(SHAPE).transpose(1, 2, 3, 0) - centre - (shift, 0, 0)
    distance = np.sqrt(np.sum((place / half) ** 2, axis=-1))
    return (distance < 1).astype(np.uint8) + (distance < 0.4)


@pytest.fixture
def folders(tmp_path, save):
    """A function that stores cases: name to (prediction, reference)."""

    def write(**cases):
        for name, both in cases.items():
            for folder, array in zip(("p", "r"), both, strict=True):
                save(tmp_path / folder / f"{name}.nii.gz", array, SPACING)
        return tmp_path / "p", tmp_path / "r"

    return write


def refused(*arguments, **options):
    with pytest.raises((DataError, UsageError)) as caught:
        score_folders(*arguments, **options)
    return caught.value.faults


def test_against_monai(folders):
    """Dice, HD95 and ASSD of every case and label, from one-hot tensors with MONAI's own functions."""
    cases = {f"c{seed}": (blobs(seed, shift=seed), blobs(seed)) for seed in range(3)}
    scores = score_folders(*folders(**cases), Settings(BOTH, ("dice", "hd95", "assd")), workers=1)
    spacing = [0.5, 1.0, 2.5]
    metrics = {
        "dice": lambda *masks: DiceMetric()(*masks),
        "hd95": lambda *masks: HausdorffDistanceMetric(percentile=95)(*masks, spacing=spacing),
        "assd": lambda *masks: SurfaceDistanceMetric(symmetric=True)(*masks, spacing=spacing),
    }
    assert [(row["case"], row["label"]) for row in scores.rows] == [
        (case, label) for case in cases for label in ("liver", "tumour")]  # fmt: skip
    for row in scores.rows:
        values = {"liver": (1, 2), "tumour": (2,)}[row["label"]]
        masks = [torch.from_numpy(np.isin(array, values))[None, None] for array in cases[row["case"]]]
        for name, metric in metrics.items():
            assert row[name] == pytest.approx(metric(*masks).item(), abs=1e-5)


def cells(tmp_path, scores):
    write_cases(tmp_path / "cases.csv", scores.rows, scores.metrics)
    return (tmp_path / "cases.csv").read_bytes()


def test_two_processes_give_the_bytes_of_one(folders, tmp_path):
    cases = {f"c{seed}": (blobs(seed, shift=seed % 3), blobs(seed)) for seed in range(6)}
    cases["c3"] = (cases["c3"][0] * 0, cases["c3"][1])
    places = folders(**cases)
    alone, together = (score_folders(*places, Settings(metrics=("dice", "hd", "nsd")), workers=n) for n in (1, 2))
    assert cells(tmp_path, alone) == cells(tmp_path, together)
    assert str(alone.baselines) == str(together.baselines) and alone.notes == together.notes
    rows = list(csv.DictReader(io.StringIO(cells(tmp_path, alone).decode())))
    assert [(row["case"], row["label"]) for row in rows] == [(f"c{seed}", label) for seed in range(6) for label in "12"]
    assert [row["empties"] for row in rows if row["case"] == "c3"] == ["missed", "missed"]


def test_a_decathlon_folder_as_references(tmp_path):
    """Names of labels come from its dataset.json; unlabelled test cases are no references."""
    root = write_phantom("msd", tmp_path / "data", cases=3)
    for path in sorted((root / "Task03_Liver" / "labelsTr").glob("liver_*")):
        volume = read_volume(path)
        write_volume(tmp_path / "p" / path.name, Volume(np.roll(volume.array, 1, axis=0), volume.geometry))
    scores = score_folders(tmp_path / "p", root, Settings(), workers=1)
    assert [(row["case"], row["label"]) for row in scores.rows] == [
        (f"liver_{number}", label) for number in range(3) for label in ("liver", "cancer")]  # fmt: skip
    assert all(
        0.5 < row["dice"] < 1 and row["modality"] == "CT" and row["spacing_mm"] == "1 1 2" for row in scores.rows
    )
    assert scores.notes[0].endswith(f"references from {root} (a data set, msd)")


def test_everything_wrong_with_any_case_in_one_error(folders, save, tmp_path):
    places = folders(a=(blobs(0), blobs(0)), b=(blobs(1) * 3, blobs(1)), c=(blobs(2) * np.float32(0.3), blobs(2)),
                     d=(blobs(3), blobs(3)))  # fmt: skip
    damaged = tmp_path / "p" / "d.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:-12])
    assert [(fault.case, fault.code) for fault in refused(*places, Settings(BOTH), workers=1)] == [
        ("b", "E301"), ("c", "E303"), ("d", "E102")]  # fmt: skip


def test_grids_are_compared_before_anything_is_read(folders, save, tmp_path):
    places = folders(a=(blobs(0) * 9, blobs(0)), b=(blobs(1)[1:], blobs(1)))
    (fault,) = refused(*places, Settings(BOTH), workers=1)
    assert (fault.case, fault.code) == ("b", "E201")


def test_labels_without_names_are_every_value_of_any_case(folders):
    places = folders(a=(blobs(0), blobs(0)), b=((blobs(1) == 1).astype(np.uint8), (blobs(1) == 1).astype(np.uint8)))
    scores = score_folders(*places, Settings(metrics=("dice", "components")), workers=1)
    assert [(row["case"], row["label"], row["empties"]) for row in scores.rows] == [
        ("a", "1", ""), ("a", "2", ""), ("b", "1", ""), ("b", "2", "absent")]  # fmt: skip
    assert math.isnan(scores.rows[3]["dice"]) and scores.rows[3]["components"] == 0
    assert scores.notes[1].startswith("labels have no names, so each value is one: 1, 2")
    assert refused(*places, Settings(tolerance_mm={"1": 1.0, "3": 1.0}), workers=1)[0].code == "E903"
    assert score_folders(*places, Settings(tolerance_mm={"1": 1.0, "2": 0.0}), workers=1).labels.foreground == [
        "1",
        "2",
    ]


def test_masks_of_0_and_255_without_names(folders):
    mask = (blobs(0) > 0).astype(np.uint8)
    scores = score_folders(*folders(a=(mask * 255, mask), b=(mask, mask)), Settings(), workers=1)
    assert [(row["label"], row["dice"]) for row in scores.rows] == [("1", 1), ("1", 1)]
    assert scores.notes[2] == "masks of 0 and 255 were read as 0 and 1 (1 of 2 cases)"
    (fault,) = refused(*folders(c=(blobs(1), blobs(1))), Settings(), workers=1)  # 255 may stand for 1 or for 2
    assert (fault.code, fault.case, fault.found) == ("E301", "a", "1, 2")


def test_no_label_anywhere(folders):
    assert refused(*folders(a=(blobs(0) * 0, blobs(0) * 0)), Settings(), workers=1)[0].code == "E302"
    (row,) = score_folders(*folders(), Settings(Labels({"background": 0, "x": 1})), workers=1).rows
    assert row["empties"] == "absent"


def test_settings_are_refused_before_anything_is_read(folders, tmp_path):
    places = folders(a=(blobs(0) * 9, blobs(0)))
    for options in ({"strata": {"difficulty": None}}, {"probabilities": tmp_path},
                    *({"settings": Settings(BOTH, (), mm)} for mm in (-1.0, {"liver": 1.0}))):  # fmt: skip
        assert refused(*places, **({"settings": Settings(), "workers": 1} | options))[0].code == "E903"


def test_columns_and_strata(folders, tmp_path):
    places = folders(a=(blobs(0), blobs(0)), b=(blobs(1), blobs(1)))
    (tmp_path / "t.csv").write_text("case,patient,difficulty\na,p1,easy\nb,p1,=hard\n")
    scores = score_folders(
        *places, Settings(BOTH), table=tmp_path / "t.csv", strata={"difficulty": None, "location": None}, workers=1
    )
    assert [(row["case"], row["group"], row["difficulty"]) for row in scores.rows[::2]] == [
        ("a", "p1", "easy"), ("b", "p1", "=hard")]  # fmt: skip
    assert all(row["location"] in ("middle left", "middle right") for row in scores.rows)
    assert b",'=hard" in cells(tmp_path, scores)
    assert "location" not in score_folders(*places, Settings(BOTH), workers=1).rows[0]
    (tmp_path / "t.csv").write_text("case,dice\na,1\nb,1\n")
    (fault,) = refused(*places, Settings(BOTH), table=tmp_path / "t.csv", workers=1)
    assert (fault.code, fault.found) == ("E104", "dice")
    (tmp_path / "t.csv").write_text("case,location\na,dome\nb,hilum\n")  # one's own is not replaced
    scores = score_folders(*places, Settings(BOTH), table=tmp_path / "t.csv", strata={"location": None}, workers=1)
    assert [row["location"] for row in scores.rows] == ["dome", "dome", "hilum", "hilum"]


def test_baselines_stand_beside(folders):
    """The constant answer's Dice is 2f / (1 + f) of the label's share f of the image."""
    cases = {f"c{seed}": (blobs(seed), blobs(seed)) for seed in range(3)}
    scores = score_folders(*folders(**cases), Settings(BOTH), workers=1)
    found = {(row["baseline"], row["case"], row["label"]): row["dice"] for row in scores.baselines}
    for name, (_, reference) in cases.items():
        share = np.mean(reference > 0)
        assert found["constant", name, "liver"] == pytest.approx(2 * share / (1 + share))
        assert found["all background", name, "liver"] == 0
    assert {row["distance_unit"] for row in scores.baselines} == {"mm"}


def test_pairs_can_be_scored_without_folders(folders):
    found = find_pairs(*folders(a=(blobs(0), blobs(0))))
    assert [row["dice"] for row in score_pairs(found.pairs, Settings(BOTH), workers=1).rows] == [1, 1]


def test_neither_torch_nor_monai_is_imported():
    code = (
        "import sys, medseg.cases.scoring, medseg.reports.score_tables; print(*{'torch', 'monai'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.skipif("MEDSEG_REAL_DATA" not in os.environ, reason="MEDSEG_REAL_DATA names no folder of real data")
def test_some_cases_of_a_real_data_set(tmp_path):
    """Predictions are references moved by a voxel; Dice is counted anew from the files."""
    root = Path(os.environ["MEDSEG_REAL_DATA"], "Task04_Hippocampus")
    labels = sorted((root / "labelsTr").glob("hippocampus_*.nii.gz"))
    n, paths = len(labels), labels[:3]
    for path in paths:
        volume = read_volume(path, label=True)
        write_volume(tmp_path / path.name, Volume(np.roll(volume.array, 1, axis=1), volume.geometry))
    (fault,) = refused(tmp_path, root, Settings())
    assert (fault.code, fault.what) == ("E506", f"{n - 3} of {n} references have no prediction")
    rows = score_folders(tmp_path, root, Settings(), only_predicted=True, workers=1).rows
    assert [row["label"] for row in rows] == ["Anterior", "Posterior"] * 3
    for row in rows:
        value = {"Anterior": 1, "Posterior": 2}[row["label"]]
        one, other = (nib.load(place / f"{row['case']}.nii.gz").get_fdata() == value
                      for place in (tmp_path, root / "labelsTr"))  # fmt: skip
        assert row["dice"] == pytest.approx(2 * np.sum(one & other) / (one.sum() + other.sum()))


def test_voxels_and_curves_of_all_cases_together(folders, tmp_path, save):
    """Against scikit-learn on the voxels of both cases, joined."""
    from sklearn.metrics import confusion_matrix, roc_curve

    cases = {f"c{seed}": (blobs(seed, shift=1), blobs(seed)) for seed in range(2)}
    predictions, references = folders(**cases)
    given = {name: np.round(np.random.default_rng(5).random(SHAPE), 2).astype(np.float32) for name in cases}
    for name, probability in given.items():
        for label in ("liver", "tumour"):
            save(tmp_path / "q" / f"{name}_{label}.nii.gz", probability, SPACING)
    scores = score_folders(predictions, references, Settings(BOTH, ("dice", "roc_auc")), probabilities=tmp_path / "q",
                           workers=1)  # fmt: skip
    joined = [np.concatenate([pair[side].ravel() for pair in cases.values()]) for side in (0, 1)]
    expected = confusion_matrix(joined[1], joined[0])
    assert [[scores.confusion[r, p] for p in range(3)] for r in range(3)] == expected.tolist()
    probability = np.concatenate([each.ravel() for each in given.values()])
    false, true, at = roc_curve(joined[1] == 2, probability, drop_intermediate=False)
    found = scores.curves["tumour"]
    for threshold in (0.0, 1.0):
        place = np.searchsorted(THRESHOLDS, threshold)
        nearest = np.flatnonzero(at[1:] >= threshold)[-1] + 1 if (at[1:] >= threshold).any() else 0
        assert found.tp[place] == round(true[nearest] * np.sum(joined[1] == 2))
        assert found.fp[place] == round(false[nearest] * np.sum(joined[1] != 2))
    middle = len(THRESHOLDS) // 2
    assert found.tp[middle] == np.sum((probability >= THRESHOLDS[middle]) & (joined[1] == 2))
    assert score_folders(predictions, references, Settings(BOTH), workers=1).curves == {}
