import itertools
import math

import numpy as np
import pytest
from scipy import stats

from medseg.metrics import bootstrap
from medseg.metrics.bootstrap import by_patient, mean_interval

SKEWED = [0.91, 0.88, 0.0, 0.95, 0.72, 0.93, 0.9, 0.55, 0.97, 0.86]
PATIENTS = ["a", "a", "b", "c", "c", "c", "d", "e", "f", "f"]


def interval(values, patients=None, **limits):
    return mean_interval(by_patient(values, patients or range(len(values))), **limits)


def test_with_a_case_a_patient_the_standard_error_is_the_usual_one():
    assert by_patient(SKEWED, range(10)).standard_error == pytest.approx(stats.sem(SKEWED), rel=1e-14)


def test_the_standard_error_of_two_patients_by_hand():
    # Patient a has 0.8 and 0.9, b has 0.5: the mean is 2.2 / 3, the excesses are 1.7 - 2 * 2.2 / 3 = 0.7 / 3 and
    # -0.7 / 3; 2 / 1 * 2 * (0.7 / 3)**2 = (1.4 / 3)**2, over three cases.
    assert by_patient([0.8, 0.5, 0.9], ["a", "b", "a"]).standard_error == pytest.approx(1.4 / 9, rel=1e-12)


def test_the_standard_error_is_the_deviation_of_means_of_new_patients():
    """Of patients with four cases that are alike: four times as many cases say hardly more than one of each."""
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(15), 4)
    drawn = random.normal(size=(2000, 15))[:, patients] + 0.2 * random.normal(size=(2000, 60))
    estimated = np.mean([by_patient(each.tolist(), patients.tolist()).standard_error for each in drawn[:300]])
    assert estimated == pytest.approx(np.std(drawn.mean(axis=1)), rel=0.05)


def test_the_studentised_bootstrap_from_the_cases_themselves():
    """Each resample written out as a list of cases, its mean and standard error found from that list.

    Draws count patients in the order of the sum of their cases' differences from the mean, and in the other one.
    """
    sums = by_patient(SKEWED, PATIENTS)
    mean, error = np.mean(SKEWED), sums.standard_error
    cases = {name: [v for v, whose in zip(SKEWED, PATIENTS, strict=True) if whose == name] for name in set(PATIENTS)}
    order = sorted(cases, key=lambda name: sum(cases[name]) - len(cases[name]) * mean)
    t = []
    draws = bootstrap._weights(6, 0).astype(int)
    for drawn, names in itertools.product(draws, (order, order[::-1])):
        members = [cases[name] for name, times in zip(names, drawn, strict=True) for _ in range(times)]
        flat = list(itertools.chain(*members))
        own = math.sqrt(6 / 5 * sum((sum(each) - len(each) * np.mean(flat)) ** 2 for each in members)) / len(flat)
        t.append((np.mean(flat) - mean) / max(own, error / 3))
    reach = stats.t.ppf(0.975, 5)
    low, high = np.quantile(t, (0.025, 0.975))
    expected = mean - max(high, reach) * error, mean - min(low, -reach) * error
    assert mean_interval(sums) == pytest.approx(expected, rel=1e-9)
    assert high > reach > -low  # the failure makes the mean less sure below than above


def test_two_patients_have_students_interval():
    assert interval([0.7, 0.9]) == pytest.approx(stats.t.interval(0.95, 1, 0.8, 0.1), rel=1e-12)


def test_many_even_scores_have_nearly_students_interval():
    values = stats.norm.ppf((np.arange(200) + 0.5) / 200)
    low, high = stats.t.interval(0.95, 199, 0.0, stats.sem(values))
    assert interval(values.tolist()) == pytest.approx((low, high), rel=0.03)


def test_the_order_of_cases_and_the_names_of_patients_do_not_matter():
    expected = interval(SKEWED, PATIENTS)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(10)
        renamed = [PATIENTS[i].upper() if seed % 2 else hash(PATIENTS[i]) for i in order]
        assert interval([SKEWED[i] for i in order], renamed) == expected


@pytest.mark.parametrize("values", [SKEWED, [0.1, -0.1, 0.3, 0.0, 0.0, 0.2, 0.1, -0.1, 0.4, 0.4]])
def test_turned_signs_turn_the_interval_round(values):
    for patients in (None, PATIENTS):
        low, high = interval(values, patients)
        assert interval([-value for value in values], patients) == pytest.approx((-high, -low), rel=1e-12)


def test_every_case_twice_makes_a_patient_no_surer():
    assert interval(SKEWED * 2, [*range(10), *range(10)]) == pytest.approx(interval(SKEWED), rel=1e-9)
    low, high = interval(SKEWED * 2)  # as cases of twenty patients
    assert low > interval(SKEWED)[0] and high < interval(SKEWED)[1]


def test_seeds_are_reproducible_and_differ():
    assert interval(SKEWED, seed=3) == interval(SKEWED, seed=3) != interval(SKEWED, seed=4)
    assert interval(SKEWED, seed=3) == pytest.approx(interval(SKEWED, seed=4), abs=0.05)


def test_one_patient_has_no_interval():
    assert interval([0.5]) is None and interval([0.5, 0.7], ["a", "a"]) is None
    assert by_patient([0.5, 0.7], ["a", "a"]).standard_error is None


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 440.0])
def test_equal_scores_have_no_interval(value):
    assert interval([value] * 7) is None
    assert by_patient([value] * 7, range(7)).standard_error == 0.0


def test_patients_of_equal_means_have_no_interval():
    assert interval([0.25, 0.75, 0.75, 0.25], ["a", "a", "b", "b"]) is None


def test_the_interval_ends_where_scores_end():
    low, high = interval([0.99, 1.0, 0.2])
    assert low < 0 and high > 1
    assert interval([0.99, 1.0, 0.2], lowest=0.0, highest=1.0) == (0.0, 1.0)


def test_many_patients_take_fewer_resamples():
    assert [bootstrap._weights(n, 1).shape[0] for n in (40, 400, 2000)] == [5000, 1250, 500]


QUANTILES = {
    "even": stats.beta(20, 3).ppf,
    "1 in 10 fails": lambda u: np.where(u < 0.1, stats.beta(2, 3).ppf(np.minimum(u * 10, 1)),
                                        stats.beta(20, 2).ppf(np.maximum(u - 0.1, 0) / 0.9)),
}  # fmt: skip
MEANS = {"even": 20 / 23, "1 in 10 fails": 0.1 * 2 / 5 + 0.9 * 20 / 22}


def samples(kind, patients, n_samples=300):
    """Scores of cases, correlated by 0.5 (before they are bent into shape) within a patient."""
    random = np.random.default_rng(len(patients))
    shared = random.normal(size=(n_samples, max(patients) + 1))[:, patients]
    return QUANTILES[kind](stats.norm.cdf(np.sqrt(0.5) * (shared + random.normal(size=(n_samples, len(patients))))))


def coverage(drawn, truth, patients):
    found = [mean_interval(by_patient(each, patients), 0.0, 1.0) for each in drawn.tolist()]
    return np.mean([low <= truth <= high for low, high in found])


@pytest.mark.parametrize(
    ("kind", "n", "several", "least"),
    [
        ("even", 10, False, 0.92), ("even", 20, False, 0.92), ("even", 40, False, 0.92),
        ("even", 10, True, 0.91), ("even", 20, True, 0.92), ("even", 40, True, 0.92),
        ("1 in 10 fails", 10, False, 0.77), ("1 in 10 fails", 20, False, 0.82), ("1 in 10 fails", 40, False, 0.91),
        ("1 in 10 fails", 10, True, 0.77), ("1 in 10 fails", 20, True, 0.80), ("1 in 10 fails", 40, True, 0.89),
    ],
)  # fmt: skip
def test_coverage(kind, n, several, least):
    """Not far below the docstring's figures (300 samples tell about 2 % apart), and never everything."""
    patients = np.repeat(np.arange(n), np.resize([1, 2, 3, 4], n))[:n] if several else np.arange(n)
    assert least <= coverage(samples(kind, patients), MEANS[kind], patients.tolist()) < 0.995


def test_plain_percentiles_cover_less():
    patients = np.repeat(np.arange(4), [1, 2, 3, 4])
    drawn = samples("even", patients, 150)
    found = []
    for each in drawn:
        sums, sizes = np.bincount(patients, each), np.bincount(patients)
        ratio = stats.bootstrap((sums, sizes), lambda s, n, axis: s.sum(axis) / n.sum(axis), paired=True,
                                method="percentile", n_resamples=999, rng=np.random.default_rng(0))  # fmt: skip
        found.append(ratio.confidence_interval.low <= MEANS["even"] <= ratio.confidence_interval.high)
    assert np.mean(found) < 0.86 < 0.91 <= coverage(drawn, MEANS["even"], patients.tolist())
