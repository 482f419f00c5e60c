import io
import zipfile

import numpy as np
import pytest

from medseg.errors import DataError
from medseg.volumes import packed, read_geometry, read_volume
from medseg.volumes.arrays import stack_size


def some(shape, dtype="i2"):
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">i2", ">f4", "?"])
@pytest.mark.parametrize("name", ["a.npy", "a.NPZ"])
def test_what_numpy_writes_comes_back(tmp_path, name, dtype):
    array = some((5, 6, 7), dtype)
    with open(tmp_path / name, "wb") as stream:
        (np.savez_compressed if "Z" in name else np.save)(stream, array)
    volume = read_volume(tmp_path / name)
    assert np.array_equal(volume.array, array)
    assert volume.array.dtype == (np.uint8 if dtype == "?" else np.dtype(dtype).newbyteorder("="))
    assert np.array_equal(volume.geometry.affine, np.eye(4))
    assert volume.geometry.unit == "px"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 6), (6, 5, 1)),
        ((5, 6, 1), (6, 5, 1)),
        ((1, 5, 6, 1), (6, 5, 1)),
        ((5, 6, 7), (5, 6, 7)),
        ((1, 5, 6, 7, 1), (5, 6, 7)),
        ((5,), (1, 5, 1)),
        ((), (1, 1, 1)),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_axes_of_length_one_are_dropped_and_rows_are_y(tmp_path, shape, expected, order):
    array = np.asarray(some(shape), order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", array)
    for name in ("a.npy", "a.npz"):
        volume = read_volume(tmp_path / name)
        assert volume.array.shape == volume.geometry.shape == expected
        if len(expected) == 3 and expected[2] == 1 and array.size == 30:
            rows = array.reshape(5, 6)
            assert all(volume.array[x, y, 0] == rows[y, x] for x in range(6) for y in range(5))
        else:
            assert np.array_equal(volume.array.ravel(), array.ravel())


def test_an_item_of_a_stack(tmp_path):
    stack = some((20, 5, 6, 1))
    np.save(tmp_path / "x.npy", stack)
    assert stack_size(tmp_path / "x.npy") == 20
    volume = read_volume(f"{tmp_path}/x.npy::12")
    assert np.array_equal(volume.array[..., 0].T, stack[12, ..., 0])
    assert read_geometry(f"{tmp_path}/x.npy::12").shape == (6, 5, 1)
    volume.array[0, 0, 0] = 1  # a copy, which may be written to


def test_an_item_of_a_stack_that_is_larger_than_the_cap(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", some((20, 5, 6)))
    monkeypatch.setattr(packed, "MAX_BYTES", 100)
    assert read_volume(f"{tmp_path}/x.npy::3").geometry.shape == (6, 5, 1)
    assert stack_size(tmp_path / "x.npy") == 20
    with pytest.raises(DataError, match=r"E106.*x\.npy"):
        read_volume(tmp_path / "x.npy")


def test_items_that_are_not_there(tmp_path, code_of):
    np.save(tmp_path / "x.npy", some((20, 5, 6)))
    np.save(tmp_path / "one.npy", np.int16(3))
    for name in ("x.npy::20", "one.npy::0", "none.npy::1", "x.npy::", "x.npy::-1"):
        assert code_of(tmp_path / name) == "E101"


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.array([{"a": 1}], dtype=object), "E205"),
        (np.array(["a", "b"]), "E205"),
        (np.zeros((3, 3), complex), "E205"),
        (np.zeros((3, 3), "M8[s]"), "E205"),
        (np.zeros((3, 3), [("r", "u1"), ("g", "u1")]), "E205"),
        (np.zeros((2, 3, 4, 5)), "E204"),
        (np.zeros((0, 5)), "E204"),
    ],
)
def test_arrays_that_are_no_volume(tmp_path, code_of, array, code):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    np.savez(tmp_path / "a.npz", array, allow_pickle=True)
    assert code_of(tmp_path / "a.npy") == code
    assert code_of(tmp_path / "a.npz") == code


@pytest.mark.parametrize("n", [3, 4])
@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2"])
def test_pictures_in_colours_are_not_volumes_of_three_slices(tmp_path, code_of, dtype, n):
    pictures = some((2, 16, 17, n), dtype)
    np.save(tmp_path / "x.npy", pictures)
    np.save(tmp_path / "a.npy", pictures[0])
    np.savez(tmp_path / "a.npz", pictures[0])
    for name in ("x.npy::1", "a.npy", "a.npz"):
        assert code_of(tmp_path / name) == "E205"
        with pytest.raises(DataError, match=r"E205.*PNG"):
            read_geometry(tmp_path / name)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((16, 17, 3), "i2"),
        ((16, 17, 3), "f4"),
        ((16, 17, 3), "?"),
        ((15, 17, 3), "u1"),
        ((17, 15, 4), "u1"),
        ((16, 17, 2), "u1"),
        ((16, 17, 5), "u1"),
        ((3, 16, 17), "u1"),
        ((16, 3, 17), "u1"),
    ],
)
def test_thin_volumes_are_not_taken_for_pictures_in_colours(tmp_path, shape, dtype):
    np.save(tmp_path / "a.npy", some(shape, dtype))
    assert np.array_equal(read_volume(tmp_path / "a.npy").array, some(shape, dtype))


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_no_pickle_is_loaded(tmp_path, code_of):
    np.save(tmp_path / "a.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", np.array([Trap()], dtype=object))
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes()[128:])  # the pickle alone
    for name, code in (("a.npy", "E205"), ("a.npz", "E205"), ("b.npy", "E104")):
        assert code_of(tmp_path / name) == code


def test_no_truncation_goes_unseen(tmp_path, outcome):
    np.save(tmp_path / "a.npy", some((5, 6, 7)))
    np.savez_compressed(tmp_path / "a.npz", some((5, 6, 7)))
    for name, codes in (("a.npy", {"E102", "E103", "E104"}), ("a.npz", {"E103", "E105"})):
        sound = (tmp_path / name).read_bytes()
        for length in range(0, len(sound), 3):
            (tmp_path / name).write_bytes(sound[:length])
            assert outcome(tmp_path / name) in codes


def test_no_flipped_bit_of_an_archive_changes_the_voxels(tmp_path, outcome):
    array = some((5, 6, 7))
    np.savez_compressed(tmp_path / "a.npz", array)
    sound, n_refused = (tmp_path / "a.npz").read_bytes(), 0
    spots = np.random.default_rng(0).integers(0, 8 * len(sound), 300)
    for spot in spots:
        broken = bytearray(sound)
        broken[spot // 8] ^= 1 << spot % 8
        (tmp_path / "a.npz").write_bytes(broken)
        found = outcome(tmp_path / "a.npz")
        n_refused += isinstance(found, str)
        assert isinstance(found, str) or np.array_equal(found.array, array)
    assert n_refused > 200


def header(shape, dtype="|u1", version=b"\1\0"):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2 if version == b"\1\0" else 4, "little") + text


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (header((30000, 30000, 30000)), "E102"),
        (header((1 << 62, 1 << 62)), "E102"),
        (header((-1, 5)), "E104"),
        (header((5, 5), version=b"\2\0"), "E104"),
        (header((5, 5), version=b"\7\0"), "E104"),
        (header("(5, 5"), "E104"),
        (header("__import__('os')"), "E104"),
        (b"PK\x03\x04" + bytes(100), "E104"),
    ],
)
def test_headers_that_are_refused(tmp_path, code_of, content, code):
    (tmp_path / "a.npy").write_bytes(content + bytes(25))
    assert code_of(tmp_path / "a.npy") == code


def archive(path, *members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as opened:
        for index, content in enumerate(members):
            opened.writestr(f"arr_{index}.npy", content)
    return path


def saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_archives_that_are_refused(tmp_path, code_of):
    assert code_of(archive(tmp_path / "two.npz", saved(some((3, 3))), saved(some((3, 3))))) == "E204"
    assert code_of(archive(tmp_path / "none.npz")) == "E204"
    assert code_of(archive(tmp_path / "lzma.npz", saved(some((3, 3))), method=zipfile.ZIP_LZMA)) == "E104"
    assert code_of(archive(tmp_path / "long.npz", saved(some((3, 3))) + b"rest")) == "E102"
    assert code_of(archive(tmp_path / "short.npz", saved(some((3, 3)))[:-1])) == "E102"
    assert code_of(archive(tmp_path / "header.npz", header((30000,) * 3))) == "E106"
    assert code_of(archive(tmp_path / "zeros.npz", header((1000, 1000, 1000)) + bytes(1 << 20))) == "E102"
    (tmp_path / "text.npz").write_text("not an archive")
    assert code_of(tmp_path / "text.npz") == "E105"
