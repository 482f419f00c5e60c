"""The bytes of voxels, raw or compressed: bounded by what the header promises, every check sum compared.

A header that asks for more than the file can hold is refused before memory is taken: more than its bytes, or than
`MAX_EXPANSION` times its packed bytes. That stops headers that lie. Deflate reaches 1,032 times, which is less, and a
label of zeros is packed about as far: an honest header is bounded by `MAX_BYTES` alone, however small its file is.

isal decodes gzip several times as fast as zlib (``tools/bench/io.py``). nibabel stops before the trailer, and SimpleITK
fills what a truncated stream lacks with zeros: neither notices most damage.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
from isal import igzip, isal_zlib

from medseg.errors import DataError, Fault

MAX_BYTES = 4 << 30
MAX_IMAGE_EXPANSION, MOST_FLAT_BYTES = 400, 64 << 20  # of an image, where it unpacks to more than that
MAX_EXPANSION = 1100  # deflate cannot expand a stream more than about 1,032 times
MAX_EXCESS = 64 << 20  # bytes after the voxels; a bomb goes on and on
PIECE = 1 << 20
START = 1 << 12  # packed bytes that hold most headers
GZIP_MARK = b"\x1f\x8b"
GZIP = 31  # zlib's number for its packing
BROKEN: tuple[Any, ...] = (igzip.BadGzipFile, isal_zlib.IsalError, zlib.error)
COPY_AGAIN = "copy or download it again"


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def refuse_oversize(path: Path, needed: int, packed: bool, label: bool = False) -> None:
    """Compare what a header asks for with the cap and with what the file can hold, before any memory is taken.

    A large image that unpacks to hundreds of times its file holds next to nothing; a label map without a label may.

    Raises:
        DataError: E106 above the cap, or such an image; E102 where the file is too short for it.
    """
    if needed > MAX_BYTES:
        fix = "crop or resample the volume; if it really is this large, raise medseg.volumes.packed.MAX_BYTES"
        raise DataError(Fault("E106", "the header asks for too much memory", fix, f"at most {MAX_BYTES} bytes",
                              f"{needed} bytes", path))  # fmt: skip
    on_disk = path.stat().st_size
    possible = on_disk * MAX_EXPANSION if packed else on_disk
    if needed > possible:
        raise DataError(truncated(path, needed, possible))
    if not label and needed > MOST_FLAT_BYTES and needed > MAX_IMAGE_EXPANSION * on_disk:
        fix = "look at where it comes from: it holds next to nothing, or is made to exhaust the memory"
        expected, found = f"at most {MAX_IMAGE_EXPANSION} times", f"{needed} bytes from {on_disk}"
        raise DataError(Fault("E106", "an image that unpacks to too much", fix, expected, found, path))


def read_raw(path: Path, offset: int, needed: int) -> npt.NDArray[np.uint8]:
    """The `needed` bytes from `offset` of a file whose size `refuse_oversize` has looked at.

    Raises:
        DataError: E102, the file is shorter.
    """
    content = np.fromfile(path, np.uint8, needed, offset=offset)
    if len(content) < needed:
        raise DataError(truncated(path, needed, len(content)))
    return content


def read_gzip(stream: BinaryIO, path: Path, needed: int) -> npt.NDArray[np.uint8]:
    """The first `needed` bytes of the gzip data from where `stream` stands; members are followed to their trailers.

    Raises:
        DataError: E102 truncated, E105 damaged, E106 more than 64 MiB after what was needed.
    """
    with _translated(path), igzip.open(stream, "rb") as unpacked:
        return _whole(unpacked, path, needed)


def start_of_gzip(stream: BinaryIO, path: Path, size: int) -> bytes:
    """At most `size` bytes of the gzip data from where `stream` stands; no check sum is compared.

    Raises:
        DataError: E102 truncated, E105 damaged.
    """
    with _translated(path):
        place = stream.tell()
        start = isal_zlib.decompressobj(GZIP).decompress(stream.read(START), size)
        if len(start) == size:
            return start
        stream.seek(place)  # several members, or long names before the first
        with igzip.open(stream, "rb") as unpacked:
            return unpacked.read(size)


def read_zlib(stream: BinaryIO, path: Path, needed: int) -> npt.NDArray[np.uint8]:
    """The first `needed` bytes of a zlib stream that begins where `stream` stands, its Adler-32 compared.

    Raises:
        DataError: as `read_gzip`.
    """
    with _translated(path):
        return _whole(_Zlib(stream), path, needed)


def truncated(path: Path, needed: int | None = None, found: int | None = None) -> Fault:
    """E102."""
    expected = "" if needed is None else f"{needed} bytes of content"
    return Fault("E102", "the file is truncated", COPY_AGAIN, expected, "" if found is None else f"{found}", path)


def damaged(path: Path, error: Exception) -> Fault:
    """E105."""
    return Fault("E105", f"the file is damaged ({error})", COPY_AGAIN, "a sound stream", "", path)


def _whole(stream: _Stream, path: Path, needed: int) -> npt.NDArray[np.uint8]:
    content = np.empty(needed, np.uint8)
    view, filled, excess = content.data, 0, 0
    while filled < needed:
        piece = stream.read(min(PIECE, needed - filled))
        if not piece:
            raise DataError(truncated(path, needed, filled))
        view[filled : filled + len(piece)] = piece
        filled += len(piece)
    while piece := stream.read(PIECE):  # to the trailer
        excess += len(piece)
        if excess > MAX_EXCESS:
            raise DataError(Fault("E106", "the file goes on after its voxels", "export the volume again",
                                  f"{needed} bytes", f"more than {MAX_EXCESS} bytes after them", path))  # fmt: skip
    return content


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """The decoders' errors as ours."""
    try:
        yield
    except EOFError as error:
        raise DataError(truncated(path)) from error
    except BROKEN as error:
        raise DataError(damaged(path, error)) from error


class _Zlib:
    """A zlib stream with the one method that `_whole` needs."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.inflate = isal_zlib.decompressobj()

    def read(self, size: int, /) -> bytes:
        while not self.inflate.eof:
            packed = self.inflate.unconsumed_tail or self.stream.read(PIECE)
            piece = self.inflate.decompress(packed, size)
            if piece:
                return piece
            if not packed:
                raise EOFError
        return b""
