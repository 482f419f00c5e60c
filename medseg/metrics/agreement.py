"""How far a measurement lies from a reference, as Bland and Altman show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medseg.metrics.summary import deviation, mean

REACH = 1.96  # standard deviations that hold 95 % of a normal distribution


@dataclass(frozen=True)
class Agreement:
    """The bias of a measurement, and its limits of agreement.

    Attributes:
        n: differences.
        bias: their mean.
        low, high: bias -+ 1.96 standard deviations (n - 1); None of fewer than two.
    """

    n: int
    bias: float
    low: float | None
    high: float | None


def limits_of_agreement(differences: Sequence[float]) -> Agreement:
    """Bias and limits (Bland and Altman 1986, doi:10.1016/S0140-6736(86)90837-8) of measured minus reference.

    Args:
        differences: at least one; finite.
    """
    bias, spread = mean(differences), deviation(differences)
    if bias is None:
        raise ValueError("no differences")
    if spread is None:
        return Agreement(len(differences), bias, None, None)
    return Agreement(len(differences), bias, bias - REACH * spread, bias + REACH * spread)
