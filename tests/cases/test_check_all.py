import logging

import numpy as np
import pytest

from medseg.cases.case import Case
from medseg.cases.check import check_case
from medseg.cases.check_all import check_cases, check_data_set, compare_cases, refuse_faulty
from medseg.cases.faults import SHOWN
from medseg.cases.layouts import read_data_set
from medseg.errors import DataError
from medseg.labels import Labels

SHAPE = (8, 8, 8)
LABELS = Labels({"background": 0, "liver": 1})
LABEL = np.zeros(SHAPE, np.uint8)
LABEL[2:5] = 1


@pytest.fixture
def case(tmp_path, save):
    """A function that stores a case; its image is drawn from `seed`."""

    def build(name, seed=None, label=LABEL, affine=None, **details):
        image = np.random.default_rng(int.from_bytes(name.encode()) if seed is None else seed).normal(size=SHAPE)
        image = image.astype(np.float32)
        return Case(
            name,
            (save(tmp_path / "images" / f"{name}.nii.gz", image, affine),),
            None if label is None else save(tmp_path / "labels" / f"{name}.nii.gz", label, affine),
            **details,
        )

    return build


def compared(*cases):
    return [(found.code, found.case, found.found) for found in compare_cases([check_case(each) for each in cases])]


def with_nan(case, save):
    image = np.full(SHAPE, np.nan, np.float32)
    save(case.images[0], image)
    return case


def test_all_faults_of_all_cases_in_one_error(case, save):
    cases = [case("a"), with_nan(case("b", label=LABEL * 3), save), case("c", label=LABEL[:5]), case("d")]
    cases[3].label.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        refuse_faulty(cases, LABELS)
    found = [(each.case, each.code) for each in caught.value.faults]
    assert found == [("b", "E401"), ("b", "E301"), ("c", "E201"), ("d", "E103")]


def test_a_long_list_is_cut_short_and_counted(tmp_path):
    cases = [Case(f"{number}", (tmp_path / f"{number}.nii",)) for number in range(SHOWN + 5)]
    assert sum(len(each.faults) for each in check_cases(cases)) == SHOWN + 5
    with pytest.raises(DataError) as caught:
        refuse_faulty(cases)
    assert len(caught.value.faults) == SHOWN + 1
    assert "5 more faults" in caught.value.faults[-1].what


def test_warnings_are_logged_once_a_kind(case, caplog):
    cases = [case("a"), case("e", label=LABEL * 0), case("f", label=LABEL * 0)]
    with caplog.at_level(logging.WARNING):
        assert [each.is_empty for each in refuse_faulty(cases, LABELS)] == [False, True, True]
    assert len(caplog.records) == 1
    assert "W302" in caplog.text and "case=e" in caplog.text and "1 more" in caplog.text


def test_copies(case):
    """Within what is trained on a copy is worth a word; on two sides of the data set's own split it is refused."""
    assert compared(case("a", 1), case("b", 2)) == []
    assert compared(case("a", 1), case("b", 1), case("c", 1)) == [("W501", "b", "a"), ("W501", "c", "a")]
    assert compared(case("a", 1), case("t", 1, meta={"subset": "test"})) == [("E502", "t", "a")]


def test_one_patient_on_both_sides(case):
    cases = [case("a", group="p"), case("b", group="p"), case("t", group="p", meta={"subset": "test"})]
    assert compared(*cases) == [("E502", "t", "p: a (train), t (test)")]
    assert compared(*cases[:2]) == []


def test_a_spacing_far_from_the_others(case):
    usual = [case(name, affine=np.diag([1.0, 1.0, 3.0, 1.0])) for name in "abc"]
    assert compared(*usual, case("d", affine=np.diag([3.0, 1.0, 1.0, 1.0]))) == []  # other axes, same lengths
    assert compared(*usual, case("d", affine=np.diag([1.0, 1.0, 11.0, 1.0]))) == []
    assert compared(*usual, case("d", affine=np.diag([1.0, 1.0, 13.0, 1.0]))) == [("W206", "d", "1 x 1 x 13 mm")]
    assert compared(*usual, case("d", affine=np.diag([0.2, 1.0, 3.0, 1.0]))) == [("W206", "d", "0.2 x 1 x 3 mm")]


def test_another_number_of_channels(case):
    a, b, c = case("a"), case("b"), case("c")
    both = Case("two", (a.images[0], b.images[0]))
    assert compared(a, b, both) == [("E206", "two", "2")]
    assert compared(a, b, c) == []


def test_masks_that_store_1_as_255(case):
    assert compared(case("a", label=LABEL * 255), case("b", label=LABEL * 255)) == [("W307", "a", "2 cases")]


def test_a_data_set(case, tmp_path):
    """Its own label names are used, and images without a label are counted."""
    for name in "abc":
        case(name)
    with pytest.raises(DataError, match="E101"):
        case("d", label=None) and read_data_set(tmp_path)
    (tmp_path / "images" / "d.nii.gz").unlink()
    found = check_data_set(read_data_set(tmp_path), LABELS)
    assert (found.faults, found.errors, len(found.cases)) == ([], [], 3)
    found = check_data_set(read_data_set(tmp_path), Labels({"background": 0, "liver": 2}))
    assert [fault.code for fault in found.errors] == ["E301"] * 3
