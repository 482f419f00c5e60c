import csv
import errno
import json
import os
import stat

import pytest

from medseg import files
from medseg.errors import MedsegError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    path = files.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), files.atomic(path) as temporary:
        temporary.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_reader_sees_the_old_file_until_the_end(tmp_path):
    path = files.write_text(tmp_path / "a.txt", "old")
    with files.atomic(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent  # a rename is atomic on one file system only
    assert path.read_text() == "new"


def test_folders_are_made_and_the_umask_is_kept(tmp_path):
    before = os.umask(0o027)
    try:
        path = files.write_bytes(tmp_path / "deep" / "er" / "a.bin", b"\0\1")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"\0\1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(path.parent) == ["a.bin"]


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_names_the_file_and_spares_the_old_one(tmp_path, monkeypatch, call, number):
    path = files.write_text(tmp_path / "a.txt", "old")

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(MedsegError) as caught:
        files.write_text(path, "new")
    fault = caught.value.faults[0]
    assert (fault.code, fault.file) == ("E701", path)
    assert os.strerror(number) in fault.what
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(MedsegError, match=r"E701.*runs"):
        files.write_text(tmp_path / "runs" / "log.csv", "")


def test_json_keeps_its_order_and_refuses_nan(tmp_path):
    path = files.write_json(tmp_path / "a.json", {"b": 1, "a": "ü"})
    assert list(json.loads(path.read_text())) == ["b", "a"]
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, float("nan"))
    assert json.loads(path.read_text())["b"] == 1


def test_a_csv_is_extended_whole_or_not_at_all(tmp_path, monkeypatch):
    path = files.extend_csv(tmp_path / "a.csv", [{"n": 1, "name": "=1"}], ["n", "name"])
    files.extend_csv(path, [{"n": 2, "name": "b"}, {"n": 3}], ["n", "name"])
    before = path.read_text()
    assert before == "n,name\n1,'=1\n2,b\n3,\n"

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(MedsegError, match="E701"):
        files.extend_csv(path, [{"n": 4, "name": "d"}], ["n", "name"])
    assert path.read_text() == before
    assert names(tmp_path) == ["a.csv"]


def test_csv_leaves_numbers_in_text_as_they_are(tmp_path):
    assert files.write_csv(tmp_path / "a.csv", [{"age": "-5", "x": "+1e3"}]).read_text() == "age,x\n-5,+1e3\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", " =", "\n=", "\uff1d"])
def test_csv_defuses_formulas(tmp_path, start):
    path = files.write_csv(tmp_path / "a.csv", [{"case": f"{start}cmd()", "dice": -0.5, f"{start}n": "a, b"}])
    with path.open(newline="") as stream:
        row = next(csv.DictReader(stream))
    quoted, name = (f"'{start}{rest}".replace("\r", "\n") for rest in ("cmd()", "n"))
    assert row == {"case": quoted, "dice": "-0.5", name: "a, b"}
    assert files.unquoted(row["case"]) == quoted[1:] and files.unquoted(row["dice"]) == "-0.5"


def test_csv_columns(tmp_path):
    rows = [{"a": 1}, {"b": 2, "a": 3}]
    assert files.write_csv(tmp_path / "a.csv", rows).read_text() == "a,b\n1,\n3,2\n"
    assert files.write_csv(tmp_path / "b.csv", rows, ["b"]).read_text() == "b\n\n2\n".replace("\n\n", '\n""\n')


def test_a_digest_follows_the_content(tmp_path):
    path, twin = files.write_text(tmp_path / "a", "one"), files.write_text(tmp_path / "b", "one")
    first = files.digest(path)
    assert first == files.digest(twin) == files.digest(path)
    assert len(first) == 32
    files.write_text(path, "two")
    os.utime(path, ns=(1, 1))
    assert files.digest(path) != first


def test_a_digest_follows_content_of_equal_size_and_time(tmp_path):
    """As a copy that keeps times leaves it (``rsync -t``, ``cp -p``), over the old file or in its place."""
    path = files.write_text(tmp_path / "a", "one")
    before, first = path.stat(), files.digest(path)
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the system's clock may be coarse
        path.write_text("two")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = files.digest(path)
    files.write_text(path, "six")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert len({first, second, files.digest(path)}) == 3


def test_a_folder_is_tried_and_left_as_it_was(tmp_path):
    files.try_folder(tmp_path / "new" / "deep")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").write_text("kept")
    files.try_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(MedsegError, match="E701"):
        files.try_folder(tmp_path / "mine")
    with pytest.raises(MedsegError, match="E701"):
        files.try_folder("/proc/none")
