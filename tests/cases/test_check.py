import logging

import numpy as np
import pytest

from medseg.cases.case import Case
from medseg.cases.check import SHOWN, check_case, check_cases, refuse_faulty
from medseg.errors import DataError
from medseg.labels import Labels

SHAPE = (8, 8, 8)
LABELS = Labels({"background": 0, "liver": 1})
IMAGE = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
LABEL = np.zeros(SHAPE, np.uint8)
LABEL[2:5] = 1


@pytest.fixture
def case(tmp_path, save):
    """A function that stores a case and gives its faults' codes."""

    def build(name="a", image=IMAGE, label=LABEL, image_affine=None, label_affine=None, **details):
        return Case(
            name,
            (save(tmp_path / "images" / f"{name}.nii.gz", image, image_affine),),
            None if label is None else save(tmp_path / "labels" / f"{name}.nii.gz", label, label_affine),
            **details,
        )

    return build


def fault(case, labels=LABELS):
    (found,) = check_case(case, labels)
    assert found.case == case.id
    return found


def shifted(by_mm):
    affine = np.eye(4)
    affine[1, 3] = by_mm
    return affine


def test_a_sound_case(case):
    assert check_case(case(), LABELS) == []
    assert check_case(case("n", label=None, negative=True), LABELS) == []


def test_shapes(case):
    found = fault(case(label=LABEL[..., :7]))
    assert (found.code, found.expected, found.found) == ("E201", "(8, 8, 8)", "(8, 8, 7)")


def test_places(case):
    found = fault(case(label_affine=shifted(10)))
    assert (found.code, found.found) == ("E202", "10 mm")
    assert fault(case("f", label_affine=np.diag([-1.0, 1, 1, 1]))).code == "E202"
    assert fault(case("s", image_affine=np.diag([0.7, 1, 1, 1]))).code == "E202"


def test_rounding_is_no_fault(case):
    """0.7 mm and 0.70001 mm over 8 voxels."""
    spacings = (np.diag([size, 1.0, 1.0, 1.0]) for size in (0.7, 0.70001))
    assert check_case(case("a", IMAGE, LABEL, *spacings), LABELS) == []
    assert check_case(case("b", label_affine=shifted(0.009)), LABELS) == []
    assert fault(case("c", label_affine=shifted(0.011))).code == "E202"


def test_unknown_values_with_their_counts(case):
    label = LABEL.copy()
    label[0, 0, :3], label[0, 1, 0] = 5, 255
    found = fault(case(label=label))
    assert (found.code, found.found, found.expected) == ("E301", "5 (3 voxels), 255 (1 voxels)", "[0, 1]")
    assert check_case(case(label=label), None) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_intensities_that_are_none(case, value):
    image = IMAGE.copy()
    image[1, 2, 3] = image[4, 4, 4] = value
    found = fault(case(image=image))
    assert (found.code, found.found) == ("E401", "2 voxels, the first at (1, 2, 3)")


def test_labels_between_integers(case):
    assert fault(case("a", label=LABEL * 0.4)).code == "E303"
    assert fault(case("b", label=np.where(LABEL, np.nan, 0))).code == "E401"
    assert check_case(case("c", label=LABEL * np.float32(0.9995)), LABELS) == []


def test_an_empty_label_is_worth_a_word(case, caplog):
    with caplog.at_level(logging.WARNING):
        assert check_case(case("e", label=LABEL * 0), LABELS) == []
        assert "W302" in caplog.text and "case=e" in caplog.text
        caplog.clear()
        assert check_case(case("n", label=LABEL * 0, negative=True), LABELS) == []
        assert "W302" not in caplog.text


def test_channels_on_several_grids(case):
    first, second = case("a", label=None), case("b", IMAGE[:7], None)
    found = fault(Case("m", first.images + second.images))
    assert (found.code, found.file) == ("E201", second.images[0])


def test_a_fault_names_its_own_channel(case):
    """The first channel cannot be read, the second holds NaN."""
    image = IMAGE.copy()
    image[0, 0, 0] = np.nan
    broken, other = case("a", label=None).images[0], case("b", image, None).images[0]
    broken.write_bytes(broken.read_bytes()[:-9])
    found = check_case(Case("m", (broken, other)))
    assert {(each.code, each.file, each.case) for each in found} == {("E102", broken, "m"), ("E401", other, "m")}


def test_all_faults_of_all_cases_in_one_error(case):
    image = IMAGE.copy()
    image[0, 0, 0] = np.nan
    unreadable = case("d")
    unreadable.label.write_bytes(b"")
    cases = [case("a"), case("b", image, LABEL * 3, label_affine=shifted(2)), case("c", label=LABEL[:5]), unreadable]
    with pytest.raises(DataError) as caught:
        refuse_faulty(cases, LABELS)
    assert [(each.case, each.code) for each in caught.value.faults] == [
        ("b", "E401"),
        ("b", "E202"),
        ("b", "E301"),
        ("c", "E201"),
        ("d", "E103"),
    ]


def test_a_long_list_is_cut_short_and_counted(tmp_path):
    cases = [Case(f"{number}", (tmp_path / f"{number}.nii",)) for number in range(SHOWN + 5)]
    assert len(check_cases(cases)) == SHOWN + 5
    with pytest.raises(DataError) as caught:
        refuse_faulty(cases)
    assert len(caught.value.faults) == SHOWN + 1
    assert "5 more faults" in caught.value.faults[-1].what
