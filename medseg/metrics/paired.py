"""Whether two methods differ on the same cases: a paired test, its correction for many tests, and intervals.

A single trained network a method tells how these two networks differ on patients like these. How the two *methods*
differ needs several seeds of each, since another seed gives another network; `compare_pair` then gives a second
interval, in which seeds are random too.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from medseg.metrics.bootstrap import LEVEL, by_patient, mean_interval
from medseg.metrics.summary import deviation

SIGNIFICANT = 0.05
DECIMALS = 9  # differences that agree so far are equal: 0.3 - 0.2 is 0.2 - 0.1
EXACT_UP_TO = 50  # differences, as SciPy; the normal approximation beyond
LEAST_SEEDS = 2

Array = npt.NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class WithSeeds:
    """What is known of a difference where seeds are random too: its 95 % interval, and the p that it is 0."""

    low: float
    high: float
    p: float


@dataclass(frozen=True)
class PairedDifference:
    """How method A differs from method B on the same cases; "difference" is always A minus B.

    Attributes:
        n, n_patients: cases that both have a value of, and the patients they are of.
        mean: mean difference over cases; None of none.
        interval: its 95 % interval over patients, for the networks as they were trained; None of one patient, or where
            all differences are equal.
        median: of the patients' mean differences.
        wins: share of cases in which A is better, those alike count half.
        p: of Wilcoxon's signed-rank test over patients, two-sided, not corrected.
        ranks_favour: 1 where the test's ranks favour A, -1 where they favour B, 0 where neither.
        with_seeds: of the mean difference where seeds are random too; None where A or B has one seed, or where nothing
            varies, neither over patients nor over seeds.
        seeds: how many A and B have.
        higher_is_better: of the metric.
    """

    n: int
    n_patients: int
    mean: float | None
    interval: Interval | None
    median: float | None
    wins: float | None
    p: float | None
    ranks_favour: int
    with_seeds: WithSeeds | None
    seeds: tuple[int, int]
    higher_is_better: bool

    @property
    def favours(self) -> int:
        """1 where A is better by the mean and by the test's ranks, -1 where B is; 0 where the two disagree."""
        sign = (self.mean or 0.0) * (1 if self.higher_is_better else -1)
        by_mean = (sign > 0) - (sign < 0)
        return by_mean if by_mean == self.ranks_favour else 0

    @property
    def least_p(self) -> float:
        """The smallest p that so many patients can give: all differences of one sign."""
        return min(1.0, 2.0 ** (1 - self.n_patients))

    @property
    def larger_p(self) -> float:
        """The larger one of the two tests' p, or `p` where there is one test.

        Where one difference is that of all patients and seeds, the second test has nothing to divide by. Its p comes
        near 0 as differences come near that, so that `p` is the larger one there, too.
        """
        if self.p is None:
            return 1.0
        return max(self.p, self.with_seeds.p) if self.with_seeds else self.p


def compare_pair(
    a: Array,
    b: Array,
    patients: Sequence[Hashable],
    higher_is_better: bool,
    lowest: float = -math.inf,
    highest: float = math.inf,
    seed: int = 0,
) -> PairedDifference:
    """Compare two methods on the same cases.

    A case's value is its mean over the method's seeds. The test and the median take a patient's mean difference as one
    pair; the mean is over cases, and its interval resamples patients: `medseg.metrics.bootstrap.mean_interval`.

    Args:
        a, b: scores (seeds, cases), finite, the same cases in the same order.
        patients: whose case each is.
        higher_is_better: of the metric.
        lowest, highest: what a difference can be; intervals end there.
        seed: of the resampling.
    """
    n, seeds = a.shape[1], (len(a), len(b))
    if not n:
        return PairedDifference(0, 0, None, None, None, None, None, 0, None, seeds, higher_is_better)
    differences = np.round(a.mean(axis=0) - b.mean(axis=0), DECIMALS) + 0.0
    own: dict[Hashable, list[float]] = {}
    for patient, difference in zip(patients, differences.tolist(), strict=True):
        own.setdefault(patient, []).append(difference)
    of_patients = np.round([math.fsum(each) / len(each) for each in own.values()], DECIMALS)
    p, sign = signed_rank(of_patients)
    sums = by_patient(differences.tolist(), patients)
    better = differences if higher_is_better else -differences
    means = [[float(mean) for mean in each.mean(axis=1)] for each in (a, b)]
    with_seeds = seed_interval(sums.mean, sums.standard_error, len(own), *means)
    if with_seeds:
        with_seeds = WithSeeds(max(with_seeds.low, lowest), min(with_seeds.high, highest), with_seeds.p)
    return PairedDifference(
        n=n,
        n_patients=len(own),
        mean=sums.mean,
        interval=mean_interval(sums, lowest, highest, seed),
        median=float(np.median(of_patients)),
        wins=float(np.mean((better > 0) + 0.5 * (better == 0))),
        p=p,
        ranks_favour=sign if higher_is_better else -sign,
        with_seeds=with_seeds,
        seeds=seeds,
        higher_is_better=higher_is_better,
    )


def signed_rank(differences: npt.ArrayLike) -> tuple[float, int]:
    """Wilcoxon's signed-rank test (Wilcoxon 1945, doi:10.2307/3001968): its two-sided p, and which sign outranks.

    Differences of 0 are left out (they have no sign), equal ones share their mean rank. Up to 50 differences p is
    exact, from all 2^n signs of the ranks as they are; SciPy's exact distribution holds without ties alone. Beyond, it
    is that of the normal approximation with the variance of the tied ranks, SciPy's ``asymptotic``.

    Args:
        differences: (pairs,), finite.

    Returns:
        p, which is 1 where no difference is left; and 1, -1 or 0 as the positive ranks' sum is the larger one, the
        smaller one, or neither.
    """
    found = np.asarray(differences, dtype=np.float64)
    found = found[found != 0]
    if not len(found):
        return 1.0, 0
    _, place, counts = np.unique(np.abs(found), return_inverse=True, return_counts=True)
    doubled = (2 * np.cumsum(counts) - counts + 1)[place]  # twice the mean rank of those alike
    surplus = int(doubled[found > 0].sum() - doubled[found < 0].sum())
    sign = (surplus > 0) - (surplus < 0)
    if len(found) > EXACT_UP_TO:
        z = abs(surplus) / math.sqrt(math.fsum(doubled.astype(np.float64) ** 2))
        return float(2 * special.ndtr(-z)), sign
    total = int(doubled.sum())
    share = np.zeros(total + 1)  # of all signs, by the doubled sum of the positive ranks
    share[0] = 1.0
    for rank in doubled.tolist():
        share[rank:] = (share[rank:] + share[: total + 1 - rank]) / 2
        share[:rank] /= 2
    return min(1.0, 2 * float(share[: (total - abs(surplus)) // 2 + 1].sum())), sign


def seed_interval(
    difference: float, error: float | None, n_patients: int, means_a: Sequence[float], means_b: Sequence[float]
) -> WithSeeds | None:
    """The 95 % interval (and p) of the difference of two methods, where both patients and seeds are drawn at random.

    difference -+ t SE with SE^2 = error^2 + s_A^2 / k_A + s_B^2 / k_B, where s_A is the standard deviation of the means
    over cases of A's seeds and k_A their number, and t has Welch and Satterthwaite's degrees of freedom (Satterthwaite
    1946, doi:10.2307/3002019) from n_patients - 1, k_A - 1 and k_B - 1. What a seed changes in single cases is counted
    in both parts, so the interval errs on the long side.

    Args:
        difference: of the two means.
        error: its standard error over patients, of these networks; None of one patient.
        n_patients: behind `error`.
        means_a, means_b: mean over cases of every seed.

    Returns:
        None with one patient, where A or B has one seed, or where nothing varies.
    """
    if error is None or min(len(means_a), len(means_b)) < LEAST_SEEDS:
        return None
    parts = [(error**2, n_patients - 1)]
    parts += [((deviation(means) or 0.0) ** 2 / len(means), len(means) - 1) for means in (means_a, means_b)]
    variance = math.fsum(part for part, _ in parts)
    if not variance:
        return None
    freedom = variance**2 / math.fsum(part**2 / df for part, df in parts)
    error = math.sqrt(variance)
    reach = float(special.stdtrit(freedom, (1 + LEVEL) / 2)) * error
    p = 2 * float(special.stdtr(freedom, -abs(difference) / error))
    return WithSeeds(difference - reach, difference + reach, p)


def holm(ps: Sequence[float]) -> list[float]:
    """p of every test of a family, corrected (Holm 1979, jstor.org/stable/4615733), in the order given.

    The smallest of m is multiplied by m, the next by m - 1 and so on; none becomes smaller than the one before it, or
    larger than 1. Below 0.05 it is significant with at most 5 % chance that any true hypothesis of the family is called
    false.
    """
    order = np.argsort(ps, kind="stable")
    found = np.asarray(ps, dtype=np.float64)[order] * np.arange(len(ps), 0, -1)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(np.maximum.accumulate(found), 1.0) if len(ps) else found
    return [float(p) for p in adjusted]


def verdicts(family: Sequence[PairedDifference]) -> list[tuple[float | None, str]]:
    """Each comparison's p after Holm's correction over the family, and whether its methods are called different.

    Where both have seeds, the larger p of the two tests is corrected: the methods differ on these patients by more than
    chance, and by more than another seed would change. ``yes``: that is below 0.05. ``too few``: so few patients cannot
    bring Wilcoxon's p there, whatever their scores (one test needs 6, a family more). ``no`` otherwise: no difference
    was shown, which is not to say that there is none. A comparison without pairs has no p and is not counted.
    """
    tested = [place for place, each in enumerate(family) if each.p is not None]
    corrected = holm([family[place].larger_p for place in tested])
    least = holm([family[place].least_p for place in tested])
    found: list[tuple[float | None, str]] = [(None, "too few")] * len(family)
    for place, p, least_p in zip(tested, corrected, least, strict=True):
        found[place] = p, "too few" if least_p >= SIGNIFICANT else "yes" if p < SIGNIFICANT else "no"
    return found
