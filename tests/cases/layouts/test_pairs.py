from pathlib import Path

import pytest

from medseg.cases.layouts.pairs import by_number, by_stem, paired
from medseg.errors import DataError


def test_names_without_suffix_and_ending():
    paths = [Path("f/a_Mask.nii.gz"), Path("f/b.png"), Path("f/c_mask_2.png")]
    assert by_stem(paths, drop="_mask") == dict(zip(("a", "b", "c_mask_2"), paths, strict=True))
    assert list(by_stem(paths)) == ["a_Mask", "b", "c_mask_2"]


def test_names_of_macos_are_those_of_others():
    composed, parted = "Gef\u00e4\u00df", "Gefa\u0308\u00df"
    assert by_stem([Path(f"{parted}.nii")]) == {composed: Path(f"{parted}.nii")}
    assert by_stem([Path(f"{parted}_mask.nii")], drop="_mask").keys() == by_stem([Path(f"{composed}.nii")]).keys()


def test_numbers_as_they_are_written():
    paths = [Path("f7/case07_v2.nii"), Path("f7/7.nii"), Path("f7/notes.nii")]
    assert by_number(paths) == {"07": paths[0], "7": paths[1]}


@pytest.mark.parametrize(("name", "paths"), [(by_stem, ("a.nii", "a.nii.gz")), (by_stem, ("\u00e4.nii", "a\u0308.nii")),
                                              (by_number, ("a1.png", "b1.png"))])  # fmt: skip
def test_two_files_of_one_name_are_refused(name, paths):
    with pytest.raises(DataError) as caught:
        name([Path(path) for path in paths])
    (fault,) = caught.value.faults
    assert (fault.code, fault.found, str(fault.file)) == ("E501", *paths)


def test_an_image_without_a_label_is_a_case_without_one():
    images, labels = {"a": Path("a.png"), "b": Path("b.png")}, {"a": Path("m.png"), "z": Path("z.png")}
    cases = paired(images, labels, "test", modality="CT")
    assert [(case.id, case.label) for case in cases] == [("a", Path("m.png")), ("b", None)]
    assert [case.meta for case in cases] == [{"modality": "CT", "subset": "test"}] * 2
    assert paired(images, {})[0].meta == {}
