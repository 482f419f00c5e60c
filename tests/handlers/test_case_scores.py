import csv
import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.handlers import MeanDice, from_engine
from monai.metrics import compute_hausdorff_distance

from medseg.errors import DataError, UsageError
from medseg.handlers import CaseScores, SaveCases

LABELS = {"background": 0, "head": 1, "tail": 2}
SPACING = (1.0, 0.5, 2.0)


def label_map(boxes):
    array = torch.zeros(1, 12, 12, 8)
    for value, box in boxes.items():
        array[(0, *box)] = value
    return MetaTensor(array, torch.diag(torch.tensor([*SPACING, 1.0], dtype=torch.float64)))


def box(x, y, z):
    return slice(*x), slice(*y), slice(*z)


def evaluate(pairs, *handlers, metric=None, about=(), prob=None):
    """Run the metric in an engine that yields one decollated case an iteration."""

    def step(engine, number):
        engine.state.batch = [{"case": f"case_{number}", "group": f"patient_{number}", **dict(about)}]
        return [{"pred": pairs[number][0], "label": pairs[number][1], "prob": prob}]

    engine = Engine(step)
    engine.state.metric_details, engine.state.key_metric_name = {}, "val_mean_dice"
    (metric or CaseScores(LABELS)).attach(engine, "val_mean_dice")
    for handler in handlers:
        handler.attach(engine)
    engine.run(list(range(len(pairs))), max_epochs=1)
    return engine


REFERENCE = label_map({1: box((2, 6), (2, 8), (2, 6)), 2: box((6, 10), (2, 8), (2, 6))})
SHIFTED = label_map({1: box((3, 7), (2, 8), (2, 6)), 2: box((7, 11), (2, 8), (2, 6))})
MISSED = label_map({1: box((2, 6), (2, 8), (2, 6))})


def test_millimetres_per_label_with_names():
    metrics = evaluate([(SHIFTED, REFERENCE)]).state.metrics
    assert metrics["val_dice_head"] == metrics["val_dice_tail"] == 0.75 == metrics["val_mean_dice"]
    assert metrics["val_iou_head"] == 0.6 and metrics["val_hd95_mm_head"] == 1.0
    one_hot = [torch.as_tensor(tensor == 1)[None].float() for tensor in (SHIFTED, REFERENCE)]
    monai = compute_hausdorff_distance(*one_hot, include_background=True, percentile=95, spacing=list(SPACING))
    assert metrics["val_hd95_mm_head"] == pytest.approx(monai.item(), abs=1e-6)


def test_a_missed_structure_never_improves_a_mean():
    metrics = evaluate([(REFERENCE, REFERENCE), (MISSED, REFERENCE)]).state.metrics
    diagonal = math.hypot(12 * 1.0, 12 * 0.5, 8 * 2.0)
    assert metrics["val_dice_tail"] == 0.5 and metrics["val_hd95_mm_tail"] == pytest.approx(diagonal / 2)
    assert metrics["val_dice_head"] == 1.0 and metrics["val_hd95_mm_head"] == 0.0


def test_a_structure_that_is_in_neither_is_left_out():
    metrics = evaluate([(MISSED, MISSED), (SHIFTED, REFERENCE)]).state.metrics
    assert metrics["val_dice_tail"] == 0.75 and metrics["val_dice_head"] == (1.0 + 0.75) / 2


def test_what_only_an_earlier_evaluation_scored_goes(tmp_path):
    """So that no mask stands without its scores; what no evaluation wrote stays."""
    evaluate([(SHIFTED, REFERENCE), (SHIFTED, REFERENCE)], SaveCases(tmp_path, LABELS))
    kept = [tmp_path / name for name in ("predictions/case_0.nii.gz", "previews/case_0.png", "predictions/mine.nii.gz")]
    gone = [tmp_path / name for name in ("predictions/case_1.nii.gz", "previews/case_1.png", "previews/case_1.npz")]
    for path in kept + gone:
        path.parent.mkdir(exist_ok=True)
        path.write_text("a picture")
    evaluate([(SHIFTED, REFERENCE)], SaveCases(tmp_path, LABELS, subset="test"))
    assert all(path.is_file() for path in kept) and not any(path.exists() for path in gone)


def test_the_table(tmp_path):
    evaluate([(SHIFTED, REFERENCE), (MISSED, MISSED)], SaveCases(tmp_path, LABELS, subset="test"))
    with open(tmp_path / "cases.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = [(row["case"], row["label"], row["empties"]) for row in rows]
    assert found == [
        ("case_0", "head", ""),
        ("case_0", "tail", ""),
        ("case_1", "head", ""),
        ("case_1", "tail", "absent"),
    ]
    assert rows[0]["dice"] == "0.75" and rows[3]["dice"] == rows[3]["hd95"] == ""
    assert rows[0]["spacing_mm"] == "1 0.5 2" and rows[0]["subset"] == "test" and rows[0]["distance_unit"] == "mm"
    assert float(rows[0]["reference_ml"]) == pytest.approx(4 * 6 * 4 * np.prod(SPACING) / 1000)


def test_metrics_key_and_tolerance_are_chosen():
    """Surfaces 1 mm apart along x: within 1 mm all agrees; within 0.5 mm what did not move does."""
    near, far = (
        evaluate([(SHIFTED, REFERENCE)], metric=CaseScores(LABELS, ["hd", "lesion_recall"], "nsd", tolerance)).state
        for tolerance in (1.0, {"head": 0.5, "tail": 1.0})
    )
    assert near.metrics["val_mean_dice"] == 1.0 == near.metrics["val_nsd_head"]
    assert far.metrics["val_nsd_head"] < 1.0 == far.metrics["val_nsd_tail"]
    assert near.metrics["val_hd_mm_head"] == 1.0 == near.metrics["val_lesion_recall_tail"]
    assert not [name for name in near.metrics if "dice_" in name]


def test_distances_of_pictures_are_called_pixels():
    pictures = [MetaTensor(torch.as_tensor(tensor)[..., 4:5], torch.eye(4, dtype=torch.float64), {"unit": "px"})
                for tensor in (SHIFTED, REFERENCE)]  # fmt: skip
    metrics = evaluate([pictures]).state.metrics
    assert metrics["val_hd95_px_head"] == 1.0 and "val_hd95_mm_head" not in metrics


def test_pictures_and_volumes_are_averaged_together_but_for_distances():
    """Two volumes with a Dice of 1 and a picture with one of 0.75."""
    picture = [MetaTensor(torch.as_tensor(tensor)[..., 4:5], torch.eye(4, dtype=torch.float64), {"unit": "px"})
               for tensor in (SHIFTED, REFERENCE)]  # fmt: skip
    scored = CaseScores(LABELS, ["dice", "hd95", "volume_difference_ml"])
    metrics = evaluate([(REFERENCE, REFERENCE), picture, (REFERENCE, REFERENCE)], metric=scored).state.metrics
    assert metrics["val_mean_dice"] == metrics["val_dice_head"] == pytest.approx(2.75 / 3)
    assert (metrics["val_hd95_mm_head"], metrics["val_hd95_px_head"]) == (0.0, 1.0)
    assert metrics["val_volume_difference_ml_head"] == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"metrics": ["dise"]}, "dise"), ({"key": "hd95"}, "hd95"), ({"tolerance_mm": -1.0}, "tolerance"),
     ({"tolerance_mm": {"head": 1.0}}, "head, tail"), ({"metrics": ["brier"]}, "probabilities: prob")],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        CaseScores(LABELS, **settings)


def test_baselines_stand_beside_the_table(tmp_path):
    """Head is 4 x 6 x 4 of 12 x 12 x 8 voxels, so that a constant answer scores 2 f / (1 + f) with f = 1 / 12."""
    evaluate([(SHIFTED, REFERENCE), (SHIFTED, REFERENCE)], SaveCases(tmp_path, LABELS))
    with open(tmp_path / "baselines.csv", newline="") as stream:
        found = {(row["case"], row["label"], row["baseline"]): row["dice"] for row in csv.DictReader(stream)}
    assert float(found["case_0", "head", "constant"]) == pytest.approx(2 / 13)
    assert float(found["case_1", "tail", "mean shape"]) == 1.0  # the other patient's reference is the same
    assert float(found["case_1", "head", "all background"]) == 0.0


def test_what_is_known_of_a_case_stands_in_the_table(tmp_path):
    evaluate([(SHIFTED, REFERENCE)], SaveCases(tmp_path, LABELS), about={"strata": {"modality": "T1"}})
    with open(tmp_path / "cases.csv", newline="") as stream:
        assert [row["modality"] for row in csv.DictReader(stream)] == ["T1", "T1"]


def test_monais_own_metrics_work_beside_and_in_its_place(tmp_path):
    """MONAI's handlers take the same outputs; the table of cases wants ours somewhere, and says so before the work."""
    pairs = [(SHIFTED, REFERENCE), (REFERENCE, REFERENCE)]
    outputs = from_engine(["pred", "label"])
    theirs = MeanDice(include_background=False, num_classes=3, output_transform=outputs)
    engine = evaluate(pairs, metric=theirs)
    assert engine.state.metrics["val_mean_dice"] == pytest.approx((0.75 + 1.0) / 2)
    with pytest.raises(UsageError, match=r"additional_metrics.*"):
        evaluate(pairs, SaveCases(tmp_path, LABELS), metric=theirs)
    assert not list(tmp_path.iterdir())


def test_probabilities_are_scored_label_by_label():
    """A union's probability is the sum of its values'; half everywhere is wrong by a quarter, squared."""
    labels = {"background": 0, "hippocampus": [1, 2], "tail": 2}
    half = torch.stack([torch.full((12, 12, 8), share) for share in (0.5, 0.25, 0.25)])
    metric = CaseScores(labels, ["brier", "roc_auc"], probabilities="prob")
    metrics = evaluate([(SHIFTED, REFERENCE)], metric=metric, prob=half).state.metrics
    share = 4 * 6 * 4 / (12 * 12 * 8)
    assert metrics["val_brier_hippocampus"] == pytest.approx(0.25)
    assert metrics["val_brier_tail"] == pytest.approx(share * 0.75**2 + (1 - share) * 0.25**2)
    assert metrics["val_roc_auc_tail"] == 0.5
    # a network that has no channel for the tail never gives it
    metrics = evaluate([(SHIFTED, REFERENCE)], metric=metric, prob=half[:2]).state.metrics
    assert metrics["val_brier_hippocampus"] == pytest.approx(2 * share * 0.75**2 + (1 - 2 * share) * 0.25**2)
    assert metrics["val_brier_tail"] == pytest.approx(share)
    for given, found in ((half[:1], "1 channels"), (half * 20 - 5, "from 0 to 5")):  # logits, for one
        with pytest.raises(DataError, match=rf"E404.*case_0.*3 channels from 0 to 1; found .*{found}"):
            evaluate([(SHIFTED, REFERENCE)], metric=metric, prob=given)


def table(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def test_voxels_of_all_cases_by_label(tmp_path):
    """96 voxels a label, moved by one of four layers of 24, twice; a missed tail in a third case."""
    evaluate([(SHIFTED, REFERENCE), (SHIFTED, REFERENCE), (MISSED, REFERENCE)], SaveCases(tmp_path, LABELS))
    found = {(row["reference_name"], row["prediction_name"]): int(row["voxels"])
             for row in table(tmp_path / "confusion.csv")}  # fmt: skip
    assert found == {
        ("background", "background"): 3 * (12 * 12 * 8 - 192) - 2 * 24, ("background", "head"): 0,
        ("background", "tail"): 48, ("head", "background"): 48, ("head", "head"): 2 * 72 + 96, ("head", "tail"): 0,
        ("tail", "background"): 96, ("tail", "head"): 48, ("tail", "tail"): 2 * 72,
    }  # fmt: skip


def test_curves_of_all_cases_where_probabilities_are_scored(tmp_path):
    """Probability 0.75 where the reference holds the label, 0.25 elsewhere, in two cases; then scored without."""
    head, tail = (torch.as_tensor(REFERENCE[0] == value) * 0.5 + 0.25 for value in (1, 2))
    prob = torch.stack([torch.zeros_like(head), head, tail])
    metric = CaseScores(LABELS, ["roc_auc"], probabilities="prob")
    evaluate([(SHIFTED, REFERENCE)] * 2, SaveCases(tmp_path, LABELS), metric=metric, prob=prob)
    rows = [row for row in table(tmp_path / "curves.csv") if row["label"] == "tail"]
    size = 12 * 12 * 8
    for row in rows:
        at, counts = float(row["threshold"]), [int(row[name]) for name in ("tp", "fp", "fn", "tn")]
        expected = ([192, 2 * size - 192, 0, 0] if at <= 0.25 else [192, 0, 0, 2 * size - 192] if at <= 0.75
                    else [0, 0, 192, 2 * size - 192])  # fmt: skip
        assert counts == expected, at
    evaluate([(SHIFTED, REFERENCE)], SaveCases(tmp_path, LABELS))
    assert not (tmp_path / "curves.csv").exists() and (tmp_path / "confusion.csv").is_file()


def test_a_second_evaluation_begins_anew():
    metric = CaseScores(LABELS)
    first, second = (evaluate([(SHIFTED, REFERENCE)], metric=metric).state.metric_details for _ in range(2))
    assert first["confusion"] == second["confusion"] and first["confusion"].total() == 12 * 12 * 8


def moved(tensor, millimetres):
    affine = tensor.affine.clone()
    affine[0, 3] += millimetres
    return MetaTensor(torch.as_tensor(tensor), affine)


@pytest.mark.parametrize(
    ("prediction", "code"),
    [(REFERENCE * 0.6, "E303"), (REFERENCE * torch.nan, "E401"), (REFERENCE * 7, "E301"), (-REFERENCE, "E301"),
     (torch.cat([REFERENCE] * 3), "E201"), (REFERENCE[:, 1:], "E201"), (moved(REFERENCE, 50.0), "E202")],
)  # fmt: skip
def test_what_is_no_label_map_on_the_references_grid_is_refused(prediction, code):
    """Never a quiet number: what a forgotten arg-max, a wrong affine or NaN leave is not scored."""
    for pair in [(prediction, REFERENCE)] + ([(REFERENCE, prediction)] if code != "E202" else []):
        with pytest.raises(DataError, match=f"{code}.*case_0"):
            evaluate([pair])
    nearly = MetaTensor(torch.as_tensor(REFERENCE) + 1e-4, REFERENCE.affine)
    assert evaluate([(nearly, REFERENCE)]).state.metrics["val_mean_dice"] == 1.0
