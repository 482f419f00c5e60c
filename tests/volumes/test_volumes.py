import numpy as np
import pytest

from medseg import volumes
from medseg.errors import DataError
from medseg.geometry import Geometry
from medseg.volumes import Volume, is_volume, read_volume, stem, write_volume


@pytest.mark.parametrize(
    ("name", "expected"), [("liver_1.nii.gz", "liver_1"), ("a/b.c.NII", "b.c"), ("x.NII.GZ", "x"), ("p.1.nii", "p.1")]
)
def test_stem(name, expected):
    assert stem(name) == expected
    assert is_volume(name)


@pytest.mark.parametrize("name", ["._a.nii.gz", ".a.nii", "a.gz", "a.nii.txt", "nii", "a.mha.gz"])
def test_what_is_no_volume(name):
    assert not is_volume(name)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "a.xyz").write_text("")
    (tmp_path / "folder.nii").mkdir()
    for name, code in (("none.nii", "E101"), ("folder.nii", "E101"), ("a.xyz", "E104")):
        with pytest.raises(DataError, match=f"{code}.*{name}"):
            read_volume(tmp_path / name)


def test_a_file_that_the_system_refuses(tmp_path, monkeypatch, save):
    def denied(_):
        raise PermissionError(13, "Permission denied")

    path = save(tmp_path / "a.nii", np.zeros((2, 2, 2), np.uint8))
    monkeypatch.setitem(volumes.READERS, ".nii", denied)
    with pytest.raises(DataError, match=r"E101.*a\.nii.*Permission denied"):
        read_volume(path)


def test_a_kind_that_cannot_be_written(tmp_path):
    with pytest.raises(DataError, match=r"E104.*\.nii"):
        write_volume(tmp_path / "a.png", Volume(np.zeros((2, 2, 2)), Geometry(np.eye(4), (2, 2, 2))))
    assert not list(tmp_path.iterdir())
