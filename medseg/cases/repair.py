"""A repaired copy of a data set, where a repair cannot change what an image or a label means."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from medseg import files
from medseg.cases.case import Case
from medseg.cases.check_all import Check
from medseg.errors import DataError, Fault, MedsegError
from medseg.geometry import Geometry
from medseg.labels import WHITE, is_smeared
from medseg.volumes import Volume, read_volume, write_volume
from medseg.volumes.label_map import LOSSY, read_label
from medseg.volumes.member import member_of
from medseg.volumes.packed import GZIP_MARK

NIFTI = (".nii", ".nii.gz")
PICTURES = (".png", *LOSSY)
HALF = 128
CHANGES = "changes.csv"
SMEARED, FRACTIONS = "E306", "E303"
WRITTEN = {"W207": "both forms are the sform now; the qform differed a little", "W209": "written in millimetres"}
Change = dict[str, str]


def write_repaired(check: Check, root: str | Path, out: str | Path) -> list[Change]:
    """Copy a data set to a new folder, without what belongs to no case, and repair what is safe to repair.

    Repaired in NIfTI files: a gzip stream named ``.nii`` (and the other way round), metres and microns to millimetres,
    a qform that differs a little from the sform, integers stored as 0.9999, a label whose grid is its image's but for
    rounding. Repaired in pictures and stacks of numpy: a mask of 0 and 255 (0 and 1) whose edges were smeared is split
    in the middle; that of a JPEG becomes a PNG, where files are matched by name. Everything else is copied byte for
    byte; the source is never touched. Every change is listed in ``changes.csv``.

    Args:
        check: what `check_data_set` found.
        root: the folder that was checked.
        out: the copy; it does not exist yet, or is empty, and lies outside `root`.

    Returns:
        The changes: ``case, file, change``.

    Raises:
        DataError: E503, `out` is in the way, or lies in the source.
        MedsegError: E701, it cannot be written.
    """
    root, out = Path(root), Path(out)
    _refuse_place(root, out)
    try:
        return _write(check, root, out)
    except OSError as error:
        fix = "free some space, or choose a folder that you may write to"
        raise MedsegError(Fault("E701", f"cannot write: {error.strerror or error}", fix, file=out)) from error


def _write(check: Check, root: Path, out: Path) -> list[Change]:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp") as temporary:
        copy = Path(temporary) / "whole"
        _copy(root, copy, {path for path, _ in check.data_set.ignored.items()})
        changes: list[Change] = []
        for each in tqdm(check.cases, "repairing", unit="case", disable=None):
            changes += _repair_case(each.case, root, copy)
            if any(fault.code == SMEARED for fault in each.faults):
                changes += _sharpened(each.case, root, copy, by_name=check.data_set.layout != "csv_pairs")
        changes += _sharpened_stacks(check, root, copy)
        files.write_csv(copy / CHANGES, changes, ("case", "file", "change"))
        copy.replace(out)
    return changes


def _refuse_place(root: Path, out: Path) -> None:
    if root.resolve() in (out.resolve(), *out.resolve().parents):
        fix = "choose a folder outside the data set"
        raise DataError(Fault("E503", "the copy would lie in its source", fix, found=str(out), file=root))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        fix = "choose a new folder"
        raise DataError(Fault("E503", "something stands here already", fix, "no folder, or an empty one", file=out))


def _copy(root: Path, copy: Path, ignored: set[Path]) -> None:
    """Every regular file but those that belong to no case, with rights of its own."""
    for here, folders, names in os.walk(root):
        folder = Path(here).relative_to(root)
        folders[:] = [name for name in folders if folder / name not in ignored]
        (copy / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            if folder / name not in ignored and (root / folder / name).is_file():
                shutil.copyfile(root / folder / name, copy / folder / name)


def _repair_case(case: Case, root: Path, copy: Path) -> list[Change]:
    changes: list[Change] = []
    grid: Geometry | None = None
    for path in (*case.images, *case.labels):
        target = copy / path.relative_to(root) if path.is_file() else None
        if target is None or not target.name.lower().endswith(NIFTI):
            continue
        found, what = _sound(target)
        if found is None:
            continue
        if path in case.labels:
            found, more = _as_label(target, found, grid)
            what += more
        elif grid is None:
            grid = found.geometry
        if what:
            write_volume(target, found)
            changes += [{"case": case.id, "file": str(target.relative_to(copy)), "change": each} for each in what]
    return changes


def _sharpened(case: Case, root: Path, copy: Path, by_name: bool) -> list[Change]:
    """Masks of 0 and 255 again, where JPEG or resizing left values between."""
    changes = []
    for path in case.labels:
        target, is_lossy = copy / path.relative_to(root), path.suffix.lower() in LOSSY
        if path.suffix.lower() not in PICTURES or (is_lossy and not by_name):
            continue
        try:
            array = read_volume(target, label=True).array
        except DataError:
            continue
        if not is_smeared(array):
            continue
        between = np.count_nonzero((array > 0) & (array < WHITE)) / array.size
        mask = np.where(array[..., 0] >= HALF, WHITE, 0).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(mask.T)).save(stream, "PNG")
        target.unlink()
        target = target.with_suffix(".png") if is_lossy else target
        files.write_bytes(target, stream.getvalue())
        what = f"values between 0 and 255 ({100 * between:.2g} % of the pixels) were split at {HALF}"
        changes.append({"case": case.id, "file": str(target.relative_to(copy)), "change": what})
    return changes


def _sharpened_stacks(check: Check, root: Path, copy: Path) -> list[Change]:
    """Stacks of masks of 0 and 1 again, where resizing left values between."""
    fractional = [each.case for each in check.cases if any(fault.code == FRACTIONS for fault in each.faults)]
    members = [(member_of(path), case.id) for case in fractional for path in case.labels]
    stacks = {file: case for (file, index), case in reversed(members) if index is not None and file.suffix == ".npy"}
    changes = []
    for file, case in stacks.items():
        target = copy / file.relative_to(root)
        stack = np.load(target, allow_pickle=False)
        between = (stack > 0) & (stack < 1)
        is_mask = stack.dtype.kind == "f" and stack.min() == 0 and stack.max() == 1
        if not is_mask or np.count_nonzero(between) > np.count_nonzero(stack == 1):
            continue  # of probabilities nobody knows where to split them
        stream = io.BytesIO()
        np.save(stream, (stack >= 0.5).astype(np.uint8))
        files.write_bytes(target, stream.getvalue())
        what = f"values between 0 and 1 ({100 * between.mean():.2g} % of the pixels) were split at 0.5"
        changes.append({"case": case, "file": str(target.relative_to(copy)), "change": what})
    return changes


def _sound(path: Path) -> tuple[Volume | None, list[str]]:
    """The volume that a file holds and what has to be written anew; None where it cannot be read or trusted."""
    what = []
    with open(path, "rb") as stream:
        is_packed = stream.read(2) == GZIP_MARK
    right = path
    if is_packed != path.name.lower().endswith(".gz"):
        right = path.with_name(f".{path.name}.renamed{'.nii.gz' if is_packed else '.nii'}")
        path.rename(right)
        what.append(f"the name said {'no gzip' if is_packed else 'gzip'}, the content did not")
    try:
        volume = read_volume(right)
    except DataError:
        return None, []
    finally:
        if right != path:
            right.rename(path)
    return replace(volume, notes=()), what + [WRITTEN[note.code] for note in volume.notes if note.code in WRITTEN]


def _as_label(path: Path, volume: Volume, grid: Geometry | None) -> tuple[Volume, list[str]]:
    try:
        label = read_label(path)
    except DataError:
        return volume, []
    what = []
    if volume.array.dtype.kind == "f" and not np.array_equal(volume.array, label.array):
        what.append("values beside an integer were rounded to it")
        volume = Volume(label.array, volume.geometry)
    same = grid is not None and grid.is_same_grid(volume.geometry)
    if grid is not None and same and not np.array_equal(grid.affine, volume.geometry.affine):
        what.append("the affine differed from its image's by rounding and is that now")
        volume = Volume(volume.array, grid)
    return volume, what
