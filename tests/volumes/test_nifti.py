import gzip
import itertools
import time
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import pytest

from medseg.errors import DataError
from medseg.geometry import Geometry
from medseg.volumes import Volume, packed, read_geometry, read_volume, write_volume
from medseg.volumes.nifti import n_volumes

SHAPE = (5, 6, 7)
OBLIQUE = np.array([[0.6, -0.3, 0.1, -90.5], [0.25, 0.8, -0.2, 120.25], [-0.05, 0.2, 2.4, -33.3], [0, 0, 0, 1.0]])


def rigid(spacing=(0.7, 0.9, 2.5), origin=(-120.3, 88.1, 1000.7)):
    turn, _ = np.linalg.qr(np.array([[1.0, 0.2, 0.1], [-0.3, 1.0, 0.2], [0.1, -0.1, 1.0]]))
    affine = np.eye(4)
    affine[:3, :3] = turn * np.sign(np.diag(turn)) * spacing
    affine[:3, 3] = origin
    return affine


def stored(path, edit=None, array=None, affine=None, kind=nib.Nifti1Image, extension=b""):
    """A file made by nibabel, its header edited afterwards."""
    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) if array is None else array
    image = kind(array, np.diag([1.0, 2.0, 3.0, 1.0]) if affine is None else affine)
    image.set_sform(image.affine, 1)
    if extension:
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", extension))
    content = image.to_bytes()
    if edit is not None:
        header = nib.Nifti1Header(content[:348])
        edit(header)
        content = header.binaryblock + content[348:]
    path.write_bytes(gzip.compress(content, mtime=0) if path.name.endswith("gz") else content)
    return path


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">i2", ">f4", "?"])
@pytest.mark.parametrize("name", ["a.nii", "A b%ü.NII.GZ"])
def test_every_type_comes_back(tmp_path, dtype, name):
    kind = np.dtype(dtype)
    array = np.random.default_rng(0).uniform(0, 2, SHAPE).astype(kind)
    if kind.kind in "iu":
        array[0, 0, :2] = np.iinfo(kind).min, np.iinfo(kind).max
    found = read_volume(write_volume(tmp_path / name, Volume(array, Geometry(rigid(), SHAPE)))).array
    assert found.dtype == {"?": np.uint8, "e": np.float32}.get(kind.char, kind.newbyteorder("="))
    assert np.array_equal(found, array)


@pytest.mark.parametrize(
    "affine", [rigid(), OBLIQUE, np.diag([-0.7, -0.7, 1.25, 1.0]), np.diag([1, 2, 3.0, 1])[[1, 2, 0, 3]]]
)
def test_every_affine_comes_back(tmp_path, affine):
    grid = Geometry(affine, (256, 200, 120))
    found = read_volume(write_volume(tmp_path / "a.nii.gz", Volume(np.zeros(grid.shape, np.uint8), grid))).geometry
    assert found.displacement_mm(grid) <= 1e-4
    assert found.orientation == grid.orientation


def test_other_programs_read_the_same_grid(tmp_path):
    grid = Geometry(rigid(), SHAPE)
    image = nib.load(write_volume(tmp_path / "a.nii", Volume(np.zeros(SHAPE, np.uint8), grid)))
    assert grid.displacement_mm(Geometry(image.affine, SHAPE)) < 1e-3
    assert grid.displacement_mm(Geometry(image.get_qform(), SHAPE)) < 1e-3
    assert image.header.get_xyzt_units()[0] == "mm"


def test_a_sheared_grid_has_no_qform(tmp_path):
    image = nib.load(write_volume(tmp_path / "a.nii", Volume(np.zeros(SHAPE, np.uint8), Geometry(OBLIQUE, SHAPE))))
    assert image.header["qform_code"] == 0
    assert image.header["sform_code"] == 1


def test_the_same_bytes_each_time(tmp_path, monkeypatch):
    clock = itertools.count(1e9)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    volume = Volume(np.arange(210, dtype=np.int16).reshape(SHAPE), Geometry(rigid(), SHAPE))
    first, second = (write_volume(tmp_path / name, volume).read_bytes() for name in ("a.nii.gz", "b.nii.gz"))
    assert first == second


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_what_nibabel_writes(tmp_path, kind):
    path = stored(tmp_path / "a.nii.gz", kind=kind)
    assert np.array_equal(read_volume(path).array, np.asarray(nib.load(path).dataobj))
    assert np.allclose(read_volume(path).geometry.affine, nib.load(path).affine)


def test_big_endian(tmp_path):
    array = np.arange(210, dtype=np.int16).reshape(SHAPE)
    image = nib.Nifti1Image(array, OBLIQUE, nib.Nifti1Header(endianness=">"))
    (tmp_path / "a.nii").write_bytes(image.to_bytes())
    assert (tmp_path / "a.nii").read_bytes()[:4] == b"\0\0\1\x5c"
    volume = read_volume(tmp_path / "a.nii")
    assert np.array_equal(volume.array, array)
    assert np.allclose(volume.geometry.affine, OBLIQUE)


def test_slope_and_intercept(tmp_path):
    path = stored(tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([0.5, -1024], "<f4").tobytes()
    path.write_bytes(content)
    found = read_volume(path).array
    assert found.dtype == np.float32
    assert np.array_equal(found, np.arange(210).reshape(SHAPE) * 0.5 - 1024)
    content[112:120] = np.array([0, 7], "<f4").tobytes()  # a slope of 0 means none
    path.write_bytes(content)
    assert read_volume(path).array.dtype == np.int16


def test_a_scaled_volume_is_as_nibabel_scales_it(tmp_path):
    path = stored(tmp_path / "a.nii.gz", lambda header: header.set_slope_inter(0.013, -7.25))
    found, expected = read_volume(path).array, np.asarray(nib.load(path).dataobj)
    assert found.dtype == np.float32
    assert np.allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("offset", [0, 352, 416])
def test_the_voxels_begin_where_the_header_says(tmp_path, offset):
    path = stored(tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    content[108:112] = np.array([offset], "<f4").tobytes()
    path.write_bytes(content[:352] + bytes(max(offset - 352, 0)) + content[352:])
    assert read_volume(path).array.ravel("C").tolist() == list(range(210))


@pytest.mark.parametrize("length", [10, 5000])
def test_header_extensions_of_any_length(tmp_path, length):
    """AFNI and others leave kilobytes between header and voxels."""
    path = stored(tmp_path / "a.nii.gz", extension=b"x" * length)
    assert read_volume(path).array.ravel("C").tolist() == list(range(210))


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000.0), ("micron", 0.001), ("mm", 1.0), ("unknown", 1.0)])
def test_units_become_millimetres(tmp_path, unit, factor):
    affine = np.diag([0.5 / factor, 0.7 / factor, 2.0 / factor, 1.0])
    path = stored(tmp_path / "a.nii", lambda header: header.set_xyzt_units(unit), affine=affine)
    volume = read_volume(path)
    assert volume.geometry.spacing_mm == pytest.approx((0.5, 0.7, 2.0))
    assert volume.geometry.unit == "mm"
    assert [note.code for note in volume.notes] == ([] if factor == 1 else ["W209"])
    assert all(note.is_warning and note.file == path and "millimetres" in note.what for note in volume.notes)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_pixels_stay_pixels(tmp_path, name):
    grid = Geometry(np.eye(4), SHAPE, unit="px")
    path = write_volume(tmp_path / name, Volume(np.zeros(SHAPE, np.uint8), grid))
    assert nib.load(path).header.get_xyzt_units()[0] == "unknown"
    assert read_volume(path).geometry.unit == read_geometry(path).unit == "px"
    again = write_volume(tmp_path / f"again_{name}", read_volume(path))
    assert again.read_bytes() == path.read_bytes()
    in_mm = write_volume(tmp_path / f"mm_{name}", Volume(np.zeros(SHAPE, np.uint8), Geometry(np.eye(4), SHAPE)))
    assert read_volume(in_mm).geometry.unit == "mm"


def test_an_unknown_unit(tmp_path, code_of):
    assert code_of(stored(tmp_path / "a.nii", lambda header: header.__setitem__("xyzt_units", 5))) == "E209"


def shift_qform(by_mm):
    def edit(header):
        moved = header.get_sform()
        moved[0, 3] += by_mm
        header.set_qform(moved, 1)

    return edit


def test_forms_that_disagree(tmp_path, code_of):
    assert code_of(stored(tmp_path / "far.nii", shift_qform(1.01))) == "E207"
    found = read_volume(stored(tmp_path / "near.nii", shift_qform(0.5)))
    assert [note.code for note in found.notes] == ["W207"]
    assert "near.nii" in str(found.notes[0]) and "0.500 mm" in str(found.notes[0])
    assert found.geometry.affine[0, 3] == 0  # the sform's
    assert read_volume(stored(tmp_path / "same.nii", shift_qform(0.001))).notes == ()


def test_one_form_is_enough(tmp_path):
    def only_qform(header):
        header.set_qform(rigid(), 1)
        header["sform_code"] = 0

    assert np.allclose(read_volume(stored(tmp_path / "a.nii", only_qform)).geometry.affine, rigid(), atol=1e-4)
    path = stored(tmp_path / "b.nii", lambda header: header.__setitem__("qform_code", 0), affine=OBLIQUE)
    assert np.allclose(read_volume(path).geometry.affine, OBLIQUE)


def test_no_form_is_refused(tmp_path, code_of):
    def neither(header):
        header["sform_code"] = header["qform_code"] = 0

    assert code_of(stored(tmp_path / "a.nii", neither)) == "E208"


@pytest.mark.parametrize("spacing", [0.0, -2.0, np.nan, np.inf])
def test_spacing_that_is_no_length(tmp_path, spacing, code_of):
    def edit(header):
        header["qform_code"] = 1
        header["pixdim"][2] = spacing

    assert code_of(stored(tmp_path / "a.nii", edit)) == "E209"


@pytest.mark.parametrize(
    ("y", "z"), [((0, 2, 0), (0, 0, 0)), ((0, 2, 0), (np.nan, 0, 0)), ((0, 2, 0), (0, 0, 1e-9)), ((0, 2, 2), (0, 3, 3))]
)
def test_an_sform_without_inverse(tmp_path, y, z, code_of):
    def edit(header):
        header["srow_y"], header["srow_z"], header["qform_code"] = (*y, 0), (*z, 0), 0

    assert code_of(stored(tmp_path / "a.nii", edit)) == "E209"


def test_a_quaternion_that_is_none(tmp_path, code_of):
    def edit(header):
        header["qform_code"], header["quatern_b"], header["quatern_c"] = 1, 0.9, 0.9

    assert code_of(stored(tmp_path / "a.nii", edit)) == "E209"


def test_dimensions(tmp_path, code_of):
    assert code_of(stored(tmp_path / "series.nii", array=np.zeros((3, 4, 5, 2), np.int16))) == "E204"
    assert read_volume(stored(tmp_path / "a.nii", array=np.ones((3, 4, 5, 1, 1), np.int16))).array.shape == (3, 4, 5)
    flat = read_volume(stored(tmp_path / "b.nii", array=np.arange(12, dtype=np.int16).reshape(3, 4)))
    assert flat.geometry.shape == (3, 4, 1)
    assert flat.array.ravel().tolist() == list(range(12))


def test_types_that_are_no_intensities(tmp_path, code_of):
    colour = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    for array in (colour, np.zeros(SHAPE, np.complex64)):
        assert code_of(stored(tmp_path / "a.nii", array=array)) == "E205"


@pytest.mark.parametrize("suffixes", [(".hdr", ".img"), (".HDR", ".IMG")])
def test_a_pair(tmp_path, code_of, suffixes):
    array = np.arange(210, dtype=np.int16).reshape(SHAPE)
    head, body = (tmp_path / f"a{suffix}" for suffix in suffixes)
    nib.Nifti1Pair(array, rigid()).to_file_map(
        {"header": nib.FileHolder(str(head)), "image": nib.FileHolder(str(body))}
    )
    for path in (head, body):
        assert np.array_equal(read_volume(path).array, array)
        assert np.allclose(read_volume(path).geometry.affine, rigid(), atol=1e-4)
    content = body.read_bytes()
    body.write_bytes(content[:-1])
    assert code_of(head, file=body) == "E102"
    body.unlink()
    assert code_of(head) == "E101"


def test_colours_are_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"\(3, 5, 6, 7\)"):
        write_volume(tmp_path / "a.nii", Volume(np.zeros((3, *SHAPE), np.uint8), Geometry(np.eye(4), SHAPE)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_truncated_and_empty_files(tmp_path, name, code_of):
    content = stored(tmp_path / name).read_bytes()
    for length in (len(content) - 1, len(content) * 3 // 4):
        (tmp_path / name).write_bytes(content[:length])
        assert code_of(tmp_path / name) == "E102"
    (tmp_path / name).write_bytes(b"")
    assert code_of(tmp_path / name) == "E103"


def test_the_name_and_the_content_disagree(tmp_path, code_of):
    (tmp_path / "a.nii").write_bytes(stored(tmp_path / "b.nii.gz").read_bytes())
    (tmp_path / "b.nii.gz").write_bytes(stored(tmp_path / "c.nii").read_bytes())
    (tmp_path / "c.nii").write_bytes(b"\x89PNG" + bytes(600))
    for name in ("a.nii", "b.nii.gz", "c.nii"):
        assert code_of(tmp_path / name) == "E104"


def test_no_single_flipped_bit_goes_unseen(tmp_path, outcome):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 200, SHAPE).astype(np.int16)
    path = stored(tmp_path / "a.nii.gz", array=array)
    sound, whole = path.read_bytes(), read_volume(path)
    spots = {*range(80), *rng.integers(0, 8 * len(sound), 200).tolist(), *range(8 * len(sound) - 64, 8 * len(sound))}
    refused = 0
    for spot in sorted(spots):
        broken = bytearray(sound)
        broken[spot // 8] ^= 1 << spot % 8
        path.write_bytes(broken)
        found = outcome(path)
        refused += isinstance(found, str)
        if not isinstance(found, str):  # time stamp, operating system and the like: no voxel is touched
            assert spot < 80
            assert np.array_equal(found.array, whole.array)
            assert np.array_equal(found.geometry.affine, whole.geometry.affine)
    assert refused >= len(spots) - 60


def test_no_truncation_goes_unseen(tmp_path, outcome):
    path = stored(tmp_path / "a.nii.gz", array=np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.int16))
    sound = path.read_bytes()
    for length in np.random.default_rng(1).integers(0, len(sound), 100):
        path.write_bytes(sound[:length])
        assert outcome(path) in {"E102", "E103", "E104"}


def test_several_gzip_members(tmp_path):
    content = stored(tmp_path / "a.nii").read_bytes()
    parts = [content[:100], content[100:400], content[400:], b""]
    (tmp_path / "b.nii.gz").write_bytes(b"".join(gzip.compress(part) for part in parts))
    assert np.array_equal(read_volume(tmp_path / "b.nii.gz").array, read_volume(tmp_path / "a.nii").array)


def bomb(path, sizes, zeros):
    """A header that announces `sizes`, then `zeros` bytes of nothing, packed a megabyte at a time."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(sizes)
    header.set_sform(np.eye(4), 1)
    if not path.name.endswith("gz"):
        path.write_bytes(header.binaryblock + bytes(100))
        return path
    packer = zlib.compressobj(1, wbits=31)
    parts = [packer.compress(header.binaryblock + bytes(4))]
    parts += [packer.compress(bytes(1 << 20)) for _ in range(zeros >> 20)]
    path.write_bytes(b"".join(parts) + packer.flush())
    return path


@pytest.mark.parametrize(
    ("name", "sizes", "zeros", "code"),
    [
        ("header.nii", (30000,) * 3, 0, "E106"),
        ("header.nii.gz", (30000,) * 3, 0, "E106"),
        ("below_the_cap.nii.gz", (1500,) * 3, 1 << 20, "E102"),
        ("below_the_cap.nii", (1500,) * 3, 0, "E102"),
        ("gzip.nii.gz", SHAPE, 200 << 20, "E106"),
    ],
)
def test_bombs_are_refused_before_memory_is_taken(tmp_path, name, sizes, zeros, code, code_of):
    path = bomb(tmp_path / name, sizes, zeros)
    tracemalloc.start()
    try:
        assert code_of(path) == code
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_the_cap_can_be_raised(tmp_path, monkeypatch, code_of):
    path = stored(tmp_path / "a.nii")
    monkeypatch.setattr(packed, "MAX_BYTES", 500)
    assert code_of(path) == "E106"
    monkeypatch.setattr(packed, "MAX_BYTES", 1000)
    assert read_volume(path).array.shape == SHAPE


@pytest.mark.parametrize(("shape", "n"), [((3, 4), 1), ((3, 4, 5), 1), ((3, 4, 5, 2), 2), ((3, 4, 5, 2, 3), 6)])
def test_how_many_volumes_a_file_holds(tmp_path, monkeypatch, shape, n):
    image = nib.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4))
    for name in ("a.nii", "a.nii.gz"):
        nib.save(image, tmp_path / name)
    nib.save(nib.Nifti1Pair(image.dataobj, image.affine), tmp_path / "a.hdr")
    monkeypatch.setattr(packed, "MAX_BYTES", 0)  # the voxels are not read
    for name in ("a.nii", "a.nii.gz", "a.hdr", "a.img", "a.nii::0", "a.nii.gz::99"):
        assert n_volumes(tmp_path / name) == n, name


def test_one_channel_of_several(tmp_path):
    """As nibabel reads it; packed and not; the grid is that of each."""
    array = np.arange(3 * 4 * 5 * 2, dtype=np.int16).reshape(3, 4, 5, 2)
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    for name in ("a.nii", "b.nii.gz"):
        nib.save(nib.Nifti1Image(array, affine), tmp_path / name)
        for channel in (0, 1):
            found = read_volume(f"{tmp_path / name}::{channel}")
            assert np.array_equal(found.array, array[..., channel])
            assert found.geometry.shape == (3, 4, 5) == read_geometry(f"{tmp_path / name}::{channel}").shape
            kept = found.array if found.array.base is None else found.array.base
            assert kept.nbytes == found.array.nbytes  # the other channel is not kept in memory
        with pytest.raises(DataError, match=r"E101.*below 2.*found 2"):
            read_volume(f"{tmp_path / name}::2")
        with pytest.raises(DataError, match=r"E204.*::<number>"):
            read_volume(tmp_path / name)
    damaged = (tmp_path / "b.nii.gz").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(damaged[:-9])
    with pytest.raises(DataError, match="E102"):
        read_volume(f"{tmp_path / 'b.nii.gz'}::0")
