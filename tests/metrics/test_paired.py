import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from medseg.metrics.bootstrap import by_patient
from medseg.metrics.paired import compare_pair, holm, seed_interval, signed_rank, verdicts

DIFFERENCES = (0.03, -0.01, 0.05, 0.02, 0.07, -0.04, 0.06, 0.08, 0.09, 0.1)


def enumerated_p(differences):
    """Two-sided p from all 2^n signs of the mean ranks, one by one."""
    kept = [d for d in differences if d]
    ranks = stats.rankdata(np.abs(kept))
    found = abs(sum(math.copysign(r, d) for r, d in zip(ranks, kept, strict=True)))
    sums = [abs(sum(s * r for s, r in zip(signs, ranks, strict=True)))
            for signs in itertools.product((1, -1), repeat=len(ranks))]  # fmt: skip
    return sum(each >= found - 1e-9 for each in sums) / len(sums)


def pair(a, b, patients=None, higher_is_better=True, **options):
    a, b = (np.atleast_2d(np.asarray(each, dtype=float)) for each in (a, b))
    return compare_pair(a, b, patients or range(a.shape[1]), higher_is_better, **options)


def test_wilcoxon_by_hand():
    # |d| ranks 3, 1, 5, 2, 7, 4, 6, 8, 9, 10: the negative ones are 1 and 4, so W- = 5. Of 2^10 sets of ranks, those
    # that sum to 5 or less: {}, 1, 2, 3, 4, 5, 12, 13, 14, 23 - ten. p = 2 * 10 / 1024.
    p, sign = signed_rank(DIFFERENCES)
    assert p == pytest.approx(20 / 1024)
    assert sign == 1


@pytest.mark.parametrize("n", [3, 6, 25, 50, 51, 120])
def test_wilcoxon_without_ties_is_scipys(n):
    differences = np.random.default_rng(n).normal(0.3, 1, n)
    assert signed_rank(differences)[0] == pytest.approx(stats.wilcoxon(differences, method="auto").pvalue, rel=1e-9)


def test_wilcoxon_with_ties_beyond_fifty_is_scipys():
    differences = np.random.default_rng(0).integers(-4, 7, 150).astype(float)
    expected = stats.wilcoxon(differences, zero_method="wilcox", method="asymptotic").pvalue
    assert signed_rank(differences)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "differences", [(1, 1, 1, 1, 1, 1), (1, -1, 2, 2, 3, -3, 0, 4), (0.5, 0.5, -0.5), (2, 2, -1, 0)]
)
def test_wilcoxon_with_ties_and_zeros_is_exact(differences):
    assert signed_rank(differences)[0] == pytest.approx(enumerated_p(differences))


def test_no_difference_at_all_is_p_one():
    assert signed_rank([0.0] * 9) == (1.0, 0)
    same = pair(np.full(9, 0.8), np.full(9, 0.8))
    assert (same.p, same.mean, same.median, same.wins, same.interval, same.favours) == (1.0, 0.0, 0.0, 0.5, None, 0)


def test_differences_that_only_rounding_makes_are_none():
    found = pair([0.3 - 0.2, 0.5], [0.2 - 0.1, 0.5])
    assert (found.mean, found.wins, found.p) == (0.0, 0.5, 1.0)


def test_holm_by_hand_and_as_statsmodels_does():
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04 -> 0.06 (none below the one before)
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    ps = np.random.default_rng(1).uniform(0, 0.2, 12)
    assert holm(ps.tolist()) == pytest.approx(multipletests(ps, method="holm")[1])
    assert holm([]) == []
    assert holm([0.4, 0.9]) == [0.8, 0.9]


def test_a_pair_by_hand():
    found = pair([0.9, 0.8, 0.7, 0.6], [0.8, 0.8, 0.5, 0.7])
    assert found.mean == pytest.approx(0.05)  # (0.1 + 0 + 0.2 - 0.1) / 4
    assert found.median == pytest.approx(0.05)
    assert found.wins == pytest.approx(0.625)  # two won, one alike, one lost
    assert (found.n, found.n_patients, found.favours) == (4, 4, 1)
    assert found.with_seeds is None


def test_lower_distances_are_better():
    found = pair([1.0, 2.0, 3.0], [2.0, 4.0, 3.5], higher_is_better=False)
    assert found.mean < 0
    assert (found.wins, found.favours) == (1.0, 1)


def test_a_patients_cases_are_one_pair_of_the_test():
    # three scans of p: differences 0.1, 0.2, -0.6, mean -0.1; q 0.3 and r 0.2 have one each
    found = pair([0.1, 0.2, -0.6, 0.3, 0.2], np.zeros(5), ["p", "p", "p", "q", "r"])
    assert (found.n, found.n_patients) == (5, 3)
    assert found.p == pytest.approx(enumerated_p([-0.1, 0.3, 0.2]))
    assert found.median == pytest.approx(0.2)
    assert found.mean == pytest.approx(0.04)


def test_a_cases_value_is_its_mean_over_seeds():
    found = pair([[0.8, 0.6], [0.6, 0.8]], [[0.5, 0.5]])
    assert found.mean == pytest.approx(0.2)
    assert found.interval is None  # both differences are 0.2
    assert found.seeds == (2, 1)
    assert found.with_seeds is None


def test_intervals_end_where_the_metric_does():
    found = pair([1.0, 1.0, 0.0], [0.0, 0.0, 0.9], lowest=-1.0, highest=1.0)
    assert found.interval is not None
    assert found.interval[1] == 1.0
    assert found.interval[0] == -1.0


def test_the_interval_over_seeds_by_hand():
    # error 0.01 of 21 patients; seeds' means 0.80, 0.82 and 0.70, 0.73, 0.76: variances 0.0002 and 0.0009.
    parts = (0.01**2, 0.0002 / 2, 0.0009 / 3)
    variance = sum(parts)
    freedom = variance**2 / (parts[0] ** 2 / 20 + parts[1] ** 2 / 1 + parts[2] ** 2 / 2)
    reach = stats.t.ppf(0.975, freedom) * math.sqrt(variance)
    found = seed_interval(0.08, 0.01, 21, [0.80, 0.82], [0.70, 0.73, 0.76])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.08 - reach, 0.08 + reach))
    assert found.p == pytest.approx(2 * stats.t.sf(0.08 / math.sqrt(variance), freedom))


def test_without_patients_the_interval_over_seeds_is_welchs():
    a, b = [0.81, 0.83, 0.86], [0.75, 0.80, 0.76, 0.74]
    found = seed_interval(np.mean(a) - np.mean(b), 0.0, 10**9, a, b)
    welch = stats.ttest_ind(a, b, equal_var=False)
    assert found is not None
    assert found.p == pytest.approx(welch.pvalue)
    low, high = welch.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_without_seeds_or_with_one_patient_there_is_no_interval_over_seeds():
    assert seed_interval(0.1, 0.01, 20, [0.8], [0.7, 0.71]) is None
    assert seed_interval(0.1, None, 1, [0.8, 0.9], [0.7, 0.71]) is None
    assert seed_interval(0.0, 0.0, 9, [0.8, 0.8], [0.8, 0.8]) is None


def test_the_standard_error_is_that_of_patients_not_cases():
    a = np.array([[0.9, 0.9, 0.9, 0.5, 0.7, 0.6], [0.9, 0.9, 0.9, 0.5, 0.7, 0.6]])
    patients = ["p", "p", "p", "q", "r", "s"]
    found = pair(a, np.zeros((2, 6)), patients)
    error = by_patient(a[0].tolist(), patients).standard_error
    assert found.with_seeds is not None
    reach = stats.t.ppf(0.975, 3) * error  # seeds do not vary: the freedom is that of four patients
    assert found.with_seeds.high - found.mean == pytest.approx(reach)


def test_five_pairs_are_too_few_and_six_are_enough():
    for n, verdict in ((5, "too few"), (6, "yes")):
        found = pair(np.linspace(0.6, 0.8, n), np.linspace(0.6, 0.8, n) - np.linspace(0.01, 0.02, n))
        assert verdicts([found])[0][1] == verdict
    # three tests of six pairs: the least p is 3 * 2 / 2^6 = 0.09
    assert [verdict for _, verdict in verdicts([found] * 3)] == ["too few"] * 3


def test_the_order_of_two_methods_turns_the_interval_round_and_nothing_else():
    rng = np.random.default_rng(3)
    a, b = rng.beta(20, 3, (2, 3, 17))
    ours, theirs = pair(a, b), pair(b, a)
    low, high = ours.interval
    assert theirs.interval == pytest.approx((-high, -low), rel=1e-12)
    assert (theirs.p, theirs.mean, theirs.favours) == (ours.p, -ours.mean, -ours.favours)
    seeds = ours.with_seeds
    assert (theirs.with_seeds.low, theirs.with_seeds.high) == pytest.approx((-seeds.high, -seeds.low), rel=1e-12)


def test_one_difference_in_all_patients_and_seeds_is_a_difference():
    """As one that is nearly the same in all of them is: nothing is left that could be a seed's doing."""
    b = np.tile(np.linspace(0.6, 0.8, 20), (2, 1))
    same, nearly = pair(b + 0.02, b), pair(b + 0.02 + np.linspace(0, 1e-6, 20), b)
    assert same.with_seeds is None and same.p == pytest.approx(2 / 2**20)
    assert nearly.with_seeds.p < nearly.p == same.p
    assert verdicts([same]) == verdicts([nearly]) == [(pytest.approx(2 / 2**20), "yes")]
    assert verdicts([pair(b, b)]) == [(1.0, "no")]


def test_a_comparison_without_pairs_has_no_p_and_no_part_in_the_family():
    none = pair(np.zeros((1, 0)), np.zeros((1, 0)), [])
    shown = pair(np.linspace(0.6, 0.8, 7), np.linspace(0.5, 0.6, 7))
    assert (none.n, none.mean, none.p, none.interval) == (0, None, None, None)
    assert verdicts([none, shown]) == [(None, "too few"), (pytest.approx(2 / 2**7), "yes")]


def test_networks_that_differ_by_less_than_seeds_do_are_not_called_different():
    rng = np.random.default_rng(0)
    patients = rng.normal(0.8, 0.05, 30)
    a, b = (patients + np.array([[0.0], [shift]]) + rng.normal(0, 0.002, (2, 30)) for shift in (0.04, 0.01))
    found = pair(a, b)
    assert found.p < 0.001
    assert found.with_seeds.low < 0 < found.with_seeds.high
    assert verdicts([found])[0][1] == "no"


def test_a_mean_and_ranks_that_disagree_favour_nobody():
    # A is a little better in nine cases, and fails in the tenth
    found = pair([0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.87, 0.88, 0.89, 0.0], [0.8] * 9 + [0.9])
    assert found.mean < 0
    assert found.ranks_favour == 1
    assert found.favours == 0


def simulate(n_studies, n, seeds, seed_sd, shift=0.0, noise=0.01):
    """Shares of studies of two methods that are called different, and whose interval over seeds holds the truth."""
    rng = np.random.default_rng(20)
    called = held = 0
    for _ in range(n_studies):
        patients = rng.normal(0.85, 0.05, n)
        a, b = (patients + gain + rng.normal(0, seed_sd, (seeds, 1)) + rng.normal(0, noise, (seeds, n))
                for gain in (shift, 0.0))  # fmt: skip
        found = compare_pair(a, b, range(n), True)
        called += verdicts([found])[0][1] == "yes"
        held += found.with_seeds is not None and found.with_seeds.low <= shift <= found.with_seeds.high
    return called / n_studies, held / n_studies


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch, request):
    """Intervals of the bootstrap are tested in test_bootstrap.py; thousands of them take a minute."""
    if "simulat" in request.node.name:
        monkeypatch.setattr("medseg.metrics.paired.mean_interval", lambda *_: None)


def test_a_simulated_null_study_of_two_networks_is_called_different_in_five_per_cent():
    called, _ = simulate(2000, 30, 1, 0.0)
    assert 0.035 < called < 0.065  # three standard errors of 2000 draws: 1.5 %


def test_a_simulated_null_study_with_seeds_is_called_different_in_no_more_than_five_per_cent():
    called, held = simulate(1000, 30, 3, 0.004)
    assert called < 0.065
    assert held > 0.935


def test_simulated_single_runs_of_one_method_differ_far_too_often_where_seeds_matter():
    called, _ = simulate(400, 30, 1, 0.004)
    assert called > 0.25  # they are two networks, and different ones: why seeds are asked for


def test_a_simulated_difference_of_many_seed_deviations_is_found():
    called, held = simulate(300, 30, 3, 0.003, shift=0.02)
    assert called > 0.95
    assert held > 0.92
