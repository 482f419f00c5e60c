"""A regular DICOM series, through SimpleITK: one series in a folder, even spacing, no tilt. Everything else is refused.

No text of a header is kept or shown: neither names nor dates nor identifiers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from medseg.errors import DataError, Fault
from medseg.geometry import Geometry
from medseg.volumes import packed
from medseg.volumes.affine import refuse_unusable
from medseg.volumes.elements import MARK, PREAMBLE, refuse_overlong
from medseg.volumes.volume import Volume

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK would print what is raised here, and more

NUMBER_BYTES = {
    sitk.sitkUInt8: 1,
    sitk.sitkInt8: 1,
    sitk.sitkUInt16: 2,
    sitk.sitkInt16: 2,
    sitk.sitkUInt32: 4,
    sitk.sitkInt32: 4,
    sitk.sitkFloat32: 4,
    sitk.sitkFloat64: 8,
}
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM's millimetres run to the left and to the back
POSITION, ORIENTATION, PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"
THICKNESS, PHOTOMETRIC, IMAGE_TYPE = "0018|0050", "0028|0004", "0008|0008"
PATIENT, SERIES, FRAME_OF_REFERENCE = "0010|0020", "0020|000e", "0020|0052"
UNEVEN = 0.01  # of the distance between slices
UNEVEN_MM = 0.1
ROUNDING_MM = 0.02  # positions are often written with two decimals
TILT = 1e-3
UNIT_LENGTH = 1e-3  # how far the length of a direction may be from 1
IN_FULL = "a series that is not regular is not read yet: convert it to NIfTI (dcm2niix) and look at the result"


@dataclass(frozen=True)
class _Slice:
    """What the header of one slice says. `series` and `subject` are compared and never shown."""

    path: Path
    position: npt.NDArray[np.float64]
    directions: npt.NDArray[np.float64]  # of a row and of a column
    spacing: tuple[float, float]  # between columns and between rows
    thickness: list[float]  # which only a single slice needs
    size: tuple[int, int]
    pixel: int  # SimpleITK's type, after rescaling
    series: str
    subject: tuple[str, str]  # patient and frame of reference


def is_series(path: Path) -> bool:
    """Whether a folder holds DICOM slices: one of their suffix, or a first file with their mark."""
    files = _shown(path)
    return any(file.suffix.lower() == ".dcm" for file in files) or any(_has_mark(file) for file in files[:1])


def read_series(folder: Path) -> Volume:
    """Read the one series in a folder. See `medseg.volumes.read_volume`.

    Raises:
        DataError: E609 no series; E604 several, or slices that do not belong together; E601 uneven spacing, a missing
            slice or a tilt; E602 two slices at one place; E605 no place or spacing; E606 an encoding that is not read;
            E102 a damaged slice; E106 too large.
    """
    slices = _slices(folder)
    geometry = _geometry(folder, slices)
    needed = max(NUMBER_BYTES[each.pixel] for each in slices) * math.prod(geometry.shape)
    if needed > packed.MAX_BYTES:
        what, fix = "the headers ask for too much memory", "convert it to NIfTI on a coarser grid"
        expected, found = f"at most {packed.MAX_BYTES} bytes", f"{needed} bytes"
        raise DataError(Fault("E106", what, fix, expected, found, folder))
    kinds = {each.pixel for each in slices}  # SimpleITK would give all slices the type of the first
    try:
        image = sitk.ReadImage(
            [str(each.path) for each in slices], kinds.pop() if len(kinds) == 1 else sitk.sitkFloat64
        )
    except RuntimeError as error:
        fix = "copy the series again; if other programs read it, convert it to NIfTI (dcm2niix)"
        raise DataError(Fault("E102", "a slice cannot be read", fix, file=folder)) from error
    array = sitk.GetArrayFromImage(image).T
    if array.shape != geometry.shape:
        raise DataError(Fault("E606", "not one number a voxel", IN_FULL, str(geometry.shape), str(array.shape), folder))
    return Volume(array.astype(np.float32) if array.dtype == np.float64 else array, geometry)


def series_geometry(folder: Path) -> Geometry:
    """The grid alone. See `medseg.volumes.read_geometry`."""
    return _geometry(folder, _slices(folder))


def series_files(folder: Path) -> list[Path]:
    """All files of the folder but hidden ones and the index of a disc, by name.

    Raises:
        DataError: E609, where they are no series.
    """
    if not is_series(folder):
        raise DataError(_no_series(folder))
    return [path for path in _shown(folder) if path.name.upper() != "DICOMDIR"]


def _slices(folder: Path) -> list[_Slice]:
    """The slices of the one series, from the lowest along its normal upwards."""
    slices = []
    for path in _expected(folder):
        if not path.stat().st_size:
            raise DataError(Fault("E103", "the file is empty", packed.COPY_AGAIN, file=path))
        refuse_overlong(path)
        slices.append(_slice(path))
    if not slices:
        raise DataError(_no_series(folder))
    _refuse_mixture(folder, slices)
    normal = np.cross(*slices[0].directions)
    return sorted(slices, key=lambda each: float(each.position @ normal))


def _slice(path: Path) -> _Slice:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        what, fix = "not a slice, or a damaged one", "copy the series again, alone in its folder"
        raise DataError(Fault("E102", what, fix, file=path)) from error
    columns, rows, *others = reader.GetSize()
    if any(n != 1 for n in others) or reader.GetPixelID() not in NUMBER_BYTES:
        found = "several frames" if any(n != 1 for n in others) else "colours"
        raise DataError(Fault("E606", "not one grey picture", IN_FULL, "", found, path))
    if (photometric := _text(reader, PHOTOMETRIC)) != "MONOCHROME2":
        what = "grey values run backwards (MONOCHROME1)" if photometric == "MONOCHROME1" else "not grey values"
        raise DataError(Fault("E606", what, IN_FULL, "MONOCHROME2", "", path))
    if "MOSAIC" in _text(reader, IMAGE_TYPE).split("\\"):
        raise DataError(Fault("E606", "many slices side by side in one picture (mosaic)", IN_FULL, file=path))
    pixel = reader.GetPixelID()
    packed.refuse_oversize(path, rows * columns * NUMBER_BYTES[pixel], packed=True)
    between_rows, between_columns = _numbers(path, reader, PIXEL_SPACING, 2)
    thickness = _decimals(_text(reader, THICKNESS))
    directions = np.array(_numbers(path, reader, ORIENTATION, 6)).reshape(2, 3)
    if np.abs(directions @ directions.T - np.eye(2)).max() > UNIT_LENGTH:
        raise DataError(Fault("E605", "rows and columns do not stand upright on each other", IN_FULL, file=path))
    return _Slice(
        path, np.array(_numbers(path, reader, POSITION, 3)), directions, (between_columns, between_rows), thickness,
        (columns, rows), pixel, _text(reader, SERIES), (_text(reader, PATIENT), _text(reader, FRAME_OF_REFERENCE)),
    )  # fmt: skip


def _text(reader: sitk.ImageFileReader, tag: str) -> str:
    return reader.GetMetaData(tag).strip("\0 ") if reader.HasMetaDataKey(tag) else ""


def _numbers(path: Path, reader: sitk.ImageFileReader, tag: str, count: int) -> list[float]:
    numbers = _decimals(_text(reader, tag))
    if len(numbers) != count or (tag == PIXEL_SPACING and min(numbers) <= 0):
        name = {POSITION: "position", ORIENTATION: "orientation", PIXEL_SPACING: "pixel spacing"}[tag]
        raise DataError(Fault("E605", f"the slice has no {name}", IN_FULL, f"{count} numbers", "", path))
    return numbers


def _decimals(text: str) -> list[float]:
    """DICOM's numbers in decimals; none where one of them is none."""
    try:
        numbers = [float(part) for part in text.split("\\")]
    except ValueError:
        return []
    return numbers if np.all(np.isfinite(numbers)) else []


def _refuse_mixture(folder: Path, slices: Sequence[_Slice]) -> None:
    n_series = len({each.series for each in slices})
    if n_series > 1:
        fix = "put each series into a folder of its own"
        raise DataError(Fault("E604", "not one series", fix, "1", str(n_series), folder))
    first = slices[0]
    for each in slices:
        for what, differs in (
            ("orientation", np.abs(each.directions - first.directions).max() > TILT),
            ("size", each.size != first.size),
            ("pixel spacing", not np.allclose(each.spacing, first.spacing, rtol=TILT, atol=0)),
            ("patient or frame of reference", each.subject != first.subject),
        ):
            if differs:
                fix = "put the slices that belong together into a folder of their own"
                raise DataError(Fault("E604", f"slices that differ in {what}", fix, "", each.path.name, folder))


def _geometry(folder: Path, slices: Sequence[_Slice]) -> Geometry:
    """The grid of slices in their order along the normal.

    Raises:
        DataError: E601, E602, E605.
    """
    first, last = slices[0], slices[-1]
    normal = np.cross(*first.directions)
    normal /= np.linalg.norm(normal)
    if len(slices) > 1:
        _refuse_irregular(folder, np.array([each.position for each in slices]), normal)
        step = (last.position - first.position) / (len(slices) - 1)
    elif len(first.thickness) == 1 and first.thickness[0] > 0:
        step = first.thickness[0] * normal
    else:
        raise DataError(Fault("E605", "one slice without a thickness", IN_FULL, file=first.path))
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack((*(first.directions * np.array(first.spacing)[:, None]), step))
    affine[:3, 3] = first.position
    refuse_unusable(folder, affine)
    return Geometry(TO_RAS @ affine, (*first.size, len(slices)))


def _refuse_irregular(folder: Path, positions: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]) -> None:
    """Compare (n, 3) positions, sorted along the normal, with even steps along it."""
    along = positions @ normal
    steps = np.diff(along)
    step = (along[-1] - along[0]) / len(steps)
    if steps.min() < UNEVEN * UNEVEN_MM:
        raise DataError(Fault("E602", "two slices at one place", IN_FULL, file=folder))
    off = np.abs(along - (along[0] + step * np.arange(len(along))))
    if off.max() > min(max(UNEVEN * step, ROUNDING_MM), UNEVEN_MM):
        usual = float(np.median(steps))
        worst = int(np.argmax(np.abs(steps - usual)))
        found = f"{steps[worst]:.3f} mm after the slice at {along[worst]:.2f} mm"
        what = "slices are missing or unevenly spaced"
        raise DataError(Fault("E601", what, IN_FULL, f"{usual:.3f} mm", found, folder))
    aside = np.linalg.norm(positions - positions[0] - np.outer(along - along[0], normal), axis=1).max()
    if aside > max(TILT * (along[-1] - along[0]), UNEVEN_MM):
        expected, found = "slices right above each other", f"{aside:.2f} mm aside"
        raise DataError(Fault("E601", "the gantry was tilted", IN_FULL, expected, found, folder))


def _expected(folder: Path) -> list[Path]:
    """The files that must turn out to be slices: those with DICOM's mark, and those named as these are."""
    suffix_of, suffixes = {}, {".dcm"}
    for path in series_files(folder):
        suffix_of[path] = path.suffix.lower().rstrip("0123456789")  # some number their files behind the dot
        if _has_mark(path):
            suffixes.add(suffix_of[path])
    return [path for path, suffix in suffix_of.items() if suffix in suffixes]


def _shown(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _has_mark(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(PREAMBLE + 4)[PREAMBLE:] == MARK


def _no_series(folder: Path) -> Fault:
    return Fault("E609", "no DICOM series in this folder", "name the folder that holds the slices", file=folder)
