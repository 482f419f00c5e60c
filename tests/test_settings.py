import math

import pytest

from medseg import settings
from medseg.errors import UsageError


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [(lambda value: settings.whole_number("n", value), [1, 7], [0, -1, 2.0, True, "3", None]),
     (lambda value: settings.whole_number("n", value, 0), [0, 1], [-1, False]),
     (lambda value: settings.switch("n", value), [True, False], ["yes", 1, None]),
     (lambda value: settings.choice("n", value, {"a": 1, "b": 2}), ["a", "b"], ["c", None]),
     (lambda value: settings.number("n", value, 0, 1), [0.5], [0, 1, math.nan, True, "0.5", None]),
     (lambda value: settings.number("n", value, 0, math.inf), [1e9], [math.inf, -1])],
)  # fmt: skip
def test_values_pass_or_are_refused_by_name(check, good, bad):
    assert [check(value) for value in good] == good
    for value in bad:
        with pytest.raises(UsageError, match=r"E903.*setting n .*expected .*found"):
            check(value)


def test_a_missing_package_is_named_with_its_extra():
    assert settings.with_extra(None, "no_such_package", "mlflow") is None
    assert settings.with_extra("uri", "json", "mlflow") == "uri"
    with pytest.raises(UsageError, match=r"E705.*no_such_package.*found 'uri'.*pip install medseg\[mlflow\]"):
        settings.with_extra("uri", "no_such_package", "mlflow")
