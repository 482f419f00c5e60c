import pytest

from medseg.volumes.member import member_of


@pytest.mark.parametrize(
    ("name", "file", "index"),
    [
        ("a/x.npy::12", "a/x.npy", 12),
        ("a::b/X.NPY::0", "a::b/X.NPY", 0),
        ("x.nii.gz::3", "x.nii.gz", 3),
        ("x.NII::1", "x.NII", 1),
    ],
)
def test_names_with_an_index(name, file, index):
    found = member_of(name)
    assert (str(found[0]), found[1]) == (file, index)


@pytest.mark.parametrize("name", ["a/x.npy", "a::12", "x.npy::", "x.npy::a", "x.png::3", "x.npy::²", "x.nii.gz::-1"])
def test_names_without_an_index(name):
    found = member_of(name)
    assert (str(found[0]), found[1]) == (name, None)
