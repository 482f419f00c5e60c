import pytest

from medseg.errors import UsageError
from medseg.metrics import pixelwise
from medseg.metrics.catalogue import METRICS
from medseg.metrics.columns import SCORES, known_scores


def test_scores_of_probabilities_are_those_that_there_are():
    further = SCORES.keys() - METRICS.keys()
    assert further == {"roc_auc", "pr_auc", "brier", "calibration_error"}
    assert all(callable(getattr(pixelwise, name)) for name in further)


def test_names_come_once_and_unknown_ones_are_refused():
    assert known_scores(["brier", "dice", "brier"]) == ("brier", "dice")
    with pytest.raises(UsageError, match=r"E903.*roc_auc.*found dise"):
        known_scores(["dise"])
