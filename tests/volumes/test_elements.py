import struct

import numpy as np
import pytest

from medseg.errors import DataError
from medseg.volumes import read_volume
from medseg.volumes.elements import refuse_overlong

ITEM, ITEM_END, ITEMS_END = (struct.pack("<HHI", 0xFFFE, number, 0) for number in (0xE000, 0xE00D, 0xE0DD))
UNDEFINED = b"\xff\xff\xff\xff"


def item(content, is_open=False):
    length = UNDEFINED if is_open else struct.pack("<I", len(content))
    return ITEM[:4] + length + content + (ITEM_END if is_open else b"")


def sequence(*items, is_open=False, kind=b"SQ"):
    """A private sequence, explicit little endian."""
    content = b"".join(items)
    length = UNDEFINED if is_open else struct.pack("<I", len(content))
    return struct.pack("<HH", 0x0011, 0x1001) + kind + b"\0\0" + length + content + (ITEMS_END if is_open else b"")


TEXT = struct.pack("<HH2sH", 0x0008, 0x0104, b"LO", 4) + b"text"
IMPLICIT_TEXT = struct.pack("<HHI", 0x0008, 0x0104, 4) + b"text"


def with_element(series, content):
    """A slice that holds one more element, in its place before group 0018."""
    path = series.write(0)
    whole = path.read_bytes()
    place = whole.index(struct.pack("<HH", 0x0018, 0x0050))
    path.write_bytes(whole[:place] + content + whole[place:])
    return path


@pytest.mark.parametrize(
    "content",
    [
        sequence(),
        sequence(is_open=True),
        sequence(item(TEXT), item(b"")),
        sequence(item(TEXT, is_open=True), item(TEXT), is_open=True),
        sequence(item(sequence(item(TEXT), is_open=True) + TEXT)),
        sequence(item(sequence(item(TEXT)), is_open=True)),
        sequence(item(IMPLICIT_TEXT), is_open=True, kind=b"UN"),
        TEXT,
    ],
)
def test_sequences_of_every_shape_are_stepped_over(series, content):
    path = with_element(series, content)
    refuse_overlong(path)
    assert np.array_equal(read_volume(series.folder).array[..., 0], series.voxels[..., 0].astype(int) - 1024)


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<HH2sH", 0x0008, 0x0104, b"LO", 65534),
        struct.pack("<HH2sxxI", 0x0011, 0x1001, b"OB", 1 << 30),
        struct.pack("<HH2sxxI", 0x0011, 0x1001, b"OB", 0xFFFFFFFF),
        struct.pack("<HH2sH", 0x0008, 0x0104, b"XX", 4) + b"text",
        sequence(item(TEXT)[:-2]),
        sequence(item(TEXT), is_open=True)[:-8],
        sequence(item(TEXT[:-4])),
        sequence(item(TEXT, is_open=True)[:-8], is_open=True),
        sequence(ITEM[:4] + struct.pack("<I", 1 << 30)),
        sequence(TEXT),
    ],
)
def test_elements_that_reach_beyond_what_holds_them(series, content):
    path = with_element(series, content)
    with pytest.raises(DataError, match=r"E102.*000\.dcm"):
        refuse_overlong(path)


def test_sequences_in_sequences_have_an_end(series):
    content = TEXT
    for _ in range(40):
        content = sequence(item(content))
    with pytest.raises(DataError, match="E102"):
        refuse_overlong(with_element(series, content))


def test_elements_without_kinds(series):
    implicit = "1.2.840.10008.1.2"
    path = series.write(0, syntax=implicit)
    whole = path.read_bytes()
    start = whole.index(struct.pack("<HH", 0x0008, 0x0016))
    body, place = b"", start
    while place < len(whole):
        tag, kind = whole[place : place + 4], whole[place + 4 : place + 6]
        head = 12 if kind == b"OW" else 8
        length = struct.unpack_from("<I" if head == 12 else "<H", whole, place + head - (4 if head == 12 else 2))[0]
        body += tag + struct.pack("<I", length) + whole[place + head : place + head + length]
        place += head + length
    path.write_bytes(whole[:start] + body)
    refuse_overlong(path)
    assert np.array_equal(read_volume(series.folder).array[..., 0], series.voxels[..., 0].astype(int) - 1024)
    path.write_bytes(whole[:start] + body[:-1])
    with pytest.raises(DataError, match="E102"):
        refuse_overlong(path)


def test_packed_pixels_are_stepped_over(series):
    path = series.write(0, syntax="1.2.840.10008.1.2.4.70", t7FE00010=None)
    start = path.read_bytes()
    pixels = struct.pack("<HH2sxx", 0x7FE0, 0x0010, b"OB") + UNDEFINED
    path.write_bytes(start + pixels + item(b"") + item(b"\xff\xd8\xff\xd9") + ITEMS_END)
    refuse_overlong(path)
    for end in (b"", item(b""), ITEM[:4] + struct.pack("<I", 1 << 30)):
        path.write_bytes(start + pixels + end)
        with pytest.raises(DataError, match="E102"):
            refuse_overlong(path)


def test_padding_with_zeros_is_no_damage(series):
    path = series.write(0)
    path.write_bytes(path.read_bytes() + bytes(500))
    refuse_overlong(path)


def test_files_of_another_kind(series):
    path = series.write(0)
    path.write_bytes(bytes(200))
    with pytest.raises(DataError, match=r"E104.*000\.dcm"):
        refuse_overlong(path)
    with pytest.raises(DataError, match=r"E606.*deflated"):
        refuse_overlong(series.write(0, syntax="1.2.840.10008.1.2.1.99"))
