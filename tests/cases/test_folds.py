from pathlib import Path

import numpy as np
import pytest

from medseg.cases.case import Case
from medseg.cases.check import CheckedCase
from medseg.cases.folds import hold_out, joined_copies, strata_of
from medseg.errors import DataError, UsageError
from medseg.geometry import Geometry


def cases(n, per_group=1):
    return [Case(f"c{number:02}", (Path(f"c{number:02}.nii"),), group=f"p{number // per_group}") for number in range(n)]


def ids(side):
    return [case.id for case in side]


def test_a_frozen_split():
    """The same on every machine, in every version: a published split would change otherwise."""
    assert ids(hold_out(cases(10), 0.3, 0)[1]) == ["c02", "c08", "c09"]
    assert ids(hold_out(cases(10), 0.3, 1)[1]) == ["c00", "c01", "c02"]


def test_both_sides_hold_all_once_in_the_given_order():
    everything = cases(23)
    train, held = hold_out(everything, 0.2, 4)
    assert sorted(ids(train) + ids(held)) == ids(everything)
    assert ids(train) == sorted(ids(train))
    assert len(held) == 5


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_on_one_side(seed):
    train, held = hold_out(cases(24, per_group=3), 0.25, seed)
    assert not {case.group for case in train} & {case.group for case in held}
    assert len(held) == 6


def test_listing_order_does_not_matter():
    assert set(ids(hold_out(cases(20)[::-1], 0.2, 0)[1])) == set(ids(hold_out(cases(20), 0.2, 0)[1]))


def test_a_new_case_moves_no_other_into_training():
    """Groups keep their order, so that held-out cases stay held out while the set grows by one."""
    before, after = (set(ids(hold_out(cases(n), 0.2, 0)[1])) for n in (20, 21))
    assert len(before - after) <= 1


@pytest.mark.parametrize(("n", "per_group", "fraction"), [(1, 1, 0.5), (6, 6, 0.5), (5, 1, 0.99), (0, 1, 0.2)])
def test_an_empty_side_is_refused(n, per_group, fraction):
    with pytest.raises(DataError, match=f"E502.*{n} cases"):
        hold_out(cases(n, per_group), fraction, 0)


@pytest.mark.parametrize("fraction", [0, 1, 1.5, -0.1, "abc", None])
def test_a_share_lies_between_0_and_1(fraction):
    with pytest.raises(UsageError, match="E903"):
        hold_out([], fraction, 0)


@pytest.mark.parametrize("n", [1, 7, 19])
def test_a_number_of_cases_may_be_held_out(n):
    """1,815 to train on, 259 to validate and 520 to test, say."""
    assert len(hold_out(cases(20), n, 0)[1]) == n
    assert hold_out(cases(20), 5, 3, fold=1) == hold_out(cases(20), 0.25, 3, fold=1)


def test_the_split_of_isic_2018_that_was_published():
    rest, tested = hold_out(cases(2594), 520, 0)
    train, held = hold_out(rest, 259, 0)
    assert [len(side) for side in (train, held, tested)] == [1815, 259, 520]
    assert not set(ids(tested)) & set(ids(train) + ids(held))


@pytest.mark.parametrize("n", [0, 20, 21, True])
def test_another_number_of_cases_is_refused(n):
    with pytest.raises(UsageError, match="E903"):
        hold_out(cases(20), n, 0)


@pytest.mark.parametrize(("n", "per_group", "folds"), [(20, 1, 5), (23, 1, 5), (24, 3, 4), (10, 1, 10), (7, 1, 2)])
def test_folds_hold_out_every_case_once(n, per_group, folds):
    held = [ids(hold_out(cases(n, per_group), 1 / folds, 3, fold=fold)[1]) for fold in range(folds)]
    assert sorted(case for members in held for case in members) == ids(cases(n))


@pytest.mark.parametrize("fold", [-1, 5, 1.0, True, "0"])
def test_there_are_that_many_folds(fold):
    with pytest.raises(UsageError, match="E903"):
        hold_out(cases(20), 0.2, 0, fold=fold)
    with pytest.raises(UsageError, match=r"E903.*0 to 2, as held_out is 0\.3"):
        hold_out(cases(20), 0.3, 0, fold=3)


@pytest.mark.parametrize("seed", [-1, "x", 0.5, None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(UsageError, match="E903"):
        hold_out(cases(20), 0.2, seed)


@pytest.mark.parametrize("seed", range(4))
def test_each_fold_holds_of_every_stratum_in_proportion(seed):
    """30 of one kind, 10 of another: 6 and 2 in each of five folds."""
    strata = {f"p{number}": "rare" if number % 4 == 0 else "common" for number in range(40)}
    for fold in range(5):
        held = hold_out(cases(40), 0.2, seed, strata, fold)[1]
        assert sorted(strata[case.group] for case in held) == ["common"] * 6 + ["rare"] * 2


def checked(name, group, voxels, fingerprint=None):
    grid = Geometry(np.diag([1.0, 1.0, 2.0, 1.0]), (4, 4, 4))
    return CheckedCase(Case(name, (Path(name),), group=group), (), grid, 1, "", 0.0, 1.0, fingerprint, voxels)


def test_strata_are_what_occurs_and_how_much():
    some = [checked(f"c{n}", f"p{n}", {0: 9, 1: n + 1}) for n in range(6)]
    strata = strata_of([*some, checked("e", "e", {0: 9}), checked("t", "t", {0: 1, 1: 5, 2: 1})])
    assert [strata[f"p{n}"] for n in range(6)] == [((1,), 0), ((1,), 0), ((1,), 1), ((1,), 1), ((1,), 2), ((1,), 2)]
    assert (strata["e"], strata["t"]) == (((), 0), ((1, 2), 0))


def test_a_group_is_of_one_stratum():
    """Both of a patient's cases count: labels 1 and 2 occur, and the mean is 2 voxels of 2 cubic millimetres."""
    pair = [checked("a", "p", {0: 9, 1: 3}), checked("b", "p", {0: 9, 2: 1})]
    others = [checked("c", "q", {1: 1, 2: 2}), checked("d", "r", {1: 4, 2: 1})]
    assert strata_of(pair + others) == {"p": ((1, 2), 0), "q": ((1, 2), 1), "r": ((1, 2), 2)}


def test_copies_stay_together():
    """b is a copy of a, d one of c, and c belongs to b's patient: one group."""
    found = joined_copies(
        [
            checked("a", "p1", {}, 1),
            checked("b", "p2", {}, 1),
            checked("c", "p2", {}, 2),
            checked("d", "p3", {}, 2),
            checked("e", "p4", {}, 3),
        ]
    )
    assert [each.case.group for each in found] == ["p1", "p1", "p1", "p1", "p4"]
