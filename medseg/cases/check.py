"""Read one case and say all that is wrong with it, and what it is like."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from medseg.cases.case import Case
from medseg.errors import DataError, Fault
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.volumes import Volume, read_volume
from medseg.volumes.label_map import grid_faults, read_label
from medseg.volumes.member import member_of
from medseg.volumes.nifti import n_volumes

AIR_HU = -500  # a CT that holds nothing darker has no air: its intensities were windowed
FEW_LABELS = 16
PIECE = 1 << 20
WHITE_MASK = "W307"  # told once a data set
WINDOWED, CLIPPED = 2000, 0.002  # HU, and the share of voxels that are at the highest intensity

Fingerprint = tuple[tuple[int, ...], int, int]


@dataclass(frozen=True)
class CheckedCase:
    """What reading a case has shown.

    Attributes:
        case: the case.
        faults: everything that is wrong with it alone, warnings (``W…``) included.
        grid: the grid of its first image; None where that cannot be read.
        channels: intensities a voxel: files, and three for a picture in colours.
        dtype: the type of the first image's voxels as stored.
        lowest, highest: intensities of all channels.
        fingerprint: equal for equal voxels, whatever the file's name, type and compression.
        voxels: label value to number of voxels, 0 included; empty where there is no label or it cannot be read.
        slices: axial slices (of a picture its pages), and how many of them hold label.
        white: the note that the label's files hold 0 and 255, where they do.
    """

    case: Case
    faults: tuple[Fault, ...]
    grid: Geometry | None = None
    channels: int = 0
    dtype: str = ""
    lowest: float = math.nan
    highest: float = math.nan
    fingerprint: Fingerprint | None = None
    voxels: dict[int, int] = field(default_factory=dict)
    slices: int = 0
    labelled_slices: int = 0
    white: Fault | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it has a label that labels nothing."""
        return bool(self.voxels) and not any(value for value in self.voxels)

    def labelled_ml(self) -> float:
        """Volume of everything that is labelled, in ml (in thousands of pixels for a picture)."""
        size = math.prod(self.grid.spacing_mm) if self.grid is not None else 0.0
        return size * sum(n for value, n in self.voxels.items() if value) / 1000


def check_case(case: Case, labels: Labels | None = None) -> CheckedCase:
    """Read a case whole. Label values are compared with `labels`, where they are given."""
    faults: list[Fault] = []
    images = [(path, volume) for path in case.images if (volume := _read(path, case, faults))]
    limits = [(float(image.array.min()), float(image.array.max())) for _, image in images]
    for (path, image), (lowest, highest) in zip(images, limits, strict=True):
        faults += [_of(note, case) for note in image.notes]
        faults += _intensity_faults(path, image.array, lowest, highest, case)
        faults += grid_faults(path, "an image channel", image.geometry, images[0][1].geometry, case.id)
    faults += _channel_faults(case) if images else []
    label = _label(case, labels, faults)
    notes = label.notes if label is not None else ()
    faults += [_of(note, case) for note in notes if note.code != WHITE_MASK]
    if label is not None and images:
        faults += grid_faults(case.labels[0], "the label", label.geometry, images[0][1].geometry, case.id)
    voxels = _count(label.array) if label is not None else {}
    faults += _value_faults(case, voxels, labels)
    if not images:
        return CheckedCase(case, tuple(faults), voxels=voxels)
    first = images[0][1]
    axis = first.geometry.slice_axis
    return CheckedCase(
        case,
        tuple(faults),
        first.geometry,
        sum(1 if image.array.ndim == 3 else len(image.array) for _, image in images),
        str(first.array.dtype),
        min(low for low, _ in limits),
        max(high for _, high in limits),
        _fingerprint([image.array for _, image in images]),
        voxels,
        first.geometry.shape[axis],
        0 if label is None or label.array.ndim != 3 else _labelled_slices(label),
        next((_of(note, case) for note in notes if note.code == WHITE_MASK), None),
    )


def _read(path: Path, case: Case, faults: list[Fault]) -> Volume | None:
    try:
        return read_volume(path)
    except DataError as error:
        faults += [_of(fault, case) for fault in error.faults]
        return None


def _label(case: Case, labels: Labels | None, faults: list[Fault]) -> Volume | None:
    if not case.labels:
        return None
    try:
        return read_label(case.labels, labels)
    except DataError as error:
        faults += [_of(fault, case) for fault in error.faults]
        return None


def _of(fault: Fault, case: Case) -> Fault:
    return Fault(fault.code, fault.what, fault.fix, fault.expected, fault.found, fault.file, case.id)


def _intensity_faults(path: Path, array: npt.NDArray, lowest: float, highest: float, case: Case) -> list[Fault]:
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        bad = np.argwhere(~np.isfinite(array))
        found = f"{len(bad)} voxels, the first at {tuple(int(i) for i in bad[0])}"
        fix = "replace them in the file, or leave the case out"
        return [Fault("E401", "NaN or infinity in the image", fix, "finite intensities", found, path, case.id)]
    if lowest == highest:
        return [Fault("W403", "the image is one single value", "look at it", "a picture", f"{lowest:g}", path, case.id)]
    return _window_faults(path, array, lowest, highest, case) if _is_ct(path, case) else []


def _channel_faults(case: Case) -> list[Fault]:
    """E204 where a file of several channels holds others than the data set names."""
    members = [member_of(path) for path in case.images]
    files = {file for file, index in members if index is not None and file.suffix.lower() in (".nii", ".gz")}
    faults = []
    for file in files:
        named, found = sum(other == file for other, _ in members), n_volumes(file)
        if named != found:
            fix = "name all channels in dataset.json, or write the file with those that it names"
            what = "the file holds other channels than the data set names"
            faults.append(Fault("E204", what, fix, str(named), str(found), file, case.id))
    return faults


def _is_ct(path: Path, case: Case) -> bool:
    """Whether the data set says that this channel is CT."""
    named = [name.strip().casefold() for name in str(case.meta.get("modality", "")).split(",")]
    place = case.images.index(path)
    return (named[place] if len(named) == len(case.images) else named[0]) in ("ct", "computed tomography")


def _window_faults(path: Path, array: npt.NDArray, lowest: float, highest: float, case: Case) -> list[Fault]:
    """W402, where a CT has no air, or where many voxels share a highest intensity that no scanner stops at."""
    clipped = highest < WINDOWED and np.count_nonzero(array == highest) > CLIPPED * array.size
    if lowest <= AIR_HU and not clipped:
        return []
    fix = "use the original images: Hounsfield units that were cut off do not come back"
    expected, found = (
        f"air, below {AIR_HU} HU, and no highest value that many voxels share",
        f"{lowest:g} to {highest:g}",
    )
    return [Fault("W402", "CT whose intensities look windowed", fix, expected, found, path, case.id)]


def _value_faults(case: Case, voxels: dict[int, int], labels: Labels | None) -> list[Fault]:
    if not voxels:
        return []
    path = case.labels[0]
    faults = []
    if not any(voxels) and not case.negative:
        fix = "leave the case out (cases::drop_empty=true), or label it, if there is something to label"
        faults.append(Fault("W302", "the label is empty", fix, file=path, case=case.id))
    left_out = case.meta.get("ignore_value")
    if left_out in voxels:
        fix = "label these voxels, or leave the case out"
        what = "the data set wants voxels to be ignored, which medseg does not do"
        faults.append(
            Fault("E308", what, fix, "no such value", f"{left_out}: {voxels[left_out]} voxels", path, case.id)
        )
    unknown = {} if labels is None else {v: n for v, n in voxels.items() if v not in {*labels.known_values, left_out}}
    if labels is not None and unknown:
        found = ", ".join(f"{value} ({count} voxels)" for value, count in list(unknown.items())[:5])
        fix = "name the value in the bundle's labels, or correct the label"
        expected = str(sorted(labels.known_values))
        faults.append(Fault("E301", "unknown label value", fix, expected, found, path, case.id))
    return faults


def _count(label_map: npt.NDArray[np.integer]) -> dict[int, int]:
    """Value to number of voxels; quick where there are few labels, which is nearly always."""
    highest = int(label_map.max())
    if highest > FEW_LABELS and label_map.dtype.itemsize > 2:
        values, counts = np.unique(label_map, return_counts=True)
        return {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    if highest > FEW_LABELS:  # in pieces, because `numpy.bincount` needs eight bytes a voxel
        flat, total = label_map.ravel(order="K"), np.zeros(highest + 1, np.int64)
        for start in range(0, flat.size, PIECE):
            total += np.bincount(flat[start : start + PIECE], minlength=highest + 1)
        return {int(value): int(total[value]) for value in np.flatnonzero(total)}
    found = {value: int(np.count_nonzero(label_map == value)) for value in range(1, highest + 1)}
    found = {0: label_map.size - sum(found.values())} | found
    return {value: count for value, count in found.items() if count}


def _labelled_slices(label: Volume) -> int:
    others = tuple(axis for axis in range(3) if axis != label.geometry.slice_axis)
    return int(np.count_nonzero(label.array.any(axis=others)))


def _fingerprint(arrays: list[npt.NDArray]) -> Fingerprint:
    """The shape and two check sums of the voxels as float32, which two different images hardly share."""
    crc, adler = 0, 1
    for array in arrays:
        for part in array.T:  # a slice at a time stays in the processor's cache
            content = np.ascontiguousarray(part, np.float32).data.cast("B")
            crc, adler = isal_zlib.crc32(content, crc), isal_zlib.adler32(content, adler)
    return tuple(arrays[0].shape), crc, adler
