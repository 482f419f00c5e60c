import itertools
import math

import numpy as np
import pytest

from medseg.errors import UsageError
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.metrics.catalogue import OF_LABEL_MAPS, OF_PROBABILITIES, USUAL, chosen
from medseg.metrics.scores import mean, mean_by_label, score_case, tolerances

GRID = Geometry(np.diag([-0.5, 2.0, 1.0, 1.0]), (12, 6, 12))
LABELS = Labels({"background": 0, "liver": [1, 2], "tumour": 2})
DIAGONAL = math.sqrt(6**2 + 12**2 + 12**2)
ALL = tuple(OF_LABEL_MAPS)


def label_map(liver=0, tumour=0, grid=GRID):
    """Rods of voxels from the corner: `tumour` of value 2, then `liver` of value 1."""
    found = np.zeros(grid.shape, np.uint8)
    found[: liver + tumour, 0, 0] = 1
    found[:tumour, 0, 0] = 2
    return found


def scores(prediction, reference, metrics=ALL, grid=GRID, tolerance_mm=1.0):
    return {row["label"]: row for row in score_case(prediction, reference, grid, LABELS, metrics, tolerance_mm)}


def test_a_row_holds_what_was_asked_for():
    rows = score_case(label_map(liver=4), label_map(liver=4), GRID, LABELS)
    assert [row["label"] for row in rows] == ["liver", "tumour"]
    assert list(rows[0]) == ["label", *USUAL, "empties", "reference_ml", "prediction_ml", "tolerance_mm"]
    rows = score_case(label_map(liver=4), label_map(liver=4), GRID, LABELS, ["hd", "dice"])
    assert list(rows[0]) == ["label", "hd", "dice", "empties", "reference_ml", "prediction_ml"]


def test_a_union_holds_its_parts():
    rows = scores(label_map(liver=2, tumour=2), label_map(liver=4))
    assert rows["liver"]["dice"] == rows["liver"]["iou"] == rows["liver"]["nsd"] == 1
    assert rows["liver"]["hd95"] == rows["liver"]["assd"] == 0
    assert rows["tumour"]["empties"] == "invented"


def test_volumes_in_millilitres():
    row = scores(label_map(liver=8), label_map(liver=4))["liver"]  # voxels of 1 mm³
    assert (row["prediction_ml"], row["reference_ml"]) == pytest.approx((0.008, 0.004))
    assert row["volume_difference_ml"] == pytest.approx(0.004)


def test_distances_in_millimetres():
    """Six voxels of 0.5 mm against the first four of them: 0, 0, 0, 0, 0.5 and 1 mm, and back 0 each."""
    row = scores(label_map(liver=6), label_map(liver=4), tolerance_mm=0.5)["liver"]
    assert row["hd"] == row["hd_prediction_to_reference"] == pytest.approx(1)
    assert row["hd_reference_to_prediction"] == 0
    assert row["hd95"] == pytest.approx(0.875)  # 0.75 of the way from the fifth, 0.5, to the sixth, 1
    assert row["assd"] == pytest.approx((0.5 + 1.0) / 10)
    assert row["nsd"] == pytest.approx(9 / 10)


def test_overlaps():
    """Six predicted, four drawn, four in common, of 12 x 6 x 12 = 864 voxels."""
    row = scores(label_map(liver=6), label_map(liver=4))["liver"]
    assert row["dice"] == pytest.approx(8 / 10) and row["iou"] == pytest.approx(4 / 6)
    assert row["sensitivity"] == 1 and row["precision"] == pytest.approx(4 / 6)
    assert row["specificity"] == pytest.approx(858 / 860) and row["accuracy"] == pytest.approx(862 / 864)


def test_tolerances_by_label():
    prediction, reference = label_map(liver=4, tumour=6), label_map(liver=2, tumour=4)
    rows = scores(prediction, reference, ["nsd"], tolerance_mm={"liver": 0.0, "tumour": 1.0})
    assert rows["tumour"]["nsd"] == 1  # 6 against 4 voxels of 0.5 mm: the farthest 1 mm away
    assert rows["liver"]["nsd"] == pytest.approx(12 / 16)  # 10 against 6: four are farther than 0 mm


def test_a_sheared_affine_measures_along_its_axes():
    """Slices tilted by a gantry: 3 mm between them along the tilted axis, of which 2.4 mm perpendicular."""
    affine = np.diag([0.5, 0.5, 2.4, 1.0])
    affine[1, 2] = 1.8
    grid = Geometry(affine, (12, 6, 12))
    reference, prediction = np.zeros((2, *grid.shape), np.uint8)
    reference[3, 3, 3] = prediction[3, 3, 5] = 1
    row = scores(prediction, reference, grid=grid)["liver"]
    assert row["hd"] == pytest.approx(6)
    assert row["reference_ml"] == pytest.approx(0.5 * 0.5 * 2.4 / 1000)


def test_a_picture_is_measured_in_pixels_and_has_no_volume():
    """A square of 10 x 10 shifted by 30: only its outline is surface, and only that of the one page."""
    grid = Geometry(np.eye(4), (60, 20, 1), "px")
    reference = np.zeros(grid.shape, np.uint8)
    reference[2:12, 2:12] = 1
    row = scores(np.roll(reference, 30, axis=0), reference, grid=grid)["liver"]
    assert row["hd"] == row["hd95"] == 30
    assert row["assd"] == pytest.approx(25.5)  # 21 to 30 as one walks along the outline, symmetric about their middle
    assert math.isnan(row["reference_ml"]) and math.isnan(row["volume_difference_ml"])


@pytest.mark.parametrize(
    ("predicted", "drawn", "word"), [(0, 4, "missed"), (4, 0, "invented")], ids=["missed", "invented"]
)
def test_one_empty_mask_is_the_worst_of_scores(predicted, drawn, word):
    row = scores(label_map(predicted), label_map(drawn))["liver"]
    assert row["empties"] == word
    for name, metric in OF_LABEL_MAPS.items():
        if metric.kind == "overlap":
            assert row[name] == 0, name
        if metric.kind == "distance":
            assert row[name] == pytest.approx(DIAGONAL), name
    assert row["volume_difference_ml"] == pytest.approx((predicted - drawn) / 1000)
    assert row["specificity"] == pytest.approx((864 - predicted) / 864 if drawn == 0 else 1)


def test_two_empty_masks_are_left_out_of_means():
    absent, perfect = (scores(label_map(n), label_map(n))["liver"] for n in (0, 4))
    assert absent["empties"] == "absent" and perfect["empties"] == ""
    for name, metric in OF_LABEL_MAPS.items():
        if metric.kind == "count":
            assert not math.isnan(absent[name]), name
        else:
            assert math.isnan(absent[name]), name
            assert mean_by_label([absent, perfect, absent], name)["liver"] == pytest.approx(perfect[name], nan_ok=True)
            assert math.isnan(mean_by_label([absent], name)["liver"])


def test_a_missed_structure_never_improves_a_mean():
    """Against every real prediction of the structure, however bad."""
    reference = label_map(liver=4)
    ranked = [name for name, metric in OF_LABEL_MAPS.items() if metric.kind in ("overlap", "distance")]
    others = [scores(label_map(4), reference)["liver"], scores(label_map(7), reference)["liver"]]
    missed = scores(label_map(0), reference)["liver"]
    for place in itertools.product((0, 11), (0, 5), (0, 11)):
        bad = np.zeros(GRID.shape, np.uint8)
        bad[place] = 1
        found = scores(bad, reference)["liver"]
        for name in ranked:
            sign = 1 if OF_LABEL_MAPS[name].higher_is_better else -1
            with_missed, with_bad = (mean_by_label([*others, row], name)["liver"] for row in (missed, found))
            assert sign * with_missed <= sign * with_bad, name


def test_means_do_not_depend_on_order():
    values = [1e16, 1.0, -1e16, float("nan"), 0.1]
    assert {mean(order) for order in itertools.permutations(values)} == {1.1 / 4}
    assert math.isnan(mean([]))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes differ"):
        score_case(label_map(), label_map()[:-1], GRID, LABELS)
    with pytest.raises(ValueError, match="shapes differ"):
        score_case(label_map()[:1], label_map()[:1], GRID, LABELS)


def test_metrics_are_chosen_by_name_each_once():
    assert chosen(["hd", "dice", "hd"]) == ("hd", "dice")
    with pytest.raises(UsageError, match=r"E903.*found hd96"):
        chosen(["hd96"])


@pytest.mark.parametrize("given", [1.5, 0, {"liver": 2.0, "tumour": 1}])
def test_tolerances_that_can_be_ones(given):
    assert tolerances(given, LABELS) is given


@pytest.mark.parametrize(
    "given", [-1.0, math.nan, math.inf, "2", True, {"liver": 1.0}, {"liver": 1.0, "tumour": 1.0, "spleen": 1.0}]
)
def test_tolerances_that_cannot(given):
    with pytest.raises(UsageError, match="E903"):
        tolerances(given, LABELS)


def test_probabilities_are_scored_beside_the_maps():
    """Two voxels of liver in eight; the order of probabilities gives 11 of 12 pairs right, and 1 / 8 of each error."""
    reference = np.zeros((8, 1, 1), np.uint8)
    reference[:2] = 4
    probability = np.array([0.9, 0.5, 0.6, 0.1, 0.1, 0.1, 0.1, 0.1]).reshape(8, 1, 1)
    labels = Labels({"background": 0, "liver": 4})
    grid = Geometry(np.eye(4), (8, 1, 1))
    prediction = np.where(probability > 0.55, 4, 0).astype(np.uint8)
    (row,) = score_case(
        prediction, reference, grid, labels, tuple(OF_PROBABILITIES), probabilities={"liver": probability}
    )
    assert row["roc_auc"] == 11 / 12
    assert row["pr_auc"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert row["brier"] == pytest.approx((0.1**2 + 0.5**2 + 0.6**2 + 5 * 0.1**2) / 8)
    with pytest.raises(ValueError, match="no probabilities of liver"):
        score_case(prediction, reference, grid, labels, ("brier",))
    with pytest.raises(ValueError, match="shapes differ"):
        score_case(prediction, reference, grid, labels, ("brier",), probabilities={"liver": probability[:4]})
