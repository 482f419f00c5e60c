"""What a comparison comes to: every method's scores, every pair's difference, and the order of the methods."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medseg.metrics.agreement import Agreement, limits_of_agreement
from medseg.metrics.bootstrap import by_patient, mean_interval
from medseg.metrics.catalogue import METRICS
from medseg.metrics.paired import PairedDifference, compare_pair, verdicts
from medseg.metrics.ranks import RankStability, rank_stability
from medseg.metrics.summary import EMPTIES, deviation, mean, number, value_range
from medseg.reports.comparison.method_runs import Method
from medseg.reports.comparison.paired_scores import PairedScores, over_labels

MEAN = "mean over labels"
Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Key = tuple[str, str | None]


@dataclass(frozen=True)
class Score:
    """A method's score: of a label, or the mean over labels (None).

    Attributes:
        n, n_patients: cases with a value in all of the method's seeds, and the patients they are of.
        mean: over cases, of each case's mean over seeds; with its 95 % interval over patients.
        sd: over cases; sd_seeds: of the seeds' means.
        empties: structures missed, invented and absent, all seeds together.
    """

    method: str
    label: str | None
    metric: str
    n: int
    n_patients: int
    n_seeds: int
    mean: float | None
    interval: tuple[float, float] | None
    sd: float | None
    sd_seeds: float | None
    empties: dict[str, int]


@dataclass(frozen=True)
class Pair:
    """Two methods, a label (None: the mean over labels) and a metric.

    Attributes:
        found: the difference `a` minus `b`.
        p_holm, different: of `medseg.metrics.paired.verdicts`, over `n_tests` comparisons of one metric.
        absent: cases that are no pair, since the structure is in no mask.
        invented: cases (of the mean over labels: structures) that `a` (or `b`) alone invented; the other has the best
            value there, see `counted`.
        undefined: cases that are no pair for any other reason.
    """

    a: str
    b: str
    label: str | None
    metric: str
    found: PairedDifference
    p_holm: float | None
    different: str
    n_tests: int
    absent: int
    invented: tuple[int, int]
    undefined: int

    @property
    def better(self) -> str:
        """The method that is better by the mean and by the ranks; nothing where the two disagree."""
        return {1: self.a, -1: self.b, 0: ""}[self.found.favours]

    @property
    def has_leader(self) -> bool:
        """Whether the two were called different, and one of them better."""
        return self.different == "yes" and self.better != ""


@dataclass(frozen=True)
class Comparison:
    """All results.

    Attributes:
        data: the scores that they are of.
        metrics: those compared; of them `directed` are better higher or lower.
        labels: those of the data, and None (the mean over them) first where there are several.
        scores, pairs: a metric and label to its methods' scores, and to its pairs.
        ranks: a metric and label to the order of the methods by their mean over the cases in which all of them count
            (see `counted`), and how many these are; not where there are none.
        agreement: a method and label to the agreement of its volumes; empty where volumes were not measured.
    """

    data: PairedScores
    metrics: tuple[str, ...]
    directed: tuple[str, ...]
    labels: tuple[str | None, ...]
    scores: dict[Key, list[Score]]
    pairs: dict[Key, list[Pair]]
    ranks: dict[Key, tuple[RankStability, int]]
    agreement: dict[tuple[str, str], Agreement]

    @property
    def methods(self) -> list[str]:
        """Their names."""
        return [method.name for method in self.data.methods]


def compare_methods(data: PairedScores, metrics: Sequence[str], seed: int = 0) -> Comparison:
    """Compare all methods on all labels.

    Args:
        data: their scores.
        metrics: names of `medseg.metrics.catalogue.METRICS`; one that is neither better higher nor lower gets scores
            alone.
        seed: of the resampling.

    Raises:
        DataError: E105, a value that should be there.
    """
    directed = tuple(metric for metric in metrics if METRICS[metric].higher_is_better is not None)
    labels: tuple[str | None, ...] = (None, *data.labels) if len(data.labels) > 1 else data.labels
    scores: dict[Key, list[Score]] = {}
    pairs: dict[Key, list[Pair]] = {}
    ranks: dict[Key, tuple[RankStability, int]] = {}
    for metric in metrics:
        values = [data.values(method, metric) for method in data.methods]
        for label in labels:
            scores[metric, label] = [_score(data, method, label, metric, found, seed)
                                     for method, found in zip(data.methods, values, strict=True)]  # fmt: skip
        if metric in directed:
            pairs |= _pairs(data, metric, labels, values, seed)
            ranks |= _ranks(data, metric, labels, values, seed)
    return Comparison(data, tuple(metrics), directed, labels, scores, pairs, ranks, _agreement(data))


def seed_scores(data: PairedScores, method: Method, label: str | None, metric: str) -> Array:
    """Every seed's score of every case; NaN where any seed has none. (seeds, cases)."""
    own = data.values(method, metric)[:, _chosen(data, label)]
    return over_labels(own, _known(own))[0]


def case_scores(data: PairedScores, label: str | None, metric: str) -> Array:
    """Every method's score of every case, its mean over seeds; NaN where it has none. (methods, cases)."""
    return np.stack([seed_scores(data, method, label, metric).mean(axis=0) for method in data.methods])


def volume_points(data: PairedScores, method: Method, label: str) -> list[tuple[float, float]]:
    """(mean of both volumes, predicted minus reference) in ml, a point a case: the mean over seeds."""
    places = {case: place for place, case in enumerate(data.cases)}
    points = np.full((len(method.seeds), 2, len(data.cases)), np.nan)
    for seed, rows in enumerate(method.seeds):
        for row in rows:
            if row["label"] == label:
                both = number(row.get("reference_ml")), number(row.get("prediction_ml"))
                points[seed, :, places[row["case"]]] = [np.nan if each is None else each for each in both]
    reference, predicted = points.mean(axis=0)
    return [(float(r + p) / 2, float(p - r)) for r, p in zip(reference, predicted, strict=True) if np.isfinite(r + p)]


def counted(data: PairedScores, methods: Sequence[Method], metric: str, values: Sequence[Array]) -> list[Array]:
    """The methods' values as they are compared: who rightly finds nothing, where another invents, has the best value.

    A table of means leaves a structure out that is in neither mask. Were it left out of comparisons as well, a method
    that invents structures would be compared on the other cases alone, and inventing would cost nothing. A structure
    that none of `methods` invents in any seed stays left out.

    Args:
        values: of every method, (seeds, labels, cases).
    """
    best = value_range(metric)[METRICS[metric].higher_is_better is True]
    kinds = [data.kinds[method.name] for method in methods]
    invented = np.any([(each == "invented").any(axis=0) for each in kinds], axis=0)
    return [np.where(np.isnan(own) & (each == "absent") & invented, best, own)
            for own, each in zip(values, kinds, strict=True)]  # fmt: skip


def _chosen(data: PairedScores, label: str | None) -> list[int]:
    return list(range(len(data.labels))) if label is None else [data.labels.index(label)]


def _score(data: PairedScores, method: Method, label: str | None, metric: str, values: Array, seed: int) -> Score:
    chosen = _chosen(data, label)
    own = values[:, chosen]
    found, known = over_labels(own, _known(own))
    found, patients = found[:, known], _of(data.patients, known)
    of_cases = [float(each) for each in found.mean(axis=0)]
    sums = by_patient(of_cases, patients) if of_cases else None
    return Score(
        method=method.name,
        label=label,
        metric=metric,
        n=len(of_cases),
        n_patients=len(set(patients)),
        n_seeds=len(method.seeds),
        mean=mean(of_cases),
        interval=mean_interval(sums, *value_range(metric), seed) if sums else None,
        sd=deviation(of_cases),
        sd_seeds=deviation([float(each) for each in found.mean(axis=1)]) if of_cases else None,
        empties={kind: int((data.kinds[method.name][:, chosen] == kind).sum()) for kind in EMPTIES},
    )


def _pairs(
    data: PairedScores, metric: str, labels: Sequence[str | None], values: Sequence[Array], seed: int
) -> dict[Key, list[Pair]]:
    """Of one metric, which are one family for Holm's correction."""
    asked = [(label, one, two) for label in labels for one, two in itertools.combinations(range(len(values)), 2)]
    both = {(one, two): counted(data, (data.methods[one], data.methods[two]), metric, (values[one], values[two]))
            for _, one, two in asked}  # fmt: skip
    found = [_difference(data, metric, label, both[one, two], seed) for label, one, two in asked]
    n_tests = sum(each.p is not None for each in found)
    pairs: dict[Key, list[Pair]] = {(metric, label): [] for label in labels}
    for (label, one, two), difference, (p_holm, different) in zip(asked, found, verdicts(found), strict=True):
        a, b = data.methods[one], data.methods[two]
        left = _left_out(data, label, a, b, *both[one, two])
        pair = Pair(a.name, b.name, label, metric, difference, p_holm, different, n_tests, *left)
        pairs[metric, label].append(pair)
    return pairs


def _difference(
    data: PairedScores, metric: str, label: str | None, values: Sequence[Array], seed: int
) -> PairedDifference:
    one, two = (each[:, _chosen(data, label)] for each in values)
    known = _known(one) & _known(two)
    (a, cases), (b, _) = over_labels(one, known), over_labels(two, known)
    lowest, highest = value_range(metric)
    reach = highest - lowest
    better = METRICS[metric].higher_is_better is True
    return compare_pair(a[:, cases], b[:, cases], _of(data.patients, cases), better, -reach, reach, seed)


def _left_out(
    data: PairedScores, label: str | None, a: Method, b: Method, one: Array, two: Array
) -> tuple[int, tuple[int, int], int]:
    """`Pair`'s absent, invented and undefined; `one` and `two` are `counted`."""
    chosen = _chosen(data, label)
    missing = ~(_known(one[:, chosen]) & _known(two[:, chosen]))
    of_a, of_b = (data.kinds[each.name][:, chosen] for each in (a, b))
    by_a, by_b = ((kinds == "invented").any(axis=0) for kinds in (of_a, of_b))
    alone = int((by_a & ~by_b).sum()), int((by_b & ~by_a).sum())
    n_absent = int((missing & (of_a == "absent").all(axis=0) & (of_b == "absent").all(axis=0)).sum())
    return n_absent, alone, int(missing.sum()) - n_absent


def _ranks(
    data: PairedScores, metric: str, labels: Sequence[str | None], values: Sequence[Array], seed: int
) -> dict[Key, tuple[RankStability, int]]:
    ranks: dict[Key, tuple[RankStability, int]] = {}
    values = counted(data, data.methods, metric, values)
    for label in labels:
        chosen = _chosen(data, label)
        known = np.all([_known(each[:, chosen]) for each in values], axis=0)
        found = [over_labels(each[:, chosen], known) for each in values]
        cases = found[0][1]
        if cases.any():
            scores = np.stack([each.mean(axis=0)[cases] for each, _ in found])
            better = METRICS[metric].higher_is_better is True
            ranks[metric, label] = rank_stability(scores, _of(data.patients, cases), better, seed), int(cases.sum())
    return ranks


def _agreement(data: PairedScores) -> dict[tuple[str, str], Agreement]:
    found = {}
    for method, label in itertools.product(data.methods, data.labels):
        points = volume_points(data, method, label)
        if points:
            found[method.name, label] = limits_of_agreement([difference for _, difference in points])
    return found


def _known(values: Array) -> Mask:
    """Which have a value in all seeds, (labels, cases)."""
    return np.asarray(np.isfinite(values).all(axis=0))


def _of(names: Sequence[str], chosen: Mask) -> list[str]:
    return [name for name, keep in zip(names, chosen, strict=True) if keep]
