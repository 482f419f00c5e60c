from pathlib import Path

import numpy as np
import pytest

from medseg.errors import UsageError
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.metrics.catalogue import METRICS, USUAL, chosen
from medseg.metrics.scores import score_case

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.mark.parametrize("name", METRICS)
def test_the_documents_say_what_it_is(name):
    assert f"`{name}`" in DOCS.read_text(encoding="utf-8")


def test_names_come_once_and_unknown_ones_are_refused():
    assert set(USUAL) <= set(METRICS)
    assert chosen(["brier", "dice", "brier"]) == ("brier", "dice")
    assert chosen("dice, hd95") == ("dice", "hd95")
    with pytest.raises(UsageError, match=r"E903.*roc_auc.*found dise"):
        chosen(["dise"])


def test_titles_tell_metrics_apart():
    assert len({metric.title for metric in METRICS.values()}) == len(METRICS)


def test_the_soft_dice_of_a_report_takes_what_a_label_leaves_for_background():
    """One constant everywhere, worked out by hand, in the image and in a part of it."""
    reference = np.zeros((10, 10, 1), np.uint8)
    reference[0, :5] = 2
    share = np.full(reference.shape, 0.2)
    inside = np.zeros(reference.shape, bool)
    inside[:5] = True
    for region, share_of_label in ((None, 0.05), (inside, 0.1)):
        rows = score_case(reference, reference, Geometry(np.eye(4), reference.shape), Labels({"background": 0, "a": 2}),
                          ["soft_dice_with_background"], probabilities={"a": share}, inside=region)  # fmt: skip
        rest = 1 - share_of_label
        expected = (2 * 0.8 * rest / (0.8**2 + rest) + 2 * 0.2 * share_of_label / (0.2**2 + share_of_label)) / 2
        assert rows[0]["soft_dice_with_background"] == pytest.approx(expected, abs=1e-4)
