"""NIfTI-1 and -2: read whole, geometry checked, written without loss.

nibabel reads the header; medseg adds what it leaves out: the gzip trailer is checked (nibabel misses most single-bit
flips), the size is capped from the header before anything is allocated, and an sform or qform that cannot be trusted is
refused.
"""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError

from medseg import files
from medseg.errors import DataError, Fault
from medseg.geometry import SAME_GRID_VOXELS, Geometry
from medseg.volumes import packed
from medseg.volumes.affine import refuse_unusable
from medseg.volumes.marks import LONGEST, kind_of
from medseg.volumes.member import member_of
from medseg.volumes.volume import Volume

FORM_TOLERANCE_MM = 1.0
ROUNDING_MM = 1e-3  # what single precision leaves of a quaternion, far from the origin
MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # NIfTI's unit codes: unknown, metre, millimetre, micron
UNITS = {1: "metre", 3: "micron"}
PIXELS = b"medseg: the unit of length is the pixel"  # NIfTI has no code for it
REAL_KINDS = "iuf"
SECOND = (b"n+2\0", b"ni2\0")  # the marks of NIfTI-2
LARGEST_HEADER = 540
UNREADABLE = (HeaderDataError, ValueError, OverflowError, IndexError, KeyError)  # what nibabel raises for a bad header
HEADER_SIZES = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))  # the first bytes


@dataclass(frozen=True)
class _Stored:
    """A header, and where the voxels are: `n_bytes` from `offset` of `body`, where `n_volumes` end at `end`."""

    head: Path
    body: Path
    header: nib.Nifti1Header
    is_packed: bool
    shape: tuple[int, int, int]
    n_volumes: int
    offset: int
    n_bytes: int
    end: int


def read_nifti(path: Path, label: bool = False) -> Volume:
    """Read ``.nii``, ``.nii.gz`` or a pair ``.hdr`` and ``.img``. See `medseg.volumes.read_volume`."""
    stored = _open(path)
    packed.refuse_oversize(stored.body, stored.end, stored.is_packed, label)
    if stored.is_packed:
        with open(stored.body, "rb") as stream:
            content = packed.read_gzip(stream, stored.body, stored.end)[stored.offset :][: stored.n_bytes]
        content = content.copy() if stored.n_volumes > 1 else content  # without the others
    else:
        content = packed.read_raw(stored.body, stored.offset, stored.n_bytes)
    voxels = content.view(stored.header.get_data_dtype()).reshape(stored.shape, order="F")
    return Volume(_scaled(voxels, stored.header), *_geometry(stored))


def nifti_geometry(path: Path) -> Geometry:
    """The grid alone. See `medseg.volumes.read_geometry`."""
    return _geometry(_open(path))[0]


def n_volumes(path: Path) -> int:
    """How many volumes (channels or time points) a file holds. Reads the header alone.

    Raises:
        DataError: as `read_nifti`.
    """
    head, header, _ = _read_header(path)
    return math.prod(_extent(head, header)[0][3:])


def nifti_files(path: Path) -> list[Path]:
    """The file, or the two of a pair, header first."""
    path, _ = member_of(path)
    is_pair = path.suffix.lower() in (".hdr", ".img")
    return [_of_pair(path, ".hdr"), _of_pair(path, ".img")] if is_pair else [path]


def write_nifti(path: Path, volume: Volume) -> Path:
    """Write ``.nii`` or ``.nii.gz``: affine as sform and (without shear) qform, millimetres, same bytes each time.

    A grid whose unit is the pixel is written with NIfTI's unknown unit, and as pixels in the description.

    Raises:
        ValueError: the array has another shape than its geometry (a picture in colours).
    """
    array, geometry = volume.array, volume.geometry
    if array.shape != geometry.shape:
        raise ValueError(f"expected an array of its geometry's shape {geometry.shape}, found {array.shape}")
    kept = {"?": np.uint8, "e": np.float32}.get(array.dtype.char)  # NIfTI has neither truth values nor 16-bit floats
    array = array if kept is None else array.astype(kept)
    image = nib.Nifti1Image(array, geometry.affine, dtype=array.dtype)
    image.set_sform(geometry.affine, code=1)
    image.set_qform(geometry.affine, code=1, strip_shears=True)
    if Geometry(image.get_qform(), geometry.shape).displacement_mm(geometry) > 1e-3:
        image.header["qform_code"] = 0
    if geometry.unit == "px":
        image.header.set_xyzt_units("unknown")
        image.header["descrip"] = PIXELS
    else:
        image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    if path.name.lower().endswith(".gz"):
        content = gzip.compress(content, compresslevel=6, mtime=0)
    return files.write_bytes(path, content)


def _of_pair(path: Path, suffix: str) -> Path:
    """The header or the voxels of a pair, whichever of the two `path` names."""
    same_case = suffix.upper() if path.suffix.isupper() else suffix
    other = path.with_suffix(same_case)
    if not other.is_file():
        raise DataError(Fault("E101", "half of a pair is missing", "copy both files", other.name, path.name, path))
    return other


def _open(path: Path) -> _Stored:
    head, header, is_packed = _read_header(path)
    sizes, offset, n_bytes = _extent(head, header)
    shape, n_volumes, index = _shape(path, sizes)
    end, n_bytes = offset + n_bytes, n_bytes // n_volumes
    body = nifti_files(path)[-1]
    return _Stored(head, body, header, is_packed, shape, n_volumes, offset + index * n_bytes, n_bytes, end)


def _read_header(path: Path) -> tuple[Path, nib.Nifti1Header, bool]:
    """The file of the header, the header, and whether the file is packed."""
    head, *rest = nifti_files(path)
    with open(head, "rb") as stream:
        start = stream.read(LARGEST_HEADER)
        is_packed = start.startswith(packed.GZIP_MARK)
        if is_packed != head.name.lower().endswith(".gz"):
            fix, found = "give it the suffix of what it holds", kind_of(start)
            raise DataError(Fault("E104", "the name and the content disagree", fix, head.suffix, found, head))
        if is_packed:
            stream.seek(0)
            start = packed.start_of_gzip(stream, head, LARGEST_HEADER)
    return head, _header(head, start, is_pair=bool(rest)), is_packed


def _header(path: Path, start: bytes, is_pair: bool) -> nib.Nifti1Header:
    if len(start) < LONGEST and start[:4] in HEADER_SIZES:
        raise DataError(packed.truncated(path, LONGEST, len(start)))
    second = start[4:8] in SECOND
    kind = (
        (nib.Nifti2Pair if second else nib.Nifti1Pair) if is_pair else (nib.Nifti2Image if second else nib.Nifti1Image)
    )
    kind = kind.header_class
    if not (second or start[344:348] in (b"n+1\0", b"ni1\0")):
        found = kind_of(start[:LONGEST])
        raise DataError(Fault("E104", "not a NIfTI file", "convert it to NIfTI", "the NIfTI mark", found, path))
    if len(start) < kind.sizeof_hdr:
        raise DataError(packed.truncated(path, kind.sizeof_hdr, len(start)))
    try:
        return kind(start[: kind.sizeof_hdr], check=False)  # without the extensions, which may be of any length
    except UNREADABLE as error:
        raise DataError(Fault("E104", f"unreadable NIfTI header: {error}", "convert it again", file=path)) from error


def _extent(path: Path, header: nib.Nifti1Header) -> tuple[list[int], int, int]:
    """The sizes, where the voxels begin and how many bytes they take (Python integers: no overflow)."""
    try:
        dtype, sizes = header.get_data_dtype(), [int(n) for n in header.get_data_shape()]
        offset = max(int(header.get_data_offset()), header.single_vox_offset if header.is_single else 0)
    except UNREADABLE as error:
        raise DataError(Fault("E104", f"unreadable NIfTI header: {error}", "convert it again", file=path)) from error
    if dtype.kind not in REAL_KINDS or dtype.itemsize > 8:
        fix = "store one real number a voxel (integers or floats of up to 64 bits)"
        raise DataError(Fault("E205", "voxels of this type are not intensities or labels", fix, "", str(dtype), path))
    if not sizes or min(sizes) < 1:
        raise DataError(Fault("E104", "no voxels", "export the volume again", "sizes from 1 upwards", str(sizes), path))
    n_bytes = dtype.itemsize
    for size in sizes:
        n_bytes *= size
    return sizes, offset, n_bytes


def _shape(path: Path, sizes: list[int]) -> tuple[tuple[int, int, int], int, int]:
    """The shape of a volume, how many of them the file holds, and which one is asked for."""
    x, y, z, *more = [*sizes, 1, 1]
    n_volumes, (_, index) = math.prod(more), member_of(path)
    if index is None and n_volumes != 1:
        fix = "name one channel with ::<number>, or split it into one file a channel or time point"
        raise DataError(Fault("E204", "more than three dimensions", fix, "a single volume", str(tuple(sizes)), path))
    if index is not None and index >= n_volumes:
        fix = "correct the number after ::"
        raise DataError(Fault("E101", "no such channel", fix, f"below {n_volumes}", str(index), path))
    return (x, y, z), n_volumes, index or 0


def _scaled(stored: npt.NDArray, header: nib.Nifti1Header) -> npt.NDArray:
    """The stored numbers, or, where the header has a slope, float32 of what that makes of them, slice by slice."""
    slope, inter = (np.float64(header[name]) for name in ("scl_slope", "scl_inter"))
    inter = inter if np.isfinite(inter) else np.float64(0)
    if not np.isfinite(slope) or slope == 0.0 or (slope == 1.0 and inter == 0.0):
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    scaled = np.empty(stored.shape, np.float32, order="F")
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is for the reader's caller to judge
        for z in range(stored.shape[2]):
            scaled[..., z] = stored[..., z] * slope + inter
    return scaled


def _geometry(stored: _Stored) -> tuple[Geometry, tuple[Fault, ...]]:
    """The grid, and what had to be decided or converted for it."""
    header, path = stored.header, stored.head
    code = int(header["xyzt_units"]) & 7
    if code not in MILLIMETRES:
        raise DataError(Fault("E209", "unknown unit of length", "correct the header", "0 to 3", str(code), path))
    forms = _forms(path, header)
    for form in forms:
        form[:3] *= MILLIMETRES[code]
        refuse_unusable(path, form)
    is_pixels = code == 0 and header["descrip"].item() == PIXELS
    grids = [Geometry(form, stored.shape, unit="px" if is_pixels else "mm") for form in forms]
    notes = _compare_forms(path, *grids) if len(grids) == 2 else []
    if MILLIMETRES[code] != 1.0:
        what, fix = f"the unit of length was the {UNITS[code]}: converted to millimetres", "write it in millimetres"
        notes.append(Fault("W209", what, fix, file=path))
    return grids[0], tuple(notes)


def _forms(path: Path, header: nib.Nifti1Header) -> list[npt.NDArray[np.float64]]:
    """The sform, the qform or both, in the header's unit; the first is the one to use."""
    sform, qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if not sform and not qform:
        fix = "set the sform from the scanner's data; without it left and right cannot be told apart"
        raise DataError(Fault("E208", "no orientation: sform and qform are both 0", fix, file=path))
    forms = [np.asarray(header.get_sform(), dtype=np.float64)] if sform else []
    return [*forms, _qform(path, header)] if qform else forms


def _qform(path: Path, header: nib.Nifti1Header) -> npt.NDArray[np.float64]:
    spacing = tuple(float(s) for s in header["pixdim"][1:4])
    if not np.all(np.isfinite(spacing)) or min(spacing) <= 0:
        raise DataError(
            Fault("E209", "spacing is not a length", "correct the header", "mm above 0", str(spacing), path)
        )
    try:
        return np.asarray(header.get_qform(), dtype=np.float64)
    except ValueError as error:  # a quaternion longer than 1
        raise DataError(Fault("E209", f"unreadable qform: {error}", "correct the header", file=path)) from error


def _compare_forms(path: Path, sform: Geometry, qform: Geometry) -> list[Fault]:
    apart = sform.displacement_mm(qform)
    if apart > FORM_TOLERANCE_MM:
        limit, found = f"at most {FORM_TOLERANCE_MM} mm apart", f"{apart:.3f} mm"
        raise DataError(Fault("E207", "sform and qform disagree", "keep the right one of the two", limit, found, path))
    if apart <= max(SAME_GRID_VOXELS * min(sform.spacing_mm), ROUNDING_MM):
        return []
    what, fix = "sform and qform lie apart: the sform is used", "write the right one of the two as both"
    return [Fault("W207", what, fix, found=f"{apart:.3f} mm", file=path)]
