import itertools

import numpy as np
import pytest
import SimpleITK as sitk

from medseg.errors import DataError
from medseg.volumes import packed, read_volume

SHAPE = (5, 6, 7)
SPACING, ORIGIN = (0.7, 0.9, 2.5), (-120.3, 88.1, 100.7)
TURN = np.linalg.qr(np.array([[1.0, 0.2, 0.1], [-0.3, 1.0, 0.2], [0.1, -0.1, 1.0]]))[0]
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]
NAMES = ["a.mha", "a.mhd", "a.nrrd", "a.nhdr"]


def some(dtype, shape=SHAPE):
    kind = np.dtype(dtype)
    array = np.random.default_rng(0).uniform(0, 100, shape).astype(kind)
    if kind.kind in "iu":
        array.flat[:2] = np.iinfo(kind).min, np.iinfo(kind).max
    return array


def saved(path, array, compress=False):
    """The file that SimpleITK writes, and the image."""
    image = sitk.GetImageFromArray(array.T)
    if image.GetDimension() == 3:
        image.SetSpacing(SPACING)
        image.SetOrigin(ORIGIN)
        image.SetDirection(TURN.ravel().tolist())
    sitk.WriteImage(image, str(path), compress)
    return image


def corners(image):
    """Where SimpleITK says that the corner voxels lie, in RAS+ millimetres, in the order of `Geometry.corners_mm`."""
    indices = itertools.product(*((0, n - 1) for n in image.GetSize()))
    return np.array([image.TransformIndexToPhysicalPoint(index) for index in indices]) * [-1, -1, 1]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", TYPES)
def test_what_simpleitk_writes_comes_back(tmp_path, name, dtype, compress):
    array = some(dtype)
    image = saved(tmp_path / name, array, compress)
    volume = read_volume(tmp_path / name)
    assert volume.array.dtype == np.dtype(dtype)
    assert np.array_equal(volume.array, array)
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name))).T)
    assert np.abs(volume.geometry.corners_mm() - corners(image)).max() <= 1e-4
    assert volume.geometry.unit == "mm"


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_names_in_any_letters(tmp_path, name):
    saved(tmp_path / name, some("i2"))
    path = (tmp_path / name).rename(tmp_path / f"ü %s\n{name.upper()}")
    assert np.array_equal(read_volume(path).array, some("i2"))


def test_a_flat_image_is_a_volume_of_one_slice(tmp_path):
    saved(tmp_path / "a.mha", some("i2", (5, 6)))
    volume = read_volume(tmp_path / "a.mha")
    assert volume.array.shape == volume.geometry.shape == (5, 6, 1)
    assert np.array_equal(volume.array[..., 0], some("i2", (5, 6)))


META = (
    b"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = {order}\nCompressedData = False\n"
    b"Comment =\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\nElementSpacing = 0.5 0.75 2\nDimSize = 5 6 7\n"
    b"ElementType = MET_SHORT\n"
)


def meta(data=b"LOCAL\n", order=b"False", **changes):
    header = META.replace(b"{order}", order)
    for name, value in changes.items():
        lines = [line for line in header.splitlines() if not line.startswith(name.encode())]
        header = b"\n".join([*lines, *([name.encode() + b" = " + value] if value else [])]) + b"\n"
    return header + b"ElementDataFile = " + data


@pytest.mark.parametrize(("order", "dtype"), [(b"True", ">i2"), (b"False", "<i2")])
def test_metaimage_in_both_byte_orders(tmp_path, order, dtype):
    (tmp_path / "a.mha").write_bytes(meta(order=order) + some("i2").astype(dtype).tobytes("F"))
    volume = read_volume(tmp_path / "a.mha")
    assert np.array_equal(volume.array, some("i2"))
    assert volume.array.dtype.isnative
    expected = np.array([[-0.5, 0, 0, -1], [0, -0.75, 0, -2], [0, 0, 2, 3], [0, 0, 0, 1]])
    assert np.allclose(volume.geometry.affine, expected)


def test_a_metaimage_pair_with_bytes_before_the_voxels(tmp_path):
    voxels = some("i2").tobytes("F")
    (tmp_path / "a.raw").write_bytes(bytes(100) + voxels)
    for skipped, end in ((b"100", b"\n"), (b"-1", b"\r\n"), (b"-1", b"")):
        (tmp_path / "a.mhd").write_bytes(meta(b"a.raw" + end, HeaderSize=skipped))
        assert np.array_equal(read_volume(tmp_path / "a.mhd").array, some("i2"))


NRRD = (
    b"NRRD0004\n# a comment: type: float\ntype: short\ndimension: 3\nspace: {space}\nsizes: 5 6 7\n"
    b"space directions: (0.5,0.1,0) (0,0.75,0) (0,0.2,2)\nkinds: domain domain domain\nendian: {endian}\n"
    b"encoding: raw\nspace origin: (1,2,3)\nDICOM_patientName:=DOE^JANE\nspace:=elsewhere\n"
)


def nrrd(space=b"left-posterior-superior", endian=b"little", **changes):
    header = NRRD.replace(b"{space}", space).replace(b"{endian}", endian)
    for name, value in changes.items():
        name = name.replace("_", " ").encode()
        lines = [line for line in header.splitlines() if not line.startswith(name + b": ")]
        header = b"\n".join([*lines, *([name + b": " + value] if value else [])]) + b"\n"
    return header


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        (b"left-posterior-superior", (-1, -1, 1)),
        (b"LPS", (-1, -1, 1)),
        (b"right-anterior-superior", (1, 1, 1)),
        (b"RAS", (1, 1, 1)),
        (b"left-anterior-superior", (-1, 1, 1)),
        (b"LAS", (-1, 1, 1)),
    ],
)
def test_nrrd_in_every_space_that_tells_left_from_right(tmp_path, space, signs):
    (tmp_path / "a.nrrd").write_bytes(nrrd(space) + b"\n" + some("i2").tobytes("F"))
    affine = np.array([[0.5, 0, 0, 1], [0.1, 0.75, 0.2, 2], [0, 0, 2, 3], [0, 0, 0, 1]])
    expected = np.diag([*signs, 1.0]) @ affine
    volume = read_volume(tmp_path / "a.nrrd")
    assert np.allclose(volume.geometry.affine, expected)
    assert np.array_equal(volume.array, some("i2"))


def test_nrrd_in_big_endian(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(nrrd(endian=b"big") + b"\n" + some(">i2").tobytes("F"))
    assert np.array_equal(read_volume(tmp_path / "a.nrrd").array, some("i2"))


def test_nrrd_with_windows_line_ends_and_bytes_before_the_voxels(tmp_path):
    header = nrrd(byte_skip=b"8")
    voxels = bytes(8) + some("i2").tobytes("F")
    (tmp_path / "a.nrrd").write_bytes(header + b"\n" + voxels)
    assert np.array_equal(read_volume(tmp_path / "a.nrrd").array, some("i2"))
    (tmp_path / "b.nhdr").write_bytes(header.replace(b"\n", b"\r\n") + b"data file: b.raw\r\n")
    (tmp_path / "b.raw").write_bytes(voxels)
    assert np.array_equal(read_volume(tmp_path / "b.nhdr").array, some("i2"))
    (tmp_path / "c.nrrd").write_bytes(nrrd(byte_skip=b"-1") + b"\n" + voxels)
    assert np.array_equal(read_volume(tmp_path / "c.nrrd").array, some("i2"))


@pytest.mark.parametrize(
    ("units", "factors", "named"),
    [
        (b'"cm" "cm" "cm"', (10, 10, 10), "cm"),
        (b'"m" "m" "m"', (1000, 1000, 1000), "m"),
        (b'"um" "um" "um"', (0.001, 0.001, 0.001), "um"),
        ('"\N{MICRO SIGN}m" '.encode() * 3, (0.001, 0.001, 0.001), "\N{MICRO SIGN}m"),
        (b'"microns" "microns" "microns"', (0.001, 0.001, 0.001), "microns"),
        (b'"mm" "CM" ""', (1, 10, 1), "CM"),
        (b'"mm" "mm" "mm"', (1, 1, 1), None),
        (b"mm mm mm", (1, 1, 1), None),
    ],
)
def test_units_of_nrrd_become_millimetres_along_each_axis_of_space(tmp_path, units, factors, named):
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd(b"RAS", space_units=units) + b"\n" + some("i2").tobytes("F"))
    volume = read_volume(path)
    affine = np.array([[0.5, 0, 0, 1], [0.1, 0.75, 0.2, 2], [0, 0, 2, 3]])
    expected = [[number * factor for number in row] for row, factor in zip(affine, factors, strict=True)]
    assert np.allclose(volume.geometry.affine[:3], expected, rtol=1e-12, atol=0)
    assert [(note.code, note.file) for note in volume.notes] == ([("W209", path)] if named else [])
    assert all(f"{named}: converted to millimetres" in note.what for note in volume.notes)


@pytest.mark.parametrize(("unit", "factor"), [(b"um", 0.001), (b"mm", 1), (b"cm", 10), (b"?", 1)])
def test_units_of_metaimage_become_millimetres(tmp_path, unit, factor):
    path = tmp_path / "a.mha"
    path.write_bytes(meta(DistanceUnits=unit) + some("i2").tobytes("F"))
    volume = read_volume(path)
    assert volume.geometry.spacing_mm == pytest.approx((0.5 * factor, 0.75 * factor, 2 * factor))
    assert np.allclose(volume.geometry.affine[:3, 3], [-1 * factor, -2 * factor, 3 * factor], rtol=1e-12, atol=0)
    assert [note.code for note in volume.notes] == ([] if factor == 1 else ["W209"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"space": b"scanner-xyz"}, "E208"),
        ({"space_units": b'"furlong" "mm" "mm"'}, "E209"),
        ({"space_units": b'"mm" "mm"'}, "E209"),
        ({"space": b""}, "E208"),
        ({"space_directions": b""}, "E208"),
        ({"encoding": b"ascii"}, "E104"),
        ({"encoding": b"bzip2"}, "E104"),
        ({"line_skip": b"2"}, "E104"),
        ({"byte_skip": b"many"}, "E104"),
        ({"space_directions": b"(0.5,0,0) (0,0,0) (0,0,2)"}, "E209"),
        ({"space_directions": b"(0.5,0,0) (0,nan,0) (0,0,2)"}, "E209"),
        ({"space_directions": b"(0.5,0,0) (0,1,0)"}, "E104"),
        ({"space_origin": b"(0,0)"}, "E209"),
        ({"endian": b""}, "E104"),
        ({"dimension": b"4"}, "E104"),
        ({"sizes": b"30000 30000 30000"}, "E106"),
        ({"sizes": b"5 6 8"}, "E102"),
        ({"sizes": b"5 6 0"}, "E104"),
        ({"type": b"block"}, "E205"),
        ({"sizes": b"5 6 7", "kinds": b"vector domain domain", "space_directions": b"none (1,0,0) (0,1,0)"}, "E205"),
        (
            {
                "dimension": b"4",
                "sizes": b"3 5 6 7",
                "kinds": b"RGB-color domain domain domain",
                "space_directions": b"none (1,0,0) (0,1,0) (0,0,1)",
            },
            "E205",
        ),
        (
            {
                "dimension": b"4",
                "sizes": b"5 6 7 2",
                "kinds": b"domain domain domain list",
                "space_directions": b"(1,0,0) (0,1,0) (0,0,1) none",
            },
            "E205",
        ),
    ],
)
def test_nrrd_headers_that_are_refused(tmp_path, code_of, changes, code):
    (tmp_path / "a.nrrd").write_bytes(nrrd(**changes) + b"\n" + some("i2").tobytes("F"))
    assert code_of(tmp_path / "a.nrrd") == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"NDims": b""}, "E104"),
        ({"BinaryData": b"False"}, "E104"),
        ({"ElementSpacing": b"0.5 0 2"}, "E209"),
        ({"ElementSpacing": b"0.5 -1 2"}, "E209"),
        ({"ElementSpacing": b""}, "E209"),
        ({"Offset": b"1 2"}, "E209"),
        ({"DistanceUnits": b"furlong"}, "E209"),
        ({"DimSize": b"5 42"}, "E104"),
        ({"ElementSpacing": b"0.5 nan 2"}, "E209"),
        ({"TransformMatrix": b"1 0 0 1 0 0 0 0 1"}, "E209"),
        ({"DimSize": b"30000 30000 30000"}, "E106"),
        ({"DimSize": b"5 6 8"}, "E102"),
        ({"DimSize": b"5 6 0"}, "E104"),
        ({"ElementNumberOfChannels": b"3"}, "E205"),
        ({"ElementType": b"MET_SHORT_ARRAY"}, "E205"),
        ({"CompressedData": b"True"}, "E105"),
    ],
)
def test_metaimage_headers_that_are_refused(tmp_path, code_of, changes, code):
    (tmp_path / "a.mha").write_bytes(meta(**changes) + some("i2").tobytes("F"))
    assert code_of(tmp_path / "a.mha") == code


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_colours_and_time_series_are_refused(tmp_path, code_of, name):
    vectors = sitk.GetImageFromArray(np.zeros((7, 6, 5, 3), np.uint8), isVector=True)
    sitk.WriteImage(vectors, str(tmp_path / name))
    assert code_of(tmp_path / name) == "E205"
    times = sitk.GetImageFromArray(np.zeros((2, 7, 6, 5), np.uint8), isVector=False)
    sitk.WriteImage(times, str(tmp_path / f"times_{name}"))
    assert code_of(tmp_path / f"times_{name}") in ("E204", "E208")  # ITK writes no space for four axes of NRRD


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path):
    image = sitk.GetImageFromArray(some("i2").T[None], isVector=False)
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    assert np.array_equal(read_volume(tmp_path / "a.mha").array, some("i2"))


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr"])
def test_no_flipped_bit_of_packed_voxels_goes_unseen(tmp_path, name, outcome):
    saved(tmp_path / name, some("i2"), compress=True)
    held = next((path for path in tmp_path.iterdir() if path.suffix in (".zraw", ".gz")), tmp_path / name)
    sound = held.read_bytes()
    begin = sound.rfind(b"\x1f\x8b") if "nrrd" in name else max(sound.rfind(b"LOCAL\n") + 6, 0)
    rng = np.random.default_rng(0)
    n_refused = 0
    for spot in sorted({*rng.integers(8 * begin, 8 * len(sound), 250), *range(8 * len(sound) - 32, 8 * len(sound))}):
        broken = bytearray(sound)
        broken[spot // 8] ^= 1 << spot % 8
        held.write_bytes(broken)
        found = outcome(tmp_path / name)
        n_refused += isinstance(found, str)
        assert isinstance(found, str) or np.array_equal(found.array, some("i2"))  # gzip's time stamp and the like
    assert n_refused > 200


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr"])
def test_no_truncation_goes_unseen(tmp_path, name, compress, outcome):
    saved(tmp_path / name, some("i2"), compress)
    for held in list(tmp_path.iterdir()):
        sound = held.read_bytes()
        is_header = held.suffix in (".mhd", ".nhdr")
        for length in range(0, len(sound) - (2 if is_header else 0), 7):  # a header may lack its last line end
            held.write_bytes(sound[:length])
            found = outcome(tmp_path / name)
            assert isinstance(found, str) or is_header, length
        held.write_bytes(sound)


@pytest.mark.parametrize(
    ("name", "header"), [("a.mhd", meta(b"../b.raw\n")), ("a.nhdr", nrrd() + b"data file: /etc/hostname\n")]
)
def test_a_header_that_names_a_file_elsewhere(tmp_path, code_of, name, header):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "b.raw").write_bytes(some("i2").tobytes("F"))
    (folder / name).write_bytes(header)
    assert code_of(folder / name) == "E504"


def test_half_of_a_pair(tmp_path, code_of):
    (tmp_path / "a.mhd").write_bytes(meta(b"a.raw\n"))
    (tmp_path / "b.mhd").write_bytes(meta(b"LIST\na.raw\nb.raw\n"))
    (tmp_path / "c.nhdr").write_bytes(nrrd() + b"data file: c%03d.raw 1 7 1\n")
    for name in ("a.mhd", "b.mhd", "c.nhdr"):
        assert code_of(tmp_path / name) == "E101"


def test_other_files_under_these_names(tmp_path, code_of):
    for name in ("a.mha", "a.mhd", "a.nrrd", "a.nhdr"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500))
        assert code_of(tmp_path / name) == "E104"
        with pytest.raises(DataError, match="PNG"):
            read_volume(tmp_path / name)


def test_nothing_of_the_headers_text_is_shown_or_kept(tmp_path):
    for changes in (
        {"type": b"block"},
        {"sizes": b"5 6"},
        {"space": b""},
        {"space_origin": b"(DOE)"},
        {"encoding": b""},
    ):
        (tmp_path / "a.nrrd").write_bytes(nrrd(**changes) + b"\n" + some("i2").tobytes("F"))
        with pytest.raises(DataError) as caught:
            read_volume(tmp_path / "a.nrrd")
        assert "DOE" not in str(caught.value)
    (tmp_path / "a.nrrd").write_bytes(nrrd() + b"\n" + some("i2").tobytes("F"))
    assert "DOE" not in repr(vars(read_volume(tmp_path / "a.nrrd")))


def test_bad_files_leave_the_terminal_alone(tmp_path, capfd):
    for index, content in enumerate((meta(DimSize=b"x"), meta(ElementType=b"y"), meta(NDims=b"99"), meta()[:60])):
        (tmp_path / f"{index}.mha").write_bytes(content + bytes(420))
    for index, content in enumerate((nrrd(type=b"y"), nrrd(sizes=b"x"), nrrd(dimension=b"99"), nrrd(sizes=b""))):
        (tmp_path / f"{index}.nrrd").write_bytes(content + b"\n" + bytes(420))
    for path in tmp_path.iterdir():
        with pytest.raises(DataError):
            read_volume(path)
    assert capfd.readouterr() == ("", "")


def test_the_cap_can_be_raised(tmp_path, code_of, monkeypatch):
    saved(tmp_path / "a.mha", some("i2"))
    monkeypatch.setattr(packed, "MAX_BYTES", 419)
    assert code_of(tmp_path / "a.mha") == "E106"
