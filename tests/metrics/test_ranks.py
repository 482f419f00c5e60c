import numpy as np
import pytest
from scipy import stats

from medseg.metrics.ranks import case_ranks, rank_stability

SCORES = np.array([[0.9, 0.8, 0.7, 0.6], [0.8, 0.8, 0.9, 0.5], [0.1, 0.2, 0.3, 0.9]])


def test_ranks_of_cases_are_scipys_mean_ranks():
    assert case_ranks(SCORES, True) == pytest.approx(stats.rankdata(-SCORES, axis=0))
    assert case_ranks(SCORES, False) == pytest.approx(stats.rankdata(SCORES, axis=0))


def test_the_order_is_that_of_the_means():
    # means 0.75, 0.75, 0.375: the first two share rank 1
    found = rank_stability(SCORES, range(4), True)
    assert found.ranks.tolist() == [1, 1, 3]
    assert found.mean_ranks == pytest.approx([1.625, 1.875, 2.5])  # by hand: (1 + 1.5 + 2 + 2) / 4, …
    assert rank_stability(SCORES, range(4), False).ranks.tolist() == [2, 2, 1]


def test_a_method_that_is_always_best_keeps_its_rank():
    rng = np.random.default_rng(0)
    patients = rng.normal(0.8, 0.05, 20)
    found = rank_stability(np.stack([patients, patients + 0.1, patients - 0.1]), range(20), True)
    assert found.shares.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert found.tau == (1.0, 1.0)


def test_shares_of_two_cases_by_hand():
    # A wins case 1 by 2, B wins case 2 by 1. Drawn (1,1) or (1,2): A first; (2,2), one draw in four: B first.
    found = rank_stability(np.array([[3.0, 0.0], [1.0, 1.0]]), ["p", "q"], True)
    assert found.ranks.tolist() == [1, 2]
    assert found.shares[:, 0] == pytest.approx([0.75, 0.25], abs=0.03)
    assert found.shares.sum(axis=1) == pytest.approx([1, 1])
    assert found.tau[0] == pytest.approx(0.5, abs=0.06)  # 1 in three quarters, -1 in one


def test_patients_are_drawn_with_all_of_their_cases():
    # One patient's two cases cannot come apart: the order never changes.
    found = rank_stability(np.array([[3.0, 0.0], [1.0, 1.0]]), ["p", "p"], True)
    assert found.shares.tolist() == [[1, 0], [0, 1]]


def test_kendalls_tau_is_scipys(monkeypatch):
    rng = np.random.default_rng(3)
    scores = np.round(rng.normal(0, 1, (5, 4)), 1)
    monkeypatch.setattr("medseg.metrics.ranks.RESAMPLES", 40)
    found = rank_stability(scores, range(4), True, seed=7)
    drawn = np.random.default_rng(7).multinomial(4, np.full(4, 0.25), 40)
    full = stats.rankdata(-np.round(scores.mean(axis=1), 9), method="min")
    taus = [stats.kendalltau(stats.rankdata(-np.round(scores @ counts / 4, 9), method="min"), full).statistic
            for counts in drawn]  # fmt: skip
    assert found.tau == pytest.approx((np.mean(taus), np.quantile(taus, 0.025)))


def test_methods_that_are_all_alike_have_no_tau():
    found = rank_stability(np.full((3, 5), 0.7), range(5), True)
    assert found.tau is None
    assert found.ranks.tolist() == [1, 1, 1]
    assert np.isfinite(found.shares).all()


def test_the_same_seed_gives_the_same_shares():
    first, second = (rank_stability(SCORES, range(4), True, seed=1).shares for _ in range(2))
    assert (first == second).all()
    assert (first != rank_stability(SCORES, range(4), True, seed=2).shares).any()
