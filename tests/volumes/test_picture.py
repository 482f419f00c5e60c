import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from medseg.errors import DataError
from medseg.geometry import Geometry
from medseg.volumes import Volume, packed, read_geometry, read_volume, write_volume

WIDTH, HEIGHT = 7, 5


def grey(dtype="u1", high=200):
    return np.random.default_rng(0).integers(0, high, (HEIGHT, WIDTH)).astype(dtype)


def colours():
    return np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def xy(rows):
    """Rows of a picture as medseg orders them: x, y, pages."""
    return np.swapaxes(rows, 0, 1)[..., None]


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.tif", "a.tiff", "a.gif", "a.bmp"])
def test_grey_pictures(tmp_path, name):
    Image.fromarray(grey()).save(tmp_path / name)
    volume = read_volume(tmp_path / name)
    assert volume.array.dtype == np.uint8
    assert volume.array.shape == volume.geometry.shape == (WIDTH, HEIGHT, 1)
    assert all(volume.array[x, y, 0] == grey()[y, x] for x in range(WIDTH) for y in range(HEIGHT))
    assert volume.geometry.unit == "px"
    assert np.array_equal(volume.geometry.affine, np.eye(4))
    volume.array[0, 0, 0] = 1  # may be written to


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
@pytest.mark.parametrize("alpha", [False, True])
def test_colours(tmp_path, name, alpha):
    pixels = np.dstack([colours(), grey()]) if alpha and name != "a.bmp" else colours()
    Image.fromarray(pixels).save(tmp_path / name)
    volume = read_volume(tmp_path / name)
    assert volume.array.shape == (3, WIDTH, HEIGHT, 1)
    assert volume.geometry.shape == (WIDTH, HEIGHT, 1)
    assert all(np.array_equal(volume.array[c], xy(colours()[..., c])) for c in range(3))


def test_colours_that_are_all_grey_are_one_number(tmp_path):
    Image.fromarray(grey()).convert("RGBA").save(tmp_path / "a.png")
    Image.fromarray(np.dstack([grey(), grey()[::-1]]), "LA").save(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        assert np.array_equal(read_volume(tmp_path / name).array, xy(grey()))


def test_a_jpeg_is_as_pillow_decodes_it(tmp_path):
    Image.fromarray(colours()).save(tmp_path / "a.jpg")
    expected = np.asarray(Image.open(tmp_path / "a.jpg"))
    assert np.array_equal(read_volume(tmp_path / "a.jpg").array[..., 0].T, expected)


def test_masks_of_0_and_255_stay_as_they_are_and_bits_are_0_and_1(tmp_path):
    mask = grey() > 100
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "bytes.png")
    Image.fromarray(mask).save(tmp_path / "bits.png")
    Image.fromarray(mask).save(tmp_path / "bits.tif", compression="group4")
    for is_label in (False, True):
        assert np.array_equal(read_volume(tmp_path / "bytes.png", is_label).array, xy(mask) * np.uint8(255))
        for name in ("bits.png", "bits.tif"):
            found = read_volume(tmp_path / name, is_label).array
            assert found.dtype == np.uint8
            assert np.array_equal(found, xy(mask))


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_values_of_2_and_4_bits_are_as_stored(tmp_path, bits):
    values = np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) % (1 << bits)
    rows = [int("".join(f"{value:0{bits}b}" for value in row).ljust(32, "0"), 2).to_bytes(4, "big") for row in values]
    rows = [row[: -(-WIDTH * bits // 8)] for row in rows]
    (tmp_path / "a.png").write_bytes(png(bits, 0, b"".join(b"\0" + row for row in rows), 0))
    strip = b"".join(rows)
    for model in (1, 0):  # black is 0, white is 0
        (tmp_path / f"{model}.tif").write_bytes(tiff(bits, model, strip))
    for is_label in (False, True):
        for name, expected in (("a.png", values), ("1.tif", values), ("0.tif", (1 << bits) - 1 - values)):
            found = read_volume(tmp_path / name, is_label).array
            assert found.dtype == np.uint8
            assert np.array_equal(found, xy(expected)), name


def tiff(bits, model, strip):
    """A TIFF by hand: width, height, bits, no packing, model of colours, and where the one strip is."""
    tags = (
        (256, WIDTH),
        (257, HEIGHT),
        (258, bits),
        (259, 1),
        (262, model),
        (273, 8),
        (278, HEIGHT),
        (279, len(strip)),
    )
    strip += b"\0" * (len(strip) % 2)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHI", b"II", 42, 8 + len(strip)) + strip + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_pages_of_different_depth_keep_their_values(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in (grey(), grey("u2", 65535)):
            writer.write(page, photometric="minisblack")
    found = read_volume(tmp_path / "a.tif").array
    assert np.array_equal(found[..., 0].T, grey())
    assert np.array_equal(found[..., 1].T, grey("u2", 65535))


def test_sixteen_bits_of_a_png(tmp_path):
    Image.fromarray(grey("u2", 65535)).save(tmp_path / "a.png")
    volume = read_volume(tmp_path / "a.png")
    assert volume.array.dtype == np.uint16
    assert np.array_equal(volume.array, xy(grey("u2", 65535)))


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4"])
def test_tiff_of_every_type(tmp_path, dtype, compression):
    """int16 is how CT slices in Hounsfield units come."""
    array = (grey("i4", 3000) - (1024 if dtype[0] != "u" else 0)).astype(dtype)
    if compression in (None, "zlib"):
        tifffile.imwrite(tmp_path / "a.tif", array, compression=compression)
    else:
        name = {"lzw": "tiff_lzw", "packbits": "packbits"}[compression]
        mode = {"i2": "I;16S", "u2": "I;16"}.get(dtype)
        if mode == "I;16S":
            write_signed(tmp_path / "a.tif", array, name)
        else:
            Image.fromarray(array).save(tmp_path / "a.tif", compression=name)
    volume = read_volume(tmp_path / "a.tif")
    assert volume.array.dtype == np.dtype(dtype)
    assert np.array_equal(volume.array, xy(array))


def write_signed(path, array, compression):
    """An int16 TIFF in a packing that tifffile does not write: Pillow's uint16, and the tag that says signed."""
    picture = Image.fromarray(array.view(np.uint16))
    picture.save(path, compression=compression, tiffinfo={339: 2})


@pytest.mark.parametrize("dtype", [">u2", ">i2", ">i4", ">f4", "u4", "i1"])
def test_tiff_of_other_byte_orders_and_signs(tmp_path, dtype):
    array = grey("i4", 100).astype(dtype)
    array.flat[0] = {"u": -1, "i": -5, "f": -5}[np.dtype(dtype).kind] % (1 << 32) if dtype == "u4" else array.flat[0]
    if dtype == "i1":
        array.flat[0] = -5
    tifffile.imwrite(tmp_path / "a.tif", array, byteorder=">" if dtype[0] == ">" else "<", photometric="minisblack")
    volume = read_volume(tmp_path / "a.tif")
    assert np.array_equal(volume.array, xy(array))
    assert volume.array.dtype == np.dtype(dtype).newbyteorder("=")


def test_the_pages_of_a_tiff_are_slices(tmp_path):
    pages = np.stack([grey("i2", 3000) - 1024, grey("i2", 2000), grey("i2", 1000)])
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    volume = read_volume(tmp_path / "a.tif")
    assert volume.geometry.shape == (WIDTH, HEIGHT, 3)
    assert np.array_equal(volume.array, pages.transpose(2, 1, 0))
    first, *rest = (Image.fromarray(page) for page in (colours(), np.dstack([grey()] * 3)))
    first.save(tmp_path / "b.tif", save_all=True, append_images=rest)
    volume = read_volume(tmp_path / "b.tif")
    assert volume.array.shape == (3, WIDTH, HEIGHT, 2)
    assert np.array_equal(volume.array[..., 0].T, colours())
    assert np.array_equal(volume.array[0, ..., 1].T, grey())


def test_pages_that_differ(tmp_path, code_of):
    first, second = Image.fromarray(grey()), Image.fromarray(grey()[:-1])
    first.save(tmp_path / "size.tif", save_all=True, append_images=[second])
    first.save(tmp_path / "colour.tif", save_all=True, append_images=[Image.fromarray(colours())])
    for name in ("size.tif", "colour.tif"):
        assert code_of(tmp_path / name) == "E206"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_exif_rotation_is_applied(tmp_path, name, orientation):
    """The eight orientations, by EXIF's own table: which side of the stored picture is the top, which the left."""
    rows = np.kron(np.arange(6).reshape(2, 3) * 40, np.ones((16, 16))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(rows).save(tmp_path / name, exif=exif, quality=100)
    upright = {
        1: rows,
        2: rows[:, ::-1],
        3: rows[::-1, ::-1],
        4: rows[::-1],
        5: rows.T,
        6: rows[::-1].T,
        7: rows[::-1, ::-1].T,
        8: rows[:, ::-1].T,
    }[orientation]
    volume = read_volume(tmp_path / name)
    assert volume.geometry.shape == read_geometry(tmp_path / name).shape == (*upright.T.shape, 1)
    assert np.abs(volume.array[..., 0].T.astype(int) - upright).max() <= 2


def test_a_label_in_colours_is_refused(tmp_path, code_of):
    Image.fromarray(colours()).save(tmp_path / "colours.png")
    assert code_of(tmp_path / "colours.png", label=True) == "E305"


def test_pictures_that_would_be_read_as_something_else(tmp_path, code_of):
    Image.fromarray(colours()).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(colours()).convert("CMYK").save(tmp_path / "cmyk.tif")
    tifffile.imwrite(tmp_path / "deep.tif", colours().astype("u2") * 257, photometric="rgb")
    tifffile.imwrite(tmp_path / "white.tif", grey("u2"), photometric="miniswhite")
    (tmp_path / "deep.png").write_bytes(png(16, 2, colours().astype(">u2").tobytes(), 6))
    (tmp_path / "deep_alpha.png").write_bytes(png(16, 4, np.dstack([grey(">u2")] * 2).astype(">u2").tobytes(), 4))
    for name in ("cmyk.jpg", "cmyk.tif", "deep.tif", "white.tif", "deep.png", "deep_alpha.png"):
        assert code_of(tmp_path / name) == "E205", name


def test_inverted_grey_of_8_bits_is_turned(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", grey(), photometric="miniswhite")
    assert np.array_equal(read_volume(tmp_path / "a.tif").array, xy(255 - grey()))


@pytest.mark.parametrize("name", ["a.gif", "a.png"])
def test_animations_are_refused(tmp_path, code_of, name):
    first, second = Image.fromarray(grey()), Image.fromarray(grey()[::-1])
    first.save(tmp_path / name, save_all=True, append_images=[second])
    assert code_of(tmp_path / name) == "E204"
    assert code_of(tmp_path / name, label=True) == "E204"


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(bits, kind, rows, pixel_bytes, size=(WIDTH, HEIGHT)):
    """A PNG by hand: bits a sample, kind of colour, and the pixels, or the filtered rows where `pixel_bytes` is 0."""
    if pixel_bytes:
        step = size[0] * pixel_bytes
        rows = b"".join(b"\0" + rows[i : i + step] for i in range(0, len(rows), step))
    header = struct.pack(">IIBBBBB", *size, bits, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_no_flipped_bit_of_a_png_goes_unseen(tmp_path, outcome):
    Image.fromarray(grey()).save(tmp_path / "a.png")
    sound = (tmp_path / "a.png").read_bytes()
    for spot in range(8 * len(sound)):
        broken = bytearray(sound)
        broken[spot // 8] ^= 1 << spot % 8
        (tmp_path / "a.png").write_bytes(broken)
        found = outcome(tmp_path / "a.png")
        is_last_mark = spot >= 8 * (len(sound) - 12) and not isinstance(found, str)
        assert np.array_equal(found.array, xy(grey())) if is_last_mark else isinstance(found, str), spot


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.gif", "a.bmp"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")
def test_no_lost_end_goes_unseen(tmp_path, outcome, name):
    Image.fromarray(np.kron(grey(), np.ones((8, 8), np.uint8))).save(tmp_path / name)
    sound = (tmp_path / name).read_bytes()
    whole = read_volume(tmp_path / name).array
    for length in range(1, len(sound), max(len(sound) // 150, 1)):
        (tmp_path / name).write_bytes(sound[:length])
        found = outcome(tmp_path / name)
        is_last_mark = len(sound) - length < 5 and not isinstance(found, str) and np.array_equal(found.array, whole)
        assert found in ("E102", "E104", "E105") if isinstance(found, str) else is_last_mark, length


def test_other_files_under_these_names(tmp_path, code_of):
    Image.fromarray(grey()).save(tmp_path / "really_a.png")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "really_a.png").read_bytes())
    assert np.array_equal(read_volume(tmp_path / "a.jpg").array, xy(grey()))  # a picture is told by its content
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n")
    (tmp_path / "b.png").write_bytes(bytes(344) + b"n+1\0")
    (tmp_path / "c.gif").write_text("<html>")
    for name in ("a.png", "b.png", "c.gif"):
        assert code_of(tmp_path / name) == "E104"
    with pytest.raises(DataError, match="NIfTI"):
        read_volume(tmp_path / "b.png")


def test_headers_that_ask_for_too_much(tmp_path, code_of, monkeypatch):
    (tmp_path / "huge.png").write_bytes(png(8, 0, bytes(100), 0, (30000, 30000)))
    (tmp_path / "large.png").write_bytes(png(8, 0, bytes(100), 0, (10000, 9900)))
    (tmp_path / "short.png").write_bytes(png(8, 0, bytes(100), 0, (9000, 9000)))
    tifffile.imwrite(tmp_path / "a.tif", grey())
    sound = (tmp_path / "a.tif").read_bytes()
    for name, value in (("huge.tif", 30000), ("short.tif", 9000)):
        with tifffile.TiffFile(tmp_path / "a.tif") as opened:
            tags = opened.pages[0].tags
            spots = [tags[tag].valueoffset for tag in ("ImageWidth", "ImageLength")]
        broken = bytearray(sound)
        for spot in spots:
            broken[spot : spot + 2] = struct.pack("<H", value)
        (tmp_path / name).write_bytes(broken)
    codes = {"huge.png": "E106", "large.png": "E106", "short.png": "E102", "huge.tif": "E106", "short.tif": "E102"}
    for name, code in codes.items():
        with pytest.warns(Image.DecompressionBombWarning) if name == "large.png" else pytest.MonkeyPatch.context():
            assert code_of(tmp_path / name) == code, name
    with pytest.raises(DataError, match="900000000"):
        read_volume(tmp_path / "huge.png")
    monkeypatch.setattr(packed, "MAX_BYTES", WIDTH * HEIGHT - 1)
    assert code_of(tmp_path / "a.tif") == "E106"


def test_a_page_and_all_pages_have_their_limits(tmp_path, code_of, monkeypatch):
    """Pillow's for the pixels of one, ours for the bytes of all; before anything is decoded."""
    pages = np.stack([grey()] * 3)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pages[0].size)
    monkeypatch.setattr(packed, "MAX_BYTES", pages.nbytes)
    assert read_volume(tmp_path / "a.tif").geometry.shape == (WIDTH, HEIGHT, 3)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    monkeypatch.setattr(packed, "MAX_BYTES", pages.nbytes - 1)
    with pytest.raises(DataError, match=r"E106.*3 pages"):
        read_geometry(tmp_path / "a.tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pages[0].size - 1)
    assert code_of(tmp_path / "a.tif") == "E106"
    with pytest.raises(DataError, match=f"{WIDTH} x {HEIGHT} pixels"):
        read_geometry(tmp_path / "a.tif")


def test_a_large_picture_takes_less_than_twice_its_size(tmp_path):
    """Of numpy's and Python's memory; Pillow holds the decoded picture once beside it."""
    rows = np.random.default_rng(0).integers(0, 255, (2048, 2050, 3)).astype(np.uint8)
    Image.fromarray(rows).save(tmp_path / "a.bmp")
    tracemalloc.start()
    try:
        array = read_volume(tmp_path / "a.bmp").array
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * rows.nbytes
    assert np.array_equal(array[..., 0].T, rows)


def test_the_limit_is_pillows_own(tmp_path, code_of, monkeypatch):
    Image.fromarray(grey()).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 17)
    assert code_of(tmp_path / "a.png") == "E106"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert read_volume(tmp_path / "a.png").geometry.shape == (WIDTH, HEIGHT, 1)


def test_a_camera_s_pictures_of_one_scene_are_read_as_the_first(tmp_path):
    first, second = Image.fromarray(colours()), ImageOps.flip(Image.fromarray(colours())).resize((3, 3))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    single = io.BytesIO()
    first.save(single, "JPEG")
    assert np.array_equal(read_volume(tmp_path / "a.jpg").array[..., 0].T, np.asarray(Image.open(single)))


@pytest.mark.parametrize(
    ("array", "unit"),
    [
        (np.zeros((3, 4, 2), np.uint8), "px"),
        (np.zeros((3, 4, 1), np.uint16), "px"),
        (np.zeros((3, 4, 1), np.uint8), "mm"),
    ],
)
def test_what_is_no_mask_of_a_picture_is_not_written(array, unit, tmp_path):
    with pytest.raises(DataError, match="E204"):
        write_volume(tmp_path / "a.png", Volume(array, Geometry(np.eye(4), array.shape, unit=unit)))
    assert list(tmp_path.iterdir()) == []
