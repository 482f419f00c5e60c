from pathlib import Path

import pytest

from medseg.errors import UsageError
from medseg.metrics.catalogue import METRICS, USUAL, chosen

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.mark.parametrize("name", METRICS)
def test_the_documents_say_what_it_is(name):
    assert f"`{name}`" in DOCS.read_text(encoding="utf-8")


def test_names_come_once_and_unknown_ones_are_refused():
    assert set(USUAL) <= set(METRICS)
    assert chosen(["brier", "dice", "brier"]) == ("brier", "dice")
    with pytest.raises(UsageError, match=r"E903.*roc_auc.*found dise"):
        chosen(["dise"])


def test_titles_tell_metrics_apart():
    assert len({metric.title for metric in METRICS.values()}) == len(METRICS)
