import gzip
import io
import zlib

import numpy as np
import pytest

from medseg.errors import DataError
from medseg.volumes import packed

CONTENT = np.random.default_rng(0).integers(0, 30, 3000).astype(np.uint8).tobytes()
LARGE = np.random.default_rng(1).integers(0, 4, 2 * packed.PIECE + 17).astype(np.uint8).tobytes()
PACKINGS = [(packed.read_gzip, gzip.compress), (packed.read_zlib, zlib.compress)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "packed"


def read(reader, content, path, needed):
    """The bytes, or the code of the refusal."""
    try:
        return reader(io.BytesIO(content), path, needed).tobytes()
    except DataError as error:
        assert str(path) in str(error)
        return error.faults[0].code


@pytest.mark.parametrize(("reader", "pack"), PACKINGS)
@pytest.mark.parametrize("level", [0, 1, 6])
def test_what_zlib_packs_comes_back(path, reader, pack, level):
    assert read(reader, pack(CONTENT, level), path, len(CONTENT)) == CONTENT
    assert read(reader, pack(LARGE, level), path, len(LARGE)) == LARGE


@pytest.mark.parametrize(("reader", "pack"), PACKINGS)
def test_only_what_is_needed_is_kept(path, reader, pack):
    for needed in (1, 352, len(CONTENT) - 1):
        assert read(reader, pack(CONTENT), path, needed) == CONTENT[:needed]
    assert read(reader, pack(CONTENT), path, len(CONTENT) + 1) == "E102"
    assert read(reader, pack(b""), path, 1) == "E102"


@pytest.mark.parametrize("size", [1, 7, packed.PIECE - 1, packed.PIECE, packed.PIECE + 1, 3 * packed.PIECE])
def test_streams_that_expand_a_thousand_times(path, size):
    for reader, pack in PACKINGS:
        assert read(reader, pack(bytes(size)), path, size) == bytes(size)


@pytest.mark.parametrize(("reader", "pack"), PACKINGS)
def test_no_flipped_bit_changes_the_content(path, reader, pack):
    sound, refused = pack(CONTENT), 0
    rng = np.random.default_rng(2)
    spots = {*range(160), *rng.integers(0, 8 * len(sound), 1000).tolist(), *range(8 * len(sound) - 64, 8 * len(sound))}
    for spot in sorted(spots):
        broken = bytearray(sound)
        broken[spot // 8] ^= 1 << spot % 8
        found = read(reader, bytes(broken), path, len(CONTENT))
        assert found in ("E102", "E105", CONTENT), spot
        refused += found != CONTENT
    assert refused >= len(spots) - 70  # gzip's time stamp, flags for text, operating system


@pytest.mark.parametrize(("reader", "pack"), PACKINGS)
def test_no_truncation_goes_unseen(path, reader, pack):
    sound = pack(CONTENT)
    for length in range(0, len(sound), 3):
        assert read(reader, sound[:length], path, len(CONTENT)) in ("E102", "E105")
    assert read(reader, sound[:-1], path, len(CONTENT)) in ("E102", "E105")


def test_several_members_of_gzip_are_one_stream(path):
    members = gzip.compress(CONTENT[:100]) + gzip.compress(b"") + gzip.compress(CONTENT[100:])
    assert read(packed.read_gzip, members, path, len(CONTENT)) == CONTENT
    broken = bytearray(members)
    broken[-6] ^= 1  # the last member's check sum
    assert read(packed.read_gzip, bytes(broken), path, len(CONTENT)) == "E105"


def test_zeros_after_gzip_are_padding_and_other_bytes_are_damage(path):
    assert read(packed.read_gzip, gzip.compress(CONTENT) + bytes(512), path, len(CONTENT)) == CONTENT
    assert read(packed.read_gzip, gzip.compress(CONTENT) + b"the rest of it", path, len(CONTENT)) == "E105"


@pytest.mark.parametrize(("reader", "pack"), PACKINGS)
def test_a_stream_that_goes_on_and_on(path, reader, pack, monkeypatch):
    monkeypatch.setattr(packed, "MAX_EXCESS", 3 << 20)
    assert read(reader, pack(bytes(3 << 20)), path, 1) == bytes(1)
    assert read(reader, pack(bytes(5 << 20)), path, 1) == "E106"


def test_the_start_of_gzip_needs_no_more_than_the_start(path):
    sound = gzip.compress(CONTENT)
    assert packed.start_of_gzip(io.BytesIO(sound), path, 540) == CONTENT[:540]
    assert packed.start_of_gzip(io.BytesIO(sound), path, 10_000) == CONTENT
    with pytest.raises(DataError, match="E102"):
        packed.start_of_gzip(io.BytesIO(sound[:30]), path, 540)
    with pytest.raises(DataError, match="E105"):
        packed.start_of_gzip(io.BytesIO(b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 50), path, 540)


def test_raw_bytes_from_a_place(path):
    path.write_bytes(CONTENT)
    assert packed.read_raw(path, 100, 50).tobytes() == CONTENT[100:150]
    for offset, needed in ((2990, 11), (5000, 1)):
        with pytest.raises(DataError, match=r"E102.*packed"):
            packed.read_raw(path, offset, needed)


def test_sizes_are_compared_before_memory_is_taken(path, monkeypatch):
    path.write_bytes(bytes(1000))
    packed.refuse_oversize(path, 1000, packed=False)
    packed.refuse_oversize(path, 1000 * packed.MAX_EXPANSION, packed=True)
    for needed, is_packed, code in ((1001, False, "E102"), (1000 * packed.MAX_EXPANSION + 1, True, "E102")):
        with pytest.raises(DataError, match=f"{code}.*{needed}"):
            packed.refuse_oversize(path, needed, is_packed)
    with pytest.raises(DataError, match=f"E106.*at most {4 << 30} bytes.*27000000000000 bytes"):
        packed.refuse_oversize(path, 30000**3, packed=True)
    monkeypatch.setattr(packed, "MAX_BYTES", 999)
    with pytest.raises(DataError, match="E106"):
        packed.refuse_oversize(path, 1000, packed=False)
