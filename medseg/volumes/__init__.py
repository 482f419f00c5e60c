"""Disk to array and geometry, and back: `read_volume` reads one volume of any kind, `write_volume` mirrors it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from medseg import files
from medseg.errors import DataError, Fault
from medseg.geometry import Geometry
from medseg.volumes import packed
from medseg.volumes.arrays import array_geometry, read_array
from medseg.volumes.member import member_of
from medseg.volumes.nifti import nifti_files, nifti_geometry, read_nifti, write_nifti
from medseg.volumes.picture import is_picture, picture_geometry, read_picture, write_mask
from medseg.volumes.volume import Volume

__all__ = ["Volume", "digest", "is_volume", "mask_suffix", "read_geometry", "read_volume", "stem", "write_volume"]

NIFTI = (".nii", ".nii.gz", ".hdr", ".img")
ITK = (".mha", ".mhd", ".nrrd", ".nhdr")
ARRAYS = (".npy", ".npz")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp")
KNOWN = NIFTI + ITK + ARRAYS + PICTURES
WRITERS = {".nii": write_nifti, ".nii.gz": write_nifti, ".png": write_mask}
MASKS = (".nii.gz", ".png")  # of predictions
SECOND_HALVES = (".img",)  # the voxels of a pair, whose header stands for both


class _Kind(NamedTuple):
    """How one kind of volume is read: whole, its grid alone, and which files hold it."""

    read: Callable[[Path], Volume]
    geometry: Callable[[Path], Geometry]
    files: Callable[[Path], list[Path]]


def is_volume(path: str | Path) -> bool:
    """Whether the name says that `read_volume` reads it; hidden files (``._x.nii.gz``) are not volumes."""
    name = Path(path).name
    suffix = _suffix(name)
    return not name.startswith(".") and suffix in KNOWN and suffix not in SECOND_HALVES


def stem(path: str | Path) -> str:
    """The file's name without its volume suffix: ``liver_1.nii.gz`` gives ``liver_1``."""
    name = Path(path).name
    return name[: len(name) - len(_suffix(name))]


def read_volume(path: str | Path, label: bool = False) -> Volume:
    """Read one volume whole: its array as stored (scaled where the header says so) and its geometry.

    Args:
        path: NIfTI (``.nii``, ``.nii.gz``, ``.hdr`` with ``.img``; one channel of several as ``x.nii.gz::3``),
            MetaImage, NRRD, a picture (PNG, JPEG, TIFF, GIF, BMP), an array (``.npy``, ``.npz``; one of a stack as
            ``x.npy::12``), or a folder with one DICOM series.
        label: whether it holds labels: the indices of a palette are values then, and colours are refused.

    Raises:
        DataError: the file is missing, damaged, too large, of no known kind, or its geometry cannot be trusted.
    """
    with _system_errors(path):
        return _kind(Path(path), label).read(Path(path))


def read_geometry(path: str | Path) -> Geometry:
    """The grid of what `read_volume` reads, from the header alone: damage of the voxels goes unseen.

    Raises:
        DataError: the file is missing, of no known kind, or its geometry cannot be trusted.
    """
    with _system_errors(path):
        return _kind(Path(path)).geometry(Path(path))


def digest(path: str | Path) -> str:
    """What a volume's content is known by, wherever it lies: that of its file (`medseg.files.digest`).

    An item of a stack is known by the stack's digest and its index. Where several files hold a volume (a header and its
    voxels, the slices of a series), theirs are digested together, in the order of their own digests.

    Raises:
        DataError: the file is missing, or of no known kind.
    """
    with _system_errors(path):
        digests = [files.digest(file) for file in _kind(Path(path)).files(Path(path))]
    _, index = member_of(path)
    if index is not None:
        return f"{digests[0]}::{index}"
    if len(digests) == 1:
        return digests[0]
    return hashlib.blake2b("".join(sorted(digests)).encode(), digest_size=16).hexdigest()


def write_volume(path: str | Path, volume: Volume) -> Path:
    """Write a volume so that `read_volume` gives the same array and geometry; atomic. Returns the path.

    NIfTI takes any; PNG takes label maps of pictures (read with ``label=True``).

    Raises:
        DataError: E104, a file of another kind; E204, no label map of a picture for PNG.
    """
    writer = WRITERS.get(_suffix(Path(path).name))
    if writer is None:
        raise DataError(_unknown(Path(path), WRITERS))
    return writer(Path(path), volume)


def mask_suffix(volume: Volume) -> str:
    """What a prediction's file ends in: ``.png`` for that of a picture, ``.nii.gz`` for any other."""
    return ".png" if is_picture(volume) else ".nii.gz"


def _kind(path: Path, label: bool = False) -> _Kind:
    file, _ = member_of(path)
    if file.is_dir():
        from medseg.volumes import dicom  # SimpleITK takes a moment to start

        return _Kind(dicom.read_series, dicom.series_geometry, dicom.series_files)
    if not file.is_file():
        raise DataError(Fault("E101", "no such file", "check the path", file=path))
    if not file.stat().st_size:
        raise DataError(Fault("E103", "the file is empty", packed.COPY_AGAIN, file=path))
    suffix = _suffix(file.name)
    if suffix in NIFTI:
        return _Kind(functools.partial(read_nifti, label=label), nifti_geometry, nifti_files)
    if suffix in ITK:
        from medseg.volumes import itk

        return _Kind(functools.partial(itk.read_itk, label=label), itk.itk_geometry, itk.itk_files)
    if suffix in ARRAYS:
        return _Kind(functools.partial(read_array, label=label), array_geometry, lambda path: [member_of(path)[0]])
    if suffix in PICTURES:
        return _Kind(functools.partial(read_picture, label=label), picture_geometry, lambda path: [path])
    raise DataError(_unknown(path, KNOWN))


@contextmanager
def _system_errors(path: str | Path) -> Iterator[None]:
    """What the system refuses, as ours."""
    try:
        yield
    except OSError as error:
        fix = "check the permissions and the disk"
        raise DataError(Fault("E101", f"cannot be read: {error.strerror or error}", fix, file=path)) from error


def _unknown(path: Path, known: Iterable[str]) -> Fault:
    what, fix = "not a kind of volume that medseg knows", "convert it"
    if path.suffix.lower() in (".dcm", ".ima"):
        what, fix = "one slice of a series", "name the folder that holds the slices"
    return Fault("E104", what, fix, " or ".join(known), path.name, path)


def _suffix(name: str) -> str:
    lower = name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else Path(lower).suffix
