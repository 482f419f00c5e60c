import numpy as np
import pytest

from medseg.errors import DataError, UsageError
from medseg.labels import HIGHEST, Labels, as_label_map, is_black_and_white, is_smeared, parse_labels

LIVER = {"background": 0, "liver": [1, 2], "tumour": 2}


def test_names_values_and_unions():
    labels = Labels(LIVER)
    assert labels.foreground == ["liver", "tumour"]
    assert labels.known_values == {0, 1, 2}
    assert labels.n_classes == 3
    label_map = np.array([0, 1, 2, 3])
    assert labels.mask(label_map, "liver").tolist() == [False, True, True, False]
    assert labels.mask(label_map, "tumour").tolist() == [False, False, True, False]


def test_classes_reach_up_to_the_highest_value():
    assert Labels({"background": 0, "tumour": 4}).n_classes == 5


def test_colours_differ():
    labels = Labels({"background": 0} | {f"organ {n}": n for n in range(1, 8)})
    assert len({labels.colour(name) for name in labels.foreground}) == 7


@pytest.mark.parametrize("wrong", [-1, 1.0, True, "1", [1, 2.5], [1, -2], [], None])
def test_values_that_are_no_labels(wrong):
    with pytest.raises(UsageError, match=r"E903.*integers from 0"):
        Labels({"background": 0, "liver": wrong})


@pytest.mark.parametrize("wrong", ["{background: 0}", None, ["background", "liver"]])
def test_what_is_no_table_is_refused(wrong):
    with pytest.raises(UsageError, match=r"E903.*no table of names and values"):
        Labels(wrong)


def test_background_is_needed():
    with pytest.raises(UsageError, match=r"E903.*background"):
        Labels({"liver": 1})


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 255], np.uint8),
        ([0, 256], np.uint16),
        ([0, 1 << 16], np.int32),
        ([0, (1 << 24) + 1], np.int32),
        ([], np.uint8),
    ],
)
def test_the_smallest_type_that_holds_the_values(values, dtype):
    for given in (np.int64, np.float64, np.uint32):
        found = as_label_map(np.array(values, given))
        assert found.dtype == dtype
        assert found.tolist() == values


def test_nearly_integers_are_rounded_not_cut():
    found = as_label_map(np.array([0.9999, 2.0005, -0.0004], np.float32))
    assert found.tolist() == [1, 2, 0]
    assert found.dtype == np.uint8


@pytest.mark.parametrize(
    ("value", "code"),
    [(0.5, "E303"), (1.002, "E303"), (np.nan, "E401"), (np.inf, "E401"), (-1.0, "E301"), (float(HIGHEST + 1), "E301")],
)
def test_labels_that_are_refused(value, code):
    with pytest.raises(DataError) as caught:
        as_label_map(np.array([0.0, value]), "a.nii", "case 1")
    fault = caught.value.faults[0]
    assert (fault.code, fault.file, fault.case) == (code, "a.nii", "case 1")


@pytest.mark.parametrize(
    "array", [np.array([-3], np.int16), np.array([1 << 40], np.int64), np.array([1 << 31], np.uint32)]
)
def test_integers_out_of_range(array):
    with pytest.raises(DataError, match=f"E301.*{array[0]}"):
        as_label_map(array)


def disc(soft, size=120, radius=35, value=255):
    """A mask whose edge is `soft` pixels wide."""
    x, y = np.indices((size, size)) - size / 2
    inside = np.clip((radius - np.hypot(x, y)) / max(soft, 1e-6) + 0.5, 0, 1)
    return np.rint(inside * value).astype(np.uint8)[..., None]


def test_a_smeared_mask():
    assert not is_smeared(disc(0))
    for soft in (1, 2, 4):
        assert is_smeared(disc(soft)), soft
    assert is_smeared(disc(2, radius=12))
    named = Labels({"background": 0, "organ": 1, "other": 128})
    assert not is_smeared(disc(2), named)


def test_label_maps_are_not_taken_for_smeared_masks():
    rng = np.random.default_rng(0)
    squares = np.kron(rng.integers(0, 86, (12, 12)), np.ones((10, 10))).astype(np.uint8)[..., None]
    squares[squares > 80] = 255  # an atlas with a value to ignore
    assert not is_smeared(squares)
    assert not is_smeared(np.where(squares > 0, squares, 255).astype(np.uint8))
    three = np.maximum(disc(2), disc(2, radius=55, value=128))  # a second class between the two, smeared as well
    assert not is_smeared(three)
    assert not is_smeared(rng.integers(0, 256, (60, 60, 1)).astype(np.uint8))  # a picture
    assert not is_smeared(np.zeros((0, 3, 1), np.uint8))


def test_a_mask_of_0_and_255():
    assert is_black_and_white(np.array([0, 255, 255], np.uint8))
    assert is_black_and_white(np.array([255], np.uint8))
    for other in ([0, 1, 255], [0, 0], [0, 254], []):
        assert not is_black_and_white(np.array(other, np.uint8))


def test_labels_from_a_command_line():
    assert parse_labels("background=0, liver=1+2,tumour=2").values == {
        "background": (0,),
        "liver": (1, 2),
        "tumour": (2,),
    }
    for text in ("", "liver", "liver=1", "background=0,liver", "background=0,liver=", "background=zero"):
        with pytest.raises(UsageError, match="E903"):
            parse_labels(text)
