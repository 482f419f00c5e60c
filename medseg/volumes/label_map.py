"""A label as a label map: integers, one file or several, on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medseg.errors import DataError, Fault
from medseg.geometry import SAME_GRID_VOXELS, Geometry
from medseg.labels import Labels, as_label_map, is_black_and_white, is_smeared
from medseg.volumes import PICTURES, read_volume
from medseg.volumes.volume import Volume

LOSSY = (".jpg", ".jpeg")


def read_label(paths: str | Path | Sequence[str | Path], labels: Labels | None = None) -> Volume:
    """Read a label: a `Volume` of uint8, uint16 or int32, (X, Y, Z).

    Args:
        paths: a file, or several on one grid whose labels are joined (masks of the left and of the right lung); where
            two of them label a voxel the higher number counts.
        labels: what the values mean. A file of 0 and 255 is noted (W307); it is read as 0 and 1 where 1 is the only
            label.

    Raises:
        DataError: what `read_volume` refuses; E301, E303 and E401 values that are no labels; E306 a JPEG that smeared
            them; E201 or E202, the files are on several grids.
    """
    several = [paths] if isinstance(paths, (str, Path)) else list(paths)
    joined = _read(Path(several[0]), labels)
    for path in several[1:]:
        other = _read(Path(path), labels)
        faults = grid_faults(path, "a part of the label", other.geometry, joined.geometry)
        if faults:
            raise DataError(*faults)
        joined = Volume(np.maximum(joined.array, other.array), joined.geometry, joined.notes + other.notes)
    return joined


def grid_faults(
    path: str | Path, what: str, grid: Geometry, wanted: Geometry, case: str = "", other: str = "its image"
) -> list[Fault]:
    """E201, E202 or E203 where `what`, read from `path`, does not lie on the `wanted` grid, that of `other`."""
    if grid.shape != wanted.shape:
        fix = "export both on one grid"
        return [Fault("E201", f"{what} has another shape than {other}", fix, str(wanted.shape), str(grid.shape),
                      path, case)]  # fmt: skip
    if grid.unit != wanted.unit:
        units = {"mm": "millimetres", "px": "pixels"}
        fix = "store both as volumes, or both as pictures: their axes run in other directions"
        return [Fault("E203", f"{what} has another unit than {other}", fix, units[wanted.unit], units[grid.unit],
                      path, case)]  # fmt: skip
    if wanted.is_same_grid(grid):
        return []
    apart, limit = grid.displacement_mm(wanted), SAME_GRID_VOXELS * min(wanted.spacing_mm)
    fix = f"resample it onto {other}'s grid, or correct the affine that is wrong"
    return [Fault("E202", f"{what} lies elsewhere than {other}", fix, f"corners within {limit:.4g} mm",
                  f"{apart:.4g} mm", path, case)]  # fmt: skip


def _read(path: Path, labels: Labels | None) -> Volume:
    volume = read_volume(path, label=True)
    array = volume.array
    if path.suffix.lower() in LOSSY or (path.suffix.lower() in PICTURES and is_smeared(array, labels)):
        _refuse_smeared(path, array)
    label_map, notes = as_label_map(array, path), volume.notes
    if is_black_and_white(label_map):
        fix = "nothing to do where the task has one label: they are read as 0 and 1"
        notes += (Fault("W307", "masks store 1 as 255", fix, "0 and 1", file=path),)
        if labels is not None and labels.is_binary():
            label_map = (label_map != 0).astype(np.uint8)
    return Volume(label_map, volume.geometry, notes)


def _refuse_smeared(path: Path, array: npt.NDArray) -> None:
    values = np.unique(array)
    if len(values) > 2:
        fix = "export it as PNG from where it was drawn, or let medseg check --fix split the values at the middle"
        what = "the mask is smeared at its edges (JPEG, or resizing that is not nearest neighbour)"
        raise DataError(Fault("E306", what, fix, "a few values", f"{len(values)} values", path))
