import pytest

from medseg.cases.faults import refuse, summed_up
from medseg.errors import DataError, Fault


def faults(code, count):
    return [Fault(code, f"fault {number}", "mend it") for number in range(count)]


def test_the_first_twenty_are_told_and_the_rest_counted():
    refuse([])
    with pytest.raises(DataError) as caught:
        refuse(faults("E101", 20))
    assert len(caught.value.faults) == 20
    with pytest.raises(DataError) as caught:
        refuse(faults("E101", 25))
    assert len(caught.value.faults) == 21 and caught.value.faults[-1].what == "5 more faults"


def test_a_line_a_kind():
    one, two = summed_up(faults("W101", 1) + faults("W206", 3))
    assert one == "[W101] fault 0; fix: mend it"
    assert two == "[W206] fault 0; fix: mend it (and 2 more of this kind)"
