import os

import numpy as np
import pytest
from monai.transforms import Compose

from medseg.caches.keyed import KeyedDataset
from medseg.errors import MedsegError
from medseg.transforms import ReadImaged


@pytest.fixture
def key(tmp_path):
    return lambda item: KeyedDataset([], Compose([ReadImaged("image")]), tmp_path / "cache")._key(item)


def test_one_picture_of_a_stack_counts_by_its_own_content(key, stack):
    pictures = np.zeros((3, 4, 5))
    first = key({"image": stack(pictures)})
    pictures[1, 2, 3] = 1
    assert key({"image": stack(pictures)}) != first


def test_text_that_names_no_file_counts_as_text(key):
    assert key({"case": "a"}) == key({"case": "a"}) != key({"case": "b"})
    assert key({"case": "a::1"}) != key({"case": "a::2"})


def test_a_folder_with_a_series_counts_by_its_content(key, tmp_path):
    folder = tmp_path / "series"
    folder.mkdir()
    for name in ("1.dcm", "2.dcm"):
        (folder / name).write_bytes(bytes(128) + b"DICM" + name.encode())
    first = key({"image": str(folder)})
    assert key({"image": folder}) == first
    (folder / "2.dcm").write_bytes(bytes(128) + b"DICM" + b"other")
    os.utime(folder / "2.dcm", ns=(1, 1))
    assert key({"image": str(folder)}) != first


def test_a_case_named_like_a_folder_or_a_file_of_another_kind_is_no_volume(key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "liver").mkdir()
    (tmp_path / "notes.txt").write_text("a")
    first = key({"case": "liver", "notes": "notes.txt"})
    (tmp_path / "liver" / "x.txt").write_text("b")
    assert key({"case": "liver", "notes": "notes.txt"}) == first
    (tmp_path / "notes.txt").write_text("other")
    assert key({"case": "liver", "notes": "notes.txt"}) != first


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(key, tmp_path, mode):
    """Whoever writes there decides what is trained on."""
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(MedsegError, match=r"E504.*chmod 700 .*cache") as caught:
        key({})
    assert caught.value.faults[0].found == f"{mode:o}"
    for mended in (0o700, 0o755):
        folder.chmod(mended)
        assert key({})
