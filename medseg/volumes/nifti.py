"""NIfTI-1 and -2: read whole, geometry checked, written without loss.

nibabel reads the header and the voxels; medseg adds what it leaves out: the gzip trailer is checked (nibabel misses
most single-bit flips), the size is capped from the header before anything is allocated, and an sform or qform that
cannot be trusted is refused.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError

from medseg import files
from medseg.errors import DataError, Fault
from medseg.geometry import Geometry
from medseg.volumes.volume import Volume

logger = logging.getLogger(__name__)

MAX_BYTES = 4 << 30
MAX_EXPANSION = 1100  # deflate cannot expand a stream more than about 1,032 times
MAX_EXCESS = 64 << 20  # bytes after the voxels; a gzip bomb goes on and on
FORM_TOLERANCE_MM = 1.0
MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # NIfTI's unit codes: unknown, metre, millimetre, micron
REAL_KINDS = "iuf"
SMALLEST_MM = 1e-6  # no voxel is smaller
SINGULAR = 1e-6  # of the product of the axes' lengths: no usable affine has so small a determinant


def read_nifti(path: Path) -> Volume:
    """Read ``.nii`` or ``.nii.gz``. See `medseg.volumes.read_volume`."""
    with open(path, "rb") as stream:
        mark = stream.read(2)
    if not mark:
        raise DataError(_empty(path))
    packed = mark == b"\x1f\x8b"
    if packed != path.name.lower().endswith(".gz"):
        found = "gzip" if packed else "no gzip"
        raise DataError(Fault("E104", "the name and the content disagree", "rename the file", path.suffix, found, path))
    header = _header(path, packed)
    offset, n_bytes = _extent(path, header)
    _refuse_oversize(path, offset + n_bytes, packed)
    content = _unpack(path, offset + n_bytes) if packed else _start(path, offset + n_bytes)
    if len(content) < offset + n_bytes:
        raise DataError(_truncated(path, offset + n_bytes, len(content)))
    shape = _shape(path, header)
    stored = np.frombuffer(content, header.get_data_dtype(), int(np.prod(shape)), offset)
    array = _scaled(stored.reshape(shape, order="F"), header)
    return Volume(array, Geometry(_affine(path, header, shape), shape))


def write_nifti(path: Path, volume: Volume) -> Path:
    """Write ``.nii`` or ``.nii.gz``: affine as sform and (without shear) qform, millimetres, same bytes each time."""
    array = volume.array.astype(np.uint8) if volume.array.dtype == bool else volume.array
    image = nib.Nifti1Image(array, volume.geometry.affine)
    image.set_sform(volume.geometry.affine, code=1)
    image.set_qform(volume.geometry.affine, code=1, strip_shears=True)
    if Geometry(image.get_qform(), volume.geometry.shape).displacement_mm(volume.geometry) > 1e-3:
        image.header["qform_code"] = 0
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    if path.name.lower().endswith(".gz"):
        content = gzip.compress(content, compresslevel=6, mtime=0)
    return files.write_bytes(path, content)


def _header(path: Path, packed: bool) -> nib.Nifti1Header:
    try:
        start = _start(path, 540, packed)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(_damaged(path, error)) from error
    if not start:
        raise DataError(_empty(path))
    kind = nib.Nifti2Header if len(start) >= 540 and start[4:8] in (b"n+2\0", b"ni2\0") else nib.Nifti1Header
    if len(start) < kind.sizeof_hdr or (kind is nib.Nifti1Header and start[344:348] not in (b"n+1\0", b"ni1\0")):
        raise DataError(Fault("E104", "not a NIfTI file", "convert it to NIfTI", "the NIfTI mark", "none", path))
    try:
        return kind(start[: kind.sizeof_hdr], check=False)  # without the extensions, which may be of any length
    except (HeaderDataError, ValueError) as error:
        raise DataError(Fault("E104", f"unreadable NIfTI header: {error}", "convert it again", file=path)) from error


def _extent(path: Path, header: nib.Nifti1Header) -> tuple[int, int]:
    """Where the voxels begin and how many bytes they take, from the header alone (Python integers: no overflow)."""
    try:
        dtype, sizes = header.get_data_dtype(), [int(n) for n in header.get_data_shape()]
        offset = max(int(header.get_data_offset()), header.single_vox_offset)
    except (HeaderDataError, ValueError, OverflowError, IndexError) as error:
        raise DataError(Fault("E104", f"unreadable NIfTI header: {error}", "convert it again", file=path)) from error
    if dtype.kind not in REAL_KINDS or dtype.itemsize > 8:
        fix = "store one real number a voxel (integers or floats of up to 64 bits)"
        raise DataError(Fault("E205", "voxels of this type are not intensities or labels", fix, "", str(dtype), path))
    if not sizes or min(sizes) < 1:
        raise DataError(Fault("E104", "no voxels", "export the volume again", "sizes from 1 upwards", str(sizes), path))
    n_bytes = dtype.itemsize
    for size in sizes:
        n_bytes *= size
    return offset, n_bytes


def _refuse_oversize(path: Path, needed: int, packed: bool) -> None:
    fix = "crop or resample the volume; if it really is this large, raise medseg.volumes.nifti.MAX_BYTES"
    on_disk = path.stat().st_size
    if needed > MAX_BYTES:
        raise DataError(Fault("E106", "the header asks for too much memory", fix, f"at most {MAX_BYTES} bytes",
                              f"{needed} bytes", path))  # fmt: skip
    possible = on_disk * MAX_EXPANSION if packed else on_disk
    if needed > possible:
        raise DataError(_truncated(path, needed, possible))


def _start(path: Path, n_bytes: int, packed: bool = False) -> bytes:
    with gzip.open(path, "rb") if packed else open(path, "rb") as stream:
        return stream.read(n_bytes)


def _unpack(path: Path, needed: int) -> bytes:
    """The first `needed` bytes. Every gzip member is followed to its trailer, so that the check sums are compared."""
    packed, content, excess = path.read_bytes(), b"", 0
    try:
        while packed.startswith(b"\x1f\x8b"):
            member = zlib.decompressobj(wbits=31)
            content += member.decompress(packed, max(needed - len(content), 1))
            while not member.eof:
                rest = len(member.decompress(member.unconsumed_tail, 1 << 20))
                excess += rest
                if excess > MAX_EXCESS:
                    found = f"more than {MAX_EXCESS} bytes after them"
                    raise DataError(Fault("E106", "the file goes on after its voxels", "export the volume again",
                                          f"{needed} bytes", found, path))  # fmt: skip
                if not rest and not member.unconsumed_tail:
                    break
            if not member.eof:
                raise DataError(_truncated(path, needed, len(content)))
            packed = member.unused_data
    except zlib.error as error:
        raise DataError(_damaged(path, error)) from error
    return content


def _shape(path: Path, header: nib.Nifti1Header) -> tuple[int, int, int]:
    sizes = [int(n) for n in header.get_data_shape()]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) > 3:
        fix = "split it into one file a channel or time point"
        raise DataError(Fault("E204", "more than three dimensions", fix, "a single volume", str(tuple(sizes)), path))
    x, y, z = sizes + [1] * (3 - len(sizes))
    return x, y, z


def _scaled(stored: npt.NDArray, header: nib.Nifti1Header) -> npt.NDArray:
    slope, inter = (float(header[name]) for name in ("scl_slope", "scl_inter"))
    if not np.isfinite(slope) or slope == 0.0 or (slope == 1.0 and inter == 0.0):
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    return (stored.astype(np.float64) * slope + (inter if np.isfinite(inter) else 0.0)).astype(np.float32)


def _affine(path: Path, header: nib.Nifti1Header, shape: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    spacing = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    sform, qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if not sform and not qform:
        fix = "set the sform from the scanner's data; without it left and right cannot be told apart"
        raise DataError(Fault("E208", "no orientation: sform and qform are both 0", fix, file=path))
    forms = [np.asarray(header.get_sform(), dtype=np.float64)] if sform else []
    if qform:
        if not np.all(np.isfinite(spacing)) or np.any(spacing <= 0):
            raise DataError(Fault("E209", "spacing is not a length", "correct the header", "mm above 0",
                                  str(tuple(float(s) for s in spacing)), path))  # fmt: skip
        forms.append(np.asarray(_qform(path, header), dtype=np.float64))
    scale = MILLIMETRES.get(int(header["xyzt_units"]) & 7)
    if scale is None:
        code = str(int(header["xyzt_units"]) & 7)
        raise DataError(Fault("E209", "unknown unit of length", "correct the header", "0 to 3", code, path))
    forms = [np.diag([scale, scale, scale, 1.0]) @ form for form in forms]
    for form in forms:
        if not _is_usable(form):
            fix = "correct the header"
            raise DataError(Fault("E209", "the affine cannot be inverted", fix, found=str(form.tolist()), file=path))
    if len(forms) == 2:
        _compare_forms(path, *(Geometry(form, shape) for form in forms))
    return forms[0]


def _is_usable(affine: npt.NDArray[np.float64]) -> bool:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    volume = abs(np.linalg.det(affine[:3, :3])) if np.all(np.isfinite(affine)) else 0.0
    return bool(min(lengths) > SMALLEST_MM and volume > SINGULAR * np.prod(lengths))


def _qform(path: Path, header: nib.Nifti1Header) -> npt.NDArray:
    try:
        return header.get_qform()
    except ValueError as error:  # a quaternion longer than 1
        raise DataError(Fault("E209", f"unreadable qform: {error}", "correct the header", file=path)) from error


def _compare_forms(path: Path, sform: Geometry, qform: Geometry) -> None:
    apart = sform.displacement_mm(qform)
    if apart > FORM_TOLERANCE_MM:
        limit, found = f"at most {FORM_TOLERANCE_MM} mm apart", f"{apart:.3f} mm"
        raise DataError(Fault("E207", "sform and qform disagree", "keep the right one of the two", limit, found, path))
    if apart > 0.01 * min(sform.spacing_mm):
        logger.warning("[W207] %s: sform and qform lie %.3f mm apart; the sform is used", path, apart)


def _truncated(path: Path, needed: int, found: int) -> Fault:
    fix = "copy or download it again"
    return Fault("E102", "the file is truncated", fix, f"{needed} bytes of content", f"at most {found}", path)


def _empty(path: Path) -> Fault:
    return Fault("E103", "the file is empty", "copy or download it again", file=path)


def _damaged(path: Path, error: Exception) -> Fault:
    if isinstance(error, EOFError):
        return Fault("E102", "the file is truncated", "copy or download it again", file=path)
    return Fault("E105", f"the file is damaged ({error})", "copy or download it again", "a sound gzip stream", "", path)
