import pytest

from medseg.metrics.agreement import limits_of_agreement


def test_limits_of_agreement_by_hand():
    # mean 1, deviations -1 0 1, sample sd 1
    found = limits_of_agreement([0.0, 1.0, 2.0])
    assert (found.n, found.bias) == (3, 1.0)
    assert (found.low, found.high) == pytest.approx((1 - 1.96, 1 + 1.96))


def test_one_difference_has_a_bias_and_no_limits():
    found = limits_of_agreement([0.5])
    assert (found.n, found.bias, found.low, found.high) == (1, 0.5, None, None)


def test_no_differences_are_refused():
    with pytest.raises(ValueError, match="no differences"):
        limits_of_agreement([])
