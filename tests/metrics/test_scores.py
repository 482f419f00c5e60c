import itertools
import math

import numpy as np
import pytest

from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.metrics.scores import METRICS, mean, mean_by_label, score_case

GRID = Geometry(np.diag([-0.5, 2.0, 1.0, 1.0]), (12, 6, 12))
LABELS = Labels({"background": 0, "liver": [1, 2], "tumour": 2})
DIAGONAL = math.sqrt(6**2 + 12**2 + 12**2)


def label_map(liver=0, tumour=0):
    """Rods of voxels from the corner: `tumour` of value 2, then `liver` of value 1."""
    found = np.zeros(GRID.shape, np.uint8)
    found[: liver + tumour, 0, 0] = 1
    found[:tumour, 0, 0] = 2
    return found


def scores(prediction, reference):
    return {row["label"]: row for row in score_case(prediction, reference, GRID, LABELS)}


def test_a_union_holds_its_parts():
    rows = scores(label_map(liver=2, tumour=2), label_map(liver=4))
    assert list(rows) == ["liver", "tumour"]
    assert rows["liver"]["dice"] == rows["liver"]["iou"] == 1
    assert rows["liver"]["hd95"] == rows["liver"]["assd"] == 0
    assert rows["tumour"]["empties"] == "invented"


def test_volumes_in_millilitres():
    row = scores(label_map(liver=8), label_map(liver=4))["liver"]
    assert (row["prediction_ml"], row["reference_ml"]) == pytest.approx((0.008, 0.004))  # voxels of 1 mm³


def test_distances_in_millimetres():
    row = scores(label_map(liver=6), label_map(liver=4))["liver"]
    assert row["hd95"] == pytest.approx(np.percentile([0, 0, 0, 0, 0.5, 1.0], 95))
    assert row["assd"] == pytest.approx((0.5 + 1.0) / 10)


@pytest.mark.parametrize(
    ("predicted", "drawn", "word"), [(0, 4, "missed"), (4, 0, "invented")], ids=["missed", "invented"]
)
def test_one_empty_mask_is_the_worst_of_scores(predicted, drawn, word):
    row = scores(label_map(predicted), label_map(drawn))["liver"]
    assert row["empties"] == word
    assert row["dice"] == row["iou"] == 0
    assert row["hd95"] == row["assd"] == pytest.approx(DIAGONAL)


def test_two_empty_masks_are_left_out_of_means():
    absent, perfect = (scores(label_map(n), label_map(n))["liver"] for n in (0, 4))
    assert absent["empties"] == "absent" and perfect["empties"] == ""
    for metric in METRICS:
        assert math.isnan(absent[metric])
        assert mean_by_label([absent, perfect, absent], metric)["liver"] == perfect[metric]
        assert math.isnan(mean_by_label([absent], metric)["liver"])


def test_a_missed_structure_never_improves_a_mean():
    """Against every real prediction of the structure, however bad."""
    reference = label_map(liver=4)
    others = [scores(label_map(4), reference)["liver"], scores(label_map(7), reference)["liver"]]
    missed = scores(label_map(0), reference)["liver"]
    for place in itertools.product((0, 11), (0, 5), (0, 11)):
        bad = np.zeros(GRID.shape, np.uint8)
        bad[place] = 1
        found = scores(bad, reference)["liver"]
        for metric, sign in zip(METRICS, (1, 1, -1, -1), strict=True):
            with_missed, with_bad = (mean_by_label([*others, row], metric)["liver"] for row in (missed, found))
            assert sign * with_missed <= sign * with_bad


def test_means_do_not_depend_on_order():
    values = [1e16, 1.0, -1e16, float("nan"), 0.1]
    assert {mean(order) for order in itertools.permutations(values)} == {1.1 / 4}
    assert math.isnan(mean([]))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes differ"):
        score_case(label_map(), label_map()[:-1], GRID, LABELS)
    with pytest.raises(ValueError, match="shapes differ"):
        score_case(label_map()[:1], label_map()[:1], GRID, LABELS)
