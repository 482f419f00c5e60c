import hashlib
import io
import tarfile

import pytest
from monai.apps import DecathlonDataset

from medseg.cases.download import decathlon_tasks, download_task
from medseg.errors import DataError, MedsegError, UsageError

TASK = "Task04_Hippocampus"


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A stand-in for the archive, reached by a file's address."""
    path = tmp_path / "server" / f"{TASK}.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for name, content in ((f"{TASK}/dataset.json", b"{}"), (f"{TASK}/imagesTr/h_1.nii.gz", b"voxels")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    monkeypatch.setitem(DecathlonDataset.resource, TASK, path.as_uri())
    monkeypatch.setitem(DecathlonDataset.md5, TASK, hashlib.md5(path.read_bytes()).hexdigest())
    return path


def test_fetched_checked_and_unpacked(archive, tmp_path, capfd):
    folder = download_task(TASK, tmp_path / "data")
    assert folder == tmp_path / "data" / TASK
    assert (folder / "imagesTr" / "h_1.nii.gz").read_bytes() == b"voxels"
    assert list((tmp_path / "data").iterdir()) == [folder]
    assert f"{TASK}.tar" in capfd.readouterr().err  # the progress bar
    with pytest.raises(DataError, match="E503"):
        download_task(TASK, tmp_path / "data")


@pytest.mark.parametrize("asked", ["04", "Task04", "hippocampus", "TASK04_HIPPOCAMPUS"])
def test_short_names(archive, tmp_path, asked):
    assert download_task(asked, tmp_path / asked).name == TASK


@pytest.mark.parametrize("asked", ["Task11", "", "liverr", "Task"])
def test_no_such_task(asked, tmp_path):
    with pytest.raises(UsageError, match=r"E901.*Task09_Spleen"):
        download_task(asked, tmp_path)


def test_another_check_sum_leaves_nothing(archive, tmp_path):
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"E105.*check sum"):
        download_task(TASK, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_no_connection(archive, tmp_path):
    archive.unlink()
    with pytest.raises(MedsegError, match=r"E704.*Task04_Hippocampus\.tar"):
        download_task(TASK, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_an_archive_that_reaches_out(archive, tmp_path, monkeypatch):
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("../../escaped.txt")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    monkeypatch.setitem(DecathlonDataset.md5, TASK, hashlib.md5(archive.read_bytes()).hexdigest())
    with pytest.raises(DataError, match=r"E105.*unpacked"):
        download_task(TASK, tmp_path / "data")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_all_ten_tasks_are_known():
    assert len(decathlon_tasks()) == 10
