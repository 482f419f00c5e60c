import numpy as np
import pytest
from PIL import Image

from medseg.cases.probability_maps import read_probability, with_maps
from medseg.cases.score_pairs import Pair
from medseg.errors import DataError, UsageError
from medseg.labels import Labels

LIVER = Labels({"background": 0, "liver": 1})
BOTH = Labels({"background": 0, "liver": [1, 2], "tumour": 2})
MAP = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)


@pytest.fixture
def maps(tmp_path, save):
    """A function that stores maps of some names, and gives their folder."""

    def write(*names, array=MAP):
        for name in names:
            save(tmp_path / "maps" / name, array)
        return tmp_path / "maps"

    return write


def pairs(*cases):
    return [Pair(case, case, (), ()) for case in cases]


def refused(function, *arguments):
    with pytest.raises((DataError, UsageError)) as caught:
        function(*arguments)
    return caught.value.faults


def test_one_label_is_named_by_the_case_alone(maps):
    folder = maps("a.nii.gz", "b_liver.nii.gz", "unused.nii.gz")
    found = with_maps(pairs("a", "b"), folder, LIVER)
    assert [pair.probabilities for pair in found] == [
        {"liver": folder / "a.nii.gz"}, {"liver": folder / "b_liver.nii.gz"}]  # fmt: skip


def test_several_labels_have_a_map_each(maps):
    folder = maps("a_liver.nii.gz", "a_tumour.nii.gz", "b.nii.gz", "b_tumour.nii.gz")
    assert with_maps(pairs("a"), folder, BOTH)[0].probabilities == {
        "liver": folder / "a_liver.nii.gz", "tumour": folder / "a_tumour.nii.gz"}  # fmt: skip
    faults = refused(with_maps, pairs("a", "b", "c"), folder, BOTH)
    assert [(fault.code, fault.case, fault.expected) for fault in faults] == [
        ("E506", "b", "b_liver"), ("E506", "c", "c_liver, c_tumour")]  # fmt: skip


def test_maps_that_belong_nowhere(maps, tmp_path):
    assert [fault.code for fault in refused(with_maps, pairs("a"), maps("a.nii.gz"), None)] == ["E903"]
    assert [fault.code for fault in refused(with_maps, pairs("a"), tmp_path / "none", LIVER)] == ["E101"]
    maps("a.nii")
    assert [fault.code for fault in refused(with_maps, pairs("a"), tmp_path / "maps", LIVER)] == ["E501"]


def test_pictures_hold_255ths(tmp_path):
    Image.fromarray(np.array([[0, 51], [255, 102]], np.uint8)).save(tmp_path / "p.png")
    found = read_probability(tmp_path / "p.png")
    assert found.shape == (2, 2, 1) and found[..., 0].T.tolist() == pytest.approx(np.array([[0, 0.2], [1, 0.4]]))
    Image.fromarray(np.array([[0, 13107, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert read_probability(tmp_path / "deep.png").ravel().tolist() == pytest.approx([0.0, 0.2, 1.0])


def test_what_is_no_probability(maps, tmp_path):
    for name, array, code in (
        ("above.nii.gz", MAP * 1.5, "E404"), ("below.nii.gz", MAP - 0.1, "E404"),
        ("nan.nii.gz", np.where(MAP > 0.9, np.float32(np.nan), MAP), "E401"),
        ("whole.nii.gz", (MAP * 255).astype(np.uint8), "E404"),
    ):  # fmt: skip
        (fault,) = refused(read_probability, maps(name, array=array) / name)
        assert fault.code == code
    for value in (1, 255):  # of a mask, ROC AUC is but the mean of sensitivity and specificity
        Image.fromarray(np.array([[0, value]], np.uint8)).save(tmp_path / "mask.png")
        assert refused(read_probability, tmp_path / "mask.png")[0].found == "a mask"
    (fault,) = refused(read_probability, maps("mask.nii.gz", array=np.rint(MAP)) / "mask.nii.gz")
    assert fault.found == "a mask"
    assert not read_probability(maps("zero.nii.gz", array=MAP * 0) / "zero.nii.gz").any()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 4, 3)).astype(np.uint8)).save(tmp_path / "rgb.png")
    assert refused(read_probability, tmp_path / "rgb.png")[0].found == "colours"
