"""Read every case and say all that is wrong, before any training."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from medseg.cases.case import Case
from medseg.errors import DataError, Fault
from medseg.geometry import SAME_GRID_VOXELS, Geometry
from medseg.labels import Labels, as_label_map
from medseg.volumes import Volume, read_volume

logger = logging.getLogger(__name__)

SHOWN = 20


def check_cases(cases: Sequence[Case], labels: Labels | None = None) -> list[Fault]:
    """All faults of all cases, in the cases' order. Reads every file; label values are compared with `labels`."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = pool.map(lambda case: check_case(case, labels), cases)
        return [fault for faults in tqdm(found, "checking", len(cases), unit="case", disable=None) for fault in faults]


def refuse_faulty(cases: Sequence[Case], labels: Labels | None = None) -> None:
    """Raise one DataError that lists the faults of all cases, if there are any."""
    faults = check_cases(cases, labels)
    if faults:
        rest = [Fault("E600", f"{len(faults) - SHOWN} more faults", "mend these first")] if len(faults) > SHOWN else []
        raise DataError(*faults[:SHOWN], *rest)


def check_case(case: Case, labels: Labels | None = None) -> list[Fault]:
    """Everything that is wrong with one case."""
    faults: list[Fault] = []
    images = [(path, volume) for path in case.images if (volume := _read(path, case, faults))]
    for path, image in images:
        faults += _intensity_faults(path, image, case)
        faults += _grid_faults(path, "an image channel", image.geometry, images[0][1].geometry, case)
    label = _read(case.label, case, faults) if case.label is not None else None
    if case.label is None or label is None:
        return faults
    if images:
        faults += _grid_faults(case.label, "the label", label.geometry, images[0][1].geometry, case)
    return faults + _label_faults(case.label, label, labels, case)


def _read(path: Path, case: Case, faults: list[Fault]) -> Volume | None:
    try:
        return read_volume(path)
    except DataError as error:
        faults += [Fault(f.code, f.what, f.fix, f.expected, f.found, f.file, case.id) for f in error.faults]
        return None


def _intensity_faults(path: Path, image: Volume, case: Case) -> list[Fault]:
    if image.array.dtype.kind != "f":
        return []
    bad = np.argwhere(~np.isfinite(image.array))
    if not len(bad):
        return []
    found = f"{len(bad)} voxels, the first at {tuple(int(i) for i in bad[0])}"
    fix = "replace them in the file, or leave the case out"
    return [Fault("E401", "NaN or infinity in the image", fix, "finite intensities", found, path, case.id)]


def _grid_faults(path: Path, what: str, grid: Geometry, image: Geometry, case: Case) -> list[Fault]:
    if grid.shape != image.shape:
        fix = "export both on one grid"
        return [Fault("E201", f"{what} has another shape than its image", fix, str(image.shape), str(grid.shape),
                      path, case.id)]  # fmt: skip
    if image.is_same_grid(grid):
        return []
    apart, limit = grid.displacement_mm(image), SAME_GRID_VOXELS * min(image.spacing_mm)
    fix = "resample it onto its image's grid, or correct the affine that is wrong"
    return [Fault("E202", f"{what} lies elsewhere than its image", fix, f"corners within {limit:.4g} mm",
                  f"{apart:.4g} mm", path, case.id)]  # fmt: skip


def _label_faults(path: Path, label: Volume, labels: Labels | None, case: Case) -> list[Fault]:
    try:
        label_map = as_label_map(label.array, path, case.id)
    except DataError as error:
        return list(error.faults)
    values, counts = np.unique(label_map, return_counts=True)
    if not values.any() and not case.negative:
        logger.warning("[W302] case=%s %s: the label is empty", case.id, path)
    if labels is None:
        return []
    unknown = [(int(v), int(n)) for v, n in zip(values, counts, strict=True) if int(v) not in labels.known_values]
    if not unknown:
        return []
    found = ", ".join(f"{value} ({count} voxels)" for value, count in unknown[:5])
    fix = "name the value in the bundle's labels, or correct the label"
    return [Fault("E301", "unknown label value", fix, str(sorted(labels.known_values)), found, path, case.id)]
