"""Arrays of numpy (``.npy``, ``.npz``), never with pickle. They have no millimetres: their unit is the voxel.

A stack of pictures in one file is many volumes. ``X_train.npy::12`` names the one at index 12 of the first axis.
"""

from __future__ import annotations

import errno
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from medseg.errors import DataError, Fault
from medseg.geometry import Geometry
from medseg.volumes import packed
from medseg.volumes.member import member_of
from medseg.volumes.volume import Volume

VERSION = (1, 0)  # of the format; later ones are for structures, and their headers may be of any length
COLOURS, SMALLEST_PICTURE = (3, 4), 16  # the last axis of a picture in colours, and what its sides have at least
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes
# what numpy raises for a header that is no Python literal, or another one
NOT_A_HEADER = (ValueError, SyntaxError, TypeError, tokenize.TokenError, RecursionError, MemoryError)
# what zipfile raises for damage: RuntimeError for a password, NotImplementedError for a version it does not know
BROKEN = (EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, ValueError)


@dataclass(frozen=True)
class _Stored:
    """An array's header: its type, its shape, its order in memory and the byte it begins at."""

    dtype: np.dtype
    shape: tuple[int, ...]
    is_fortran: bool
    offset: int

    @property
    def n_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


def stack_size(path: Path) -> int:
    """How many volumes the first axis of an ``.npy`` file holds. Reads the header alone.

    Raises:
        DataError: as `read_array`.
    """
    with open(path, "rb") as stream:
        return (*_header(path, stream).shape, 1)[0]


def read_array(path: Path, label: bool = False) -> Volume:
    """Read an array of one to three axes beside those of length 1. See `medseg.volumes.read_volume`.

    Two axes are rows and columns of a picture, and become (columns, rows, 1); three stay as they are.

    Raises:
        DataError: E104 not numpy's, or objects; E101 no such item of a stack; E102 truncated; E105 damaged; E106 too
            large; E204 too many axes; E205 not numbers, or a picture in colours.
    """
    file, index = member_of(path)
    with _opened(file) as stream:
        stored = _header(file, stream)
        shape = _grid(path, stored, index, label)
        array = _unpacked(file, stream, stored) if _is_archive(file) else _mapped(file, stored, index)
    array = np.array(array, dtype=np.uint8 if array.dtype == bool else array.dtype.newbyteorder("="), order="K")
    sizes = [n for n in array.shape if n != 1]
    array = array.reshape(sizes) if len(sizes) == 3 else array.reshape(shape[1::-1]).T[..., None]
    return Volume(array, Geometry(np.eye(4), shape, unit="px"))


def array_geometry(path: Path) -> Geometry:
    """The grid alone. See `medseg.volumes.read_geometry`."""
    file, index = member_of(path)
    with _opened(file) as stream:
        return Geometry(np.eye(4), _grid(path, _header(file, stream), index), unit="px")


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """The ``.npy`` file, or the one in the archive."""
    try:
        with open(file, "rb") as stream:
            if not _is_archive(file):
                yield stream
                return
            with zipfile.ZipFile(stream) as archive, archive.open(_only_member(file, archive)) as member:
                yield member
    except BROKEN as error:
        raise DataError(packed.damaged(file, error)) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the file's beginning
            raise
        raise DataError(packed.damaged(file, error)) from error


def _is_archive(file: Path) -> bool:
    return file.suffix.lower() == ".npz"


def _only_member(file: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1:
        found = ", ".join(member.filename for member in members[:5])
        raise DataError(Fault("E204", "not one array", "save one array a file", "1 array", found, file))
    if members[0].compress_type not in PACKINGS:
        found = f"method {members[0].compress_type}"
        raise DataError(Fault("E104", "packed in a way that is not read", "save it with numpy.savez", "", found, file))
    return members[0]


def _header(file: Path, stream: IO[bytes]) -> _Stored:
    try:
        version = npy.read_magic(stream)
        if version != VERSION:
            raise ValueError(f"version {version} of the format")
        shape, is_fortran, dtype = npy.read_array_header_1_0(stream)
    except NOT_A_HEADER as error:
        what = f"not an array of numbers ({str(error).splitlines()[0]})"
        raise DataError(Fault("E104", what, "save it with numpy.save, without objects", file=file)) from error
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        fix = "store one real number a voxel (integers or floats of up to 64 bits), without objects"
        what = "values of this type are not intensities or labels"
        raise DataError(Fault("E205", what, fix, "", str(dtype), file))
    if min(shape, default=1) < 0:
        raise DataError(Fault("E104", "not an array", "save it again", "sizes above 0", str(shape), file))
    stored = _Stored(dtype, tuple(int(n) for n in shape), bool(is_fortran), stream.tell())
    on_disk = file.stat().st_size
    if not _is_archive(file) and on_disk < stored.offset + stored.n_bytes:
        raise DataError(packed.truncated(file, stored.n_bytes, on_disk - stored.offset))
    return stored


def _grid(path: Path, stored: _Stored, index: int | None, label: bool = False) -> tuple[int, int, int]:
    """(X, Y, Z) of the whole array, or of one item of a stack."""
    shape = stored.shape
    if index is not None:
        if index >= (*shape, 0)[0]:
            raise DataError(Fault("E101", "no such item in the stack", "check the index", f"below {shape[:1]}",
                                  str(index), path))  # fmt: skip
        shape = shape[1:]
    sizes = [n for n in shape if n != 1]
    if len(sizes) > 3 or 0 in sizes:
        fix = "store one volume a file, or name one with ::<index>"
        raise DataError(Fault("E204", "not one picture or volume", fix, "2 or 3 axes", str(shape), path))
    is_short = stored.dtype.kind == "u" and stored.dtype.itemsize <= 2
    if is_short and len(sizes) == 3 and min(sizes[:2]) >= SMALLEST_PICTURE and sizes[2] in COLOURS:
        fix = "save it as PNG, or a volume of so few slices as NIfTI"
        raise DataError(Fault("E205", "a picture in colours", fix, "one number a pixel", str(shape), path))
    file, _ = member_of(path)
    packed.refuse_oversize(file, stored.dtype.itemsize * math.prod(sizes), packed=True, label=label)
    rows, columns, pages = [*sizes, 1, 1, 1][:3]
    return (rows, columns, pages) if len(sizes) == 3 else (columns, rows, 1)


def _mapped(file: Path, stored: _Stored, index: int | None) -> npt.NDArray:
    order: Literal["F", "C"] = "F" if stored.is_fortran else "C"
    array = np.memmap(file, stored.dtype, "r", stored.offset, stored.shape, order)
    return array if index is None else array[index]


def _unpacked(file: Path, stream: IO[bytes], stored: _Stored) -> npt.NDArray:
    content = stream.read(stored.n_bytes)
    excess = stream.read(1)  # to the end, where zipfile compares the check sum
    if len(content) < stored.n_bytes or excess:
        raise DataError(packed.truncated(file, stored.n_bytes, len(content)))
    return np.frombuffer(content, stored.dtype).reshape(stored.shape, order="F" if stored.is_fortran else "C")
