"""Disk to array and geometry, and back: `read_volume` reads one volume of any kind, `write_volume` mirrors it."""

from __future__ import annotations

from pathlib import Path

from medseg.errors import DataError, Fault
from medseg.volumes.nifti import read_nifti, write_nifti
from medseg.volumes.volume import Volume

__all__ = ["Volume", "read_volume", "write_volume"]

READERS = {".nii": read_nifti, ".nii.gz": read_nifti}
WRITERS = {".nii": write_nifti, ".nii.gz": write_nifti}


def is_volume(path: str | Path) -> bool:
    """Whether the name says that `read_volume` reads it; hidden files (``._x.nii.gz``) are not volumes."""
    name = Path(path).name
    return not name.startswith(".") and _suffix(name) in READERS


def stem(path: str | Path) -> str:
    """The file's name without its volume suffix: ``liver_1.nii.gz`` gives ``liver_1``."""
    name = Path(path).name
    return name[: len(name) - len(_suffix(name))]


def read_volume(path: str | Path) -> Volume:
    """Read one volume whole: its array as stored (scaled where the header says so) and its geometry.

    Args:
        path: a NIfTI file (``.nii``, ``.nii.gz``).

    Raises:
        DataError: the file is missing, damaged, too large, of no known kind, or its geometry cannot be trusted.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(Fault("E101", "no such file", "check the path", file=path))
    reader = READERS.get(_suffix(path.name))
    if reader is None:
        raise DataError(_unknown(path, READERS))
    try:
        return reader(path)
    except OSError as error:
        fix = "check the permissions and the disk"
        raise DataError(Fault("E101", f"cannot be read: {error.strerror or error}", fix, file=path)) from error


def write_volume(path: str | Path, volume: Volume) -> Path:
    """Write a volume so that `read_volume` gives the same array and geometry; atomic. Returns the path."""
    writer = WRITERS.get(_suffix(Path(path).name))
    if writer is None:
        raise DataError(_unknown(Path(path), WRITERS))
    return writer(Path(path), volume)


def _unknown(path: Path, known: dict) -> Fault:
    return Fault("E104", "not a kind of volume that medseg knows", "convert it", " or ".join(known), path.name, path)


def _suffix(name: str) -> str:
    lower = name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else Path(lower).suffix
