"""ITK's formats: MetaImage (``.mha``, ``.mhd`` with ``.raw``) and NRRD (``.nrrd``, ``.nhdr``).

SimpleITK knows both, but fills a truncated file with zeros, compares no check sum and prints what it dislikes. Their
headers are lines of text: they are read here, and the part that holds the voxels is measured and unpacked whole.

Sources: https://itk.org/Wiki/ITK/MetaIO/Documentation, https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medseg.errors import DataError, Fault
from medseg.geometry import Geometry
from medseg.volumes import packed
from medseg.volumes.affine import refuse_unusable
from medseg.volumes.marks import LONGEST, kind_of
from medseg.volumes.volume import Volume

HEADER_BYTES = 1 << 16
READ_AGAIN = "convert it to NIfTI with the program that wrote it"
META_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
NRRD_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
# which way NRRD's millimetres run, beside RAS
NRRD_SPACES = {
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
}
META_SPACE = (-1, -1, 1)
# both formats' units of length in small letters, in millimetres; where none is told it is the millimetre
MILLIMETRES = {"": 1.0, "?": 1.0, "mm": 1.0, "m": 1000.0, "cm": 10.0} | dict.fromkeys(
    ("um", "\u03bcm", "micron", "microns"), 0.001
)
FROM_THE_END = -1


@dataclass(frozen=True)
class _Header:
    """What a header says of the grid and of the voxels: their file, the byte they begin at (-1: they end with it)."""

    geometry: Geometry
    notes: tuple[Fault, ...]
    dtype: np.dtype
    body: Path
    offset: int
    is_packed: bool


def read_itk(path: Path, label: bool = False) -> Volume:
    """Read one MetaImage or NRRD volume. See `medseg.volumes.read_volume`."""
    header = _header(path)
    content = _content(header, header.dtype.itemsize * math.prod(header.geometry.shape), label)
    array = content.view(header.dtype).reshape(header.geometry.shape, order="F")
    return Volume(array.astype(header.dtype.newbyteorder("="), copy=False), header.geometry, header.notes)


def itk_geometry(path: Path) -> Geometry:
    """The grid alone. See `medseg.volumes.read_geometry`."""
    return _header(path).geometry


def itk_files(path: Path) -> list[Path]:
    """The file, or the header and the file of the voxels."""
    return list(dict.fromkeys((path, _header(path).body)))


def _header(path: Path) -> _Header:
    with open(path, "rb") as stream:
        start = stream.read(HEADER_BYTES)
    return _metaimage(path, start) if path.suffix.lower() in (".mha", ".mhd") else _nrrd(path, start)


def _content(header: _Header, needed: int, label: bool) -> npt.NDArray[np.uint8]:
    packed.refuse_oversize(header.body, needed, header.is_packed, label)
    if not header.is_packed:
        offset = header.body.stat().st_size - needed if header.offset == FROM_THE_END else header.offset
        return packed.read_raw(header.body, offset, needed)
    with open(header.body, "rb") as stream:
        stream.seek(header.offset)
        is_gzip = stream.read(2) == packed.GZIP_MARK
        stream.seek(header.offset)
        read = packed.read_gzip if is_gzip else packed.read_zlib
        return read(stream, header.body, needed)


def _metaimage(path: Path, start: bytes) -> _Header:
    named = re.search(rb"^[ \t]*ElementDataFile[ \t]*=[ \t]*(.*?)[ \t\r]*(?:\n|\Z)", start, re.MULTILINE)
    fields = _fields(rb"^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t\r]*$", start[: named.end() if named else 0])
    if named is None or "ndims" not in fields:
        found = kind_of(start[:LONGEST])
        raise DataError(Fault("E104", "not a MetaImage", READ_AGAIN, "NDims … ElementDataFile", found, path))
    if not _is_true(fields.get("binarydata", "true")):
        raise DataError(Fault("E104", "voxels written as text", READ_AGAIN, "BinaryData = True", "", path))
    kind = META_TYPES.get(fields.get("elementtype", ""))
    if kind is None or fields.get("elementnumberofchannels", "1") != "1":
        raise DataError(_not_a_number(path, fields.get("elementtype", "")))
    is_big = any(_is_true(fields.get(name, "")) for name in ("binarydatabyteordermsb", "elementbyteordermsb"))
    is_packed = _is_true(fields.get("compresseddata", ""))
    sizes = _sizes(path, fields.get("dimsize", ""), fields["ndims"])
    name = named[1].decode("utf-8", "replace")
    body = path if name.upper() == "LOCAL" else _beside(path, name)
    skipped = named.end() if body == path else _skipped(path, fields.get("headersize", "0"), is_packed)
    dtype = np.dtype(kind).newbyteorder(">" if is_big else "<")
    return _Header(*_meta_geometry(path, fields, sizes), dtype, body, skipped, is_packed)


def _meta_geometry(path: Path, fields: dict[str, str], sizes: list[int]) -> tuple[Geometry, tuple[Fault, ...]]:
    n, used = len(sizes), min(len(sizes), 3)
    identity = " ".join(str(float(i == j)) for i in range(n) for j in range(n))
    turn = fields.get("transformmatrix") or fields.get("rotation") or fields.get("orientation") or identity
    origin = fields.get("offset") or fields.get("position") or fields.get("origin") or "0 " * n
    axes = np.array(_numbers(path, "TransformMatrix", turn, n * n)).reshape(n, n)  # a row an axis
    spacing = np.array(_numbers(path, "ElementSpacing", fields.get("elementspacing", ""), n))
    if not np.all(spacing[:used] > 0):
        raise DataError(Fault("E209", "spacing is not a length", "correct the header", "mm above 0", "", path))
    affine = np.eye(4)
    affine[:used, :used] = (axes * spacing[:, None])[:used, :used].T
    affine[:used, 3] = _numbers(path, "Offset", origin, n)[:used]
    notes = _to_millimetres(path, affine, [fields.get("distanceunits", "")] * 3)
    return _grid(path, affine, META_SPACE, sizes), notes


def _nrrd(path: Path, start: bytes) -> _Header:
    end = re.search(rb"\r?\n\r?\n", start)
    fields = _fields(rb"^([\w ]+):[ \t]+(.*?)[ \t\r]*$", start[: end.start() if end else None])
    if not start.startswith(b"NRRD000") or "encoding" not in fields:
        raise DataError(Fault("E104", "not NRRD", READ_AGAIN, "NRRD000…", kind_of(start[:LONGEST]), path))
    encoding, order = fields["encoding"].lower(), fields.get("endian", "").lower()
    if encoding not in ("raw", "gzip", "gz") or _either(fields, "line skip", "0") != "0":
        what = "voxels in an encoding that is not read"
        raise DataError(Fault("E104", what, READ_AGAIN, "raw or gzip, no skipped lines", encoding[:40], path))
    kind = next((kind for kind, names in NRRD_TYPES.items() if fields.get("type", "").lower() in names), None)
    if kind is None:
        raise DataError(_not_a_number(path, fields.get("type", "")))
    if order not in ("little", "big") and kind[1] != "1":
        raise DataError(Fault("E104", "the order of bytes is not told", READ_AGAIN, "endian", "", path))
    sizes = _sizes(path, fields.get("sizes", ""), fields.get("dimension", ""))
    detached = _either(fields, "data file", "")
    body = _beside(path, detached) if detached else path
    skipped = _skipped(path, _either(fields, "byte skip", "0"), encoding != "raw")
    if not detached:
        if end is None:
            raise DataError(packed.truncated(path))
        skipped = skipped if skipped == FROM_THE_END else end.end() + skipped
    dtype = np.dtype(kind).newbyteorder(">" if order == "big" else "<")
    return _Header(*_nrrd_geometry(path, fields, sizes), dtype, body, skipped, encoding != "raw")


def _nrrd_geometry(path: Path, fields: dict[str, str], sizes: list[int]) -> tuple[Geometry, tuple[Fault, ...]]:
    space = NRRD_SPACES.get(fields.get("space", "").lower())
    vectors = re.findall(r"none|\([^()]*\)", fields.get("space directions", ""))
    if space is None or not vectors:
        fix = "write it with its space and space directions; without them left and right cannot be told apart"
        expected = "a space such as left-posterior-superior, and space directions"
        raise DataError(Fault("E208", "no orientation", fix, expected, fields.get("space", "no space")[:40], path))
    if len(vectors) != len(sizes):
        found = f"{len(vectors)} of {len(sizes)}"
        raise DataError(Fault("E104", "unreadable header", READ_AGAIN, "a direction for each axis", found, path))
    if any(vector == "none" and n != 1 for vector, n in zip(vectors, sizes, strict=True)):
        raise DataError(_not_a_number(path, f"an axis without direction, sizes {tuple(sizes)}"))
    placed = [(vector, n) for vector, n in zip(vectors, sizes, strict=True) if vector != "none"]
    affine = np.eye(4)
    for axis, (vector, _) in enumerate(placed[:3]):
        affine[:3, axis] = _numbers(path, "space directions", vector.strip("()"), 3)
    affine[:3, 3] = _numbers(path, "space origin", fields.get("space origin", "(0,0,0)").strip("()"), 3)
    units = re.findall(r'""|[^"\s]+', fields.get("space units", "mm mm mm"))
    notes = _to_millimetres(path, affine, [unit.strip('"') for unit in units])
    return _grid(path, affine, space, [n for _, n in placed]), notes


def _to_millimetres(path: Path, affine: npt.NDArray[np.float64], units: list[str]) -> tuple[Fault, ...]:
    """Convert the affine in place from the units along its three world axes; a note says so."""
    if len(units) != 3 or any(unit.casefold() not in MILLIMETRES for unit in units):
        expected, found = "mm, cm, m or um", " ".join(units)[:40]
        raise DataError(Fault("E209", "unknown unit of length", "correct the header", expected, found, path))
    affine[:3] *= np.array([MILLIMETRES[unit.casefold()] for unit in units])[:, None]
    others = dict.fromkeys(unit for unit in units if MILLIMETRES[unit.casefold()] != 1.0)
    if not others:
        return ()
    what = f"the unit of length was {' and '.join(others)}: converted to millimetres"
    return (Fault("W209", what, "write it in millimetres", file=path),)


def _grid(path: Path, affine: npt.NDArray[np.float64], space: tuple[int, int, int], sizes: list[int]) -> Geometry:
    if any(n != 1 for n in sizes[3:]) or len(sizes) < 2:
        fix = "split it into one file a channel or time point"
        raise DataError(Fault("E204", "not two or three dimensions", fix, "a single volume", str(tuple(sizes)), path))
    affine = np.diag([*space, 1.0]) @ affine
    refuse_unusable(path, affine)
    x, y, z = [*sizes, 1][:3]
    return Geometry(affine, (x, y, z))


def _fields(pattern: bytes, header: bytes) -> dict[str, str]:
    """Names in small letters and their values."""
    found = re.findall(pattern, header, re.MULTILINE)
    return {name.decode("utf-8", "replace").lower(): value.decode("utf-8", "replace") for name, value in found}


def _either(fields: dict[str, str], name: str, default: str) -> str:
    """A field of NRRD that may be written with a space in its name, or without."""
    return fields.get(name, fields.get(name.replace(" ", ""), default))


def _is_true(value: str) -> bool:
    return value[:1].lower() in ("t", "1")


def _sizes(path: Path, text: str, count: str) -> list[int]:
    parts = text.split()
    if not all(re.fullmatch("[0-9]{1,18}", part) for part in parts) or str(len(parts)) != count or "0" in parts:
        raise DataError(Fault("E104", "unreadable header", READ_AGAIN, "sizes from 1 upwards", text[:40], path))
    return [int(part) for part in parts]


def _numbers(path: Path, name: str, text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        fix = "correct the header, or write the file again"
        raise DataError(Fault("E209", f"unreadable {name}", fix, f"{count} numbers", "", path))
    return numbers


def _skipped(path: Path, value: str, is_packed: bool) -> int:
    """The bytes before the voxels; -1 where they end with the file."""
    if not re.fullmatch("-1|[0-9]{1,18}", value) or (is_packed and value != "0"):
        what = "the place of the voxels is not told in a way that is read"
        raise DataError(Fault("E104", what, READ_AGAIN, "a number of bytes, 0 if packed", value[:40], path))
    return int(value)


def _beside(path: Path, name: str) -> Path:
    """The file of the voxels, which lies in its header's folder."""
    if Path(name).name != name:
        fix = "put the voxels beside their header and name them without a folder"
        raise DataError(Fault("E504", "the header names a file elsewhere", fix, "a name alone", name, path))
    other = path.parent / name
    if not other.is_file():
        fix = "copy both files; a list of files is not read"
        raise DataError(Fault("E101", "half of a pair is missing", fix, name, path.name, path))
    return other


def _not_a_number(path: Path, found: str) -> Fault:
    fix = "write one file a channel, of integers or floats"
    return Fault("E205", "not one real number a voxel", fix, "", found[:60], path)
