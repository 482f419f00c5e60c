"""Every score that a table may hold: those of label maps, and those that only probabilities give."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medseg.errors import Fault, UsageError
from medseg.metrics.case_pair import CasePair
from medseg.metrics.catalogue import METRICS, Metric


def _of_probabilities(title: str, higher_is_better: bool) -> Metric:
    """A score that two label maps do not give; `medseg.metrics.pixelwise` finds it."""
    return Metric(title, _undefined, "plain", higher_is_better)


def _undefined(pair: CasePair, name: str) -> float:
    return math.nan


SCORES: dict[str, Metric] = METRICS | {
    "roc_auc": _of_probabilities("ROC AUC", True),
    "pr_auc": _of_probabilities("PR AUC", True),
    "brier": _of_probabilities("Brier score", False),
    "calibration_error": _of_probabilities("Calibration error", False),
}


def known_scores(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once, where all are known.

    Raises:
        UsageError: E903, one is not.
    """
    for name in names:
        if name not in SCORES:
            raise UsageError(Fault("E903", "no such score", "choose one of those", ", ".join(SCORES), name))
    return tuple(dict.fromkeys(names))
