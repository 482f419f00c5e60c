from pathlib import Path

import pytest

from medseg.cases.case import Case
from medseg.cases.folds import hold_out
from medseg.errors import DataError, UsageError


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
