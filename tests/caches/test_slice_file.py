import functools
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medseg.caches import slice_file
from medseg.caches.slice_file import open_slices, write_slices
from medseg.errors import DataError

SHAPE = (2, 3, 4, 5)
AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])


def volume(shape=SHAPE, affine=AFFINE):
    values = torch.arange(np.prod(shape), dtype=torch.int16).reshape(shape)
    return MetaTensor(values, torch.from_numpy(affine))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int16, torch.uint8, torch.int64, torch.bool])
def test_values_keep_their_type(tmp_path, dtype):
    wanted = volume().to(dtype)
    write_slices(tmp_path / "x", {"image": wanted}, "axial")
    found = open_slices(tmp_path / "x").read(3)["image"]
    assert found.dtype == dtype
    assert torch.equal(found.as_tensor(), wanted[..., 3].as_tensor())


def test_a_slice_is_one_piece_of_the_file(tmp_path):
    written = write_slices(tmp_path / "x", {"label": volume()[:1], "image": volume()}, "coronal")
    assert written.count == 4
    content = (tmp_path / "x").read_bytes()
    stored = written.tensors["image"]
    assert stored.start % 4096 == 0
    size = 2 * 3 * 5 * 2  # channels, the other two axes, bytes of an int16
    piece = content[stored.start + 2 * size : stored.start + 3 * size]
    assert piece == volume()[:, :, 2].numpy().tobytes()


def test_a_slice_is_the_callers_own(tmp_path):
    written = write_slices(tmp_path / "x", {"image": volume()}, "axial")
    written.read(0)["image"] += 1
    assert torch.equal(written.read(0)["image"].as_tensor(), volume()[..., 0].as_tensor())


@pytest.mark.parametrize("place", ["mark", "length", "description", "first slice", "last slice"])
def test_one_flipped_bit_is_noticed(tmp_path, caplog, place):
    path = tmp_path / "x"
    start = write_slices(path, {"image": volume()}, "axial").tensors["image"].start
    last = start + 2 * 3 * 4 * 5 * 2 - 1
    offset = {"mark": 0, "length": 9, "description": 30, "first slice": start, "last slice": last}[place]
    content = bytearray(path.read_bytes())
    content[offset] ^= 16
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert open_slices(path) is None
    assert str(path) in caplog.text and "damaged" in caplog.text


@pytest.mark.parametrize("kept", [0, 5, 40, 4096, -1])
def test_a_truncated_file_is_noticed(tmp_path, kept):
    path = tmp_path / "x"
    write_slices(path, {"image": volume()}, "axial")
    path.write_bytes(path.read_bytes()[:kept])
    assert open_slices(path) is None


def test_a_file_with_more_behind_it_is_noticed(tmp_path):
    path = tmp_path / "x"
    write_slices(path, {"image": volume()}, "axial")
    path.write_bytes(path.read_bytes() + b"\0")
    assert open_slices(path) is None


def test_no_file_is_no_damage(tmp_path, caplog):
    assert open_slices(tmp_path / "x") is None
    assert not caplog.text


def test_tensors_on_several_grids_are_refused(tmp_path):
    moved = AFFINE.copy()
    moved[2, 3] = 7
    for other, code in [(volume((1, 3, 4, 6)), "E201"), (volume(affine=moved), r"E202.*case=a.*found 7 mm"),
                        (torch.zeros(3), "E204")]:  # fmt: skip
        with pytest.raises(DataError, match=code):
            write_slices(tmp_path / "x", {"image": volume(), "label": other}, "axial", "a")
    with pytest.raises(DataError, match=r"E204.*case=a"):
        write_slices(tmp_path / "x", {}, "axial", "a")
    assert not (tmp_path / "x").exists()


def test_a_tensor_without_an_affine_lies_where_the_others_lie(tmp_path):
    permuted = AFFINE[:, [2, 0, 1, 3]]  # the array's axes run to S, R and A
    tensors = {"weight": volume().as_tensor(), "image": volume(affine=permuted)}
    found = write_slices(tmp_path / "x", tensors, "axial").read(1)
    assert torch.equal(found["weight"].as_tensor(), tensors["weight"][:, 1])
    assert torch.equal(found["weight"].affine, found["image"].affine)


def test_rounding_of_an_affine_is_no_other_grid(tmp_path):
    written = write_slices(tmp_path / "x", {"image": volume(), "label": volume(affine=AFFINE * (1 + 1e-7))}, "axial")
    assert np.array_equal(written.affine, AFFINE)


def test_a_file_that_takes_the_place_of_another_is_mapped_anew(tmp_path):
    for value in (1, 2):
        written = write_slices(tmp_path / "x", {"image": torch.full(SHAPE, float(value))}, "axial")
        assert (written.read(0)["image"] == value).all()


def test_maps_are_given_back(tmp_path, monkeypatch):
    """Each holds a file open."""
    few = functools.lru_cache(maxsize=2)(slice_file._mapped.__wrapped__)
    monkeypatch.setattr(slice_file, "_mapped", few)
    written = [write_slices(tmp_path / str(number), {"image": volume()}, "axial") for number in range(8)]
    for number in [*range(8), *range(8)]:
        assert torch.equal(written[number].read(1)["image"].as_tensor(), volume()[..., 1].as_tensor())
    if Path("/proc/self/maps").exists():
        maps = Path("/proc/self/maps").read_text()
        assert sum(str(tmp_path) in line for line in maps.splitlines()) == 2
