"""Which method is best, second and so on, and how often that order holds for other patients."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medseg.metrics.paired import DECIMALS

RESAMPLES = 2000

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RankStability:
    """The order of the methods by their mean score, and what becomes of it when patients are drawn again.

    Attributes:
        ranks: of every method by its mean over cases, 1 is best; those alike share the better rank, (methods,).
        mean_ranks: a method's rank in a case (those alike share their mean rank), averaged over cases, (methods,).
        shares: in which share of the resamples a method (row) has a rank (column 0 is rank 1), (methods, methods).
        tau: Kendall's tau-b between the resamples' order and the full one, as their mean and 2.5 % quantile; None where
            all methods are alike.
    """

    ranks: npt.NDArray[np.intp]
    mean_ranks: Array
    shares: Array
    tau: tuple[float, float] | None


def rank_stability(scores: Array, patients: Sequence[Hashable], higher_is_better: bool, seed: int = 0) -> RankStability:
    """Rank methods, and rank them again on patients drawn with replacement, 2000 times.

    As challengeR does (Wiesenfarth et al. 2021, doi:10.1038/s41598-021-82017-6), with "aggregate, then rank" by the
    mean; patients are drawn with all of their cases.

    Args:
        scores: (methods, cases), finite, at least one case.
        patients: whose case each is.
        higher_is_better: of the metric.
        seed: of the resampling.
    """
    better = scores if higher_is_better else -scores
    names = {patient: place for place, patient in enumerate(dict.fromkeys(patients))}
    whose = np.array([names[patient] for patient in patients])
    sums = np.stack([np.bincount(whose, weights=row, minlength=len(names)) for row in better], axis=1)
    cases = np.bincount(whose)
    share = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(seed).multinomial(len(names), share, RESAMPLES).astype(np.float64)
    full = _ranks(np.array([[math.fsum(row) / len(row) for row in better]]))
    found = _ranks(drawn @ sums / (drawn @ cases)[:, None])
    shares = np.stack([np.mean(found == rank, axis=0) for rank in range(1, len(scores) + 1)], axis=1)
    taus = _tau(found, full)
    known = taus[np.isfinite(taus)]
    return RankStability(
        ranks=full[0],
        mean_ranks=case_ranks(scores, higher_is_better).mean(axis=1),
        shares=shares,
        tau=(float(known.mean()), float(np.quantile(known, 0.025))) if len(known) else None,
    )


def case_ranks(scores: Array, higher_is_better: bool) -> Array:
    """Every method's rank in every case, of `scores`' shape; 1 is best, those alike share their mean rank."""
    found = np.round(scores if higher_is_better else -scores, DECIMALS)
    better, alike = found[:, None] < found, found[:, None] == found
    return 0.5 + better.sum(axis=1) + 0.5 * alike.sum(axis=1)


def _ranks(means: Array) -> npt.NDArray[np.intp]:
    """(resamples, methods): 1 + how many are better; `means` are better where higher."""
    found = np.round(means, DECIMALS)
    return 1 + (found[:, :, None] < found[:, None, :]).sum(axis=2)


def _tau(found: npt.NDArray[np.intp], full: npt.NDArray[np.intp]) -> Array:
    """Kendall's tau-b of every row of `found` and the one of `full`; NaN where all of either are alike."""
    one, two = np.triu_indices(full.shape[1], 1)
    order, reference = np.sign(found[:, one] - found[:, two]), np.sign(full[:, one] - full[:, two])
    pairs = np.sqrt(np.abs(order).sum(axis=1) * np.abs(reference).sum(axis=1))
    with np.errstate(invalid="ignore"):
        return np.where(pairs > 0, (order * reference).sum(axis=1) / pairs, np.nan)
