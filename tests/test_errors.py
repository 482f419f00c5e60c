import subprocess
import sys

import pytest

from medseg import errors
from medseg.errors import DataError, Fault, MedsegError, TrainingError, UsageError

FAULT = Fault("E201", "shapes differ", "export both on one grid", "(2, 2, 2)", "(2, 2, 3)", "/data/a.nii", "a")


def test_a_message_says_all_that_is_needed():
    text = str(DataError(FAULT))
    for part in ("E201", "case=a", "/data/a.nii", "shapes differ", "(2, 2, 2)", "(2, 2, 3)", "export both on one grid"):
        assert part in text


def test_what_is_unknown_leaves_no_trace_in_the_message():
    assert str(Fault("E601", "a gap", "look")) == "[E601] a gap; fix: look"


def test_one_error_carries_several_faults():
    error = DataError(FAULT, Fault("E101", "missing", "add it"))
    assert len(error.faults) == len(str(error).splitlines()) == 2


@pytest.mark.parametrize(("kind", "code"), [(MedsegError, 3), (DataError, 3), (TrainingError, 1), (UsageError, 2)])
def test_exit_codes(kind, code):
    assert kind(FAULT).exit_code == code


def wrapped(explicit):
    try:
        try:
            raise DataError(FAULT)
        except DataError as error:
            if explicit:
                raise RuntimeError("applying transform") from error
            raise RuntimeError("applying transform")  # noqa: B904 (the implicit chain is what is tested)
    except RuntimeError as error:
        return error


@pytest.mark.parametrize("explicit", [True, False])
def test_find_looks_through_causes(explicit):
    found = errors.find(wrapped(explicit))
    assert isinstance(found, DataError)
    assert found.faults == (FAULT,)


def test_find_ends_without_ours_and_in_a_circle():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert errors.find(first) is None
    assert errors.find(None) is None


PROGRAM = """
from medseg.errors import DataError, Fault, show_last
show_last()
show_last()
try:
    raise DataError(Fault("E201", "shapes differ", "export again", file="a.nii"))
except DataError as error:
    {raised}
"""


@pytest.mark.parametrize(
    ("raised", "last"),
    [
        ('raise RuntimeError("Failed to instantiate component") from error',
         "medseg: [E201] a.nii: shapes differ; fix: export again"),
        ("raise", "medseg.errors.DataError: [E201] a.nii: shapes differ; fix: export again"),
    ],
)  # fmt: skip
def test_our_message_is_the_last_line_below_a_wrapping_error(raised, last):
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(raised=raised)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.rstrip().splitlines()[-1] == last
    assert done.stderr.count("medseg: [E201]") == last.startswith("medseg: ")


def test_other_errors_are_left_alone():
    program = "from medseg.errors import show_last; show_last(); raise SystemError('not ours')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.rstrip().splitlines()[-1] == "SystemError: not ours"


def test_an_error_of_a_worker_is_made_again_from_its_text():
    """As PyTorch raises it: the worker's traceback is the message of an error of another class."""
    ours = DataError(Fault("E405", "not in units", "use the original", "-1000; and more", "0 to 1", "a.nii", "a"),
                     Fault("E201", "shape", "look", "1", "2"))  # fmt: skip
    text = (
        f"Caught RuntimeError in DataLoader worker process 0.\nTraceback (most recent call last):\n"
        f"medseg.errors.DataError: {ours}\n\nThe above was the direct cause\n\nRuntimeError: applying transform"
    )
    found = errors.find(RuntimeError(text))
    assert type(found) is DataError and str(found) == str(ours)
    assert [fault.code for fault in found.faults] == ["E405", "E201"]
    assert errors.find(RuntimeError("medseg.errors.Nothing: [E405] a; fix: b")) is None
