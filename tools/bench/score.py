"""`medseg score` on many cases: two processes against one, and memory as cases grow more.

Goals, for volumes of 256 x 256 x 96 voxels with three labels, on two cores:
- two processes score 500 cases at least 1.7 times as quick as one, start-up and tables included;
- 500 cases take at most 1.05 times the memory that 50 take: that of the cases in flight.

The volumes are made here: organs of ellipsoids, predictions that are the reference moved by some voxels and eaten away
at its border. A few are written, and linked under as many names as there are cases. Wall time, one thread a process,
files in the system's page cache; what is compared runs alternately, ratios are medians over rounds. Memory is the
largest sum of what the command and its processes hold.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medseg.geometry import Geometry
from medseg.volumes import Volume, write_volume

SHAPE = (256, 256, 96)
SPACING_MM = (1.5, 1.5, 3.0)
LABELS = "background=0,liver=1,spleen=2,kidney=3"
KINDS = ("predictions", "references")
MADE, MANY, FEW = 10, 500, 50
ROUNDS = 3
EVERY_S = 0.05
Row = tuple[str, float, str, float]


def main() -> None:
    """Print every ratio beside its goal; exit 1 where one is missed."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for count in (FEW, MANY):
            write_cases(root / str(count), count)
        rows = [*processes(root), *memory(root)]
    for name, value, sense, goal in rows:
        print(f"{name:56s} {value:8.2f}  (goal {sense} {goal})")
    if not all(value <= goal if sense == "<=" else value >= goal for _, value, sense, goal in rows):
        sys.exit(1)


def write_cases(folder: Path, count: int) -> None:
    """`count` pairs of files, in ``predictions/`` and ``references/``."""
    grid = Geometry(np.diag([*SPACING_MM, 1.0]), SHAPE)
    for number in range(count):
        made = [folder / kind / f"case_{number:04d}.nii.gz" for kind in KINDS]
        if number < MADE:
            reference = organs(number)
            for path, array in zip(made, (worse(reference, number), reference), strict=True):
                write_volume(path, Volume(array, grid))
        else:
            for path in made:
                os.link(path.with_name(f"case_{number % MADE:04d}.nii.gz"), path)


def organs(seed: int) -> npt.NDArray[np.uint8]:
    """Three ellipsoids."""
    rng = np.random.default_rng(seed)
    place, found = np.indices(SHAPE), np.zeros(SHAPE, np.uint8)
    for label, (x, size) in enumerate(((0.3, 0.22), (0.6, 0.12), (0.8, 0.08)), start=1):
        centre = np.array(SHAPE) * (x, *rng.uniform(0.45, 0.55, 2))
        half = np.array(SHAPE) * size * rng.uniform(0.9, 1.3, 3)
        found[sum(((p - c) / h) ** 2 for p, c, h in zip(place, centre, half, strict=True)) < 1] = label
    return found


def worse(reference: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.uint8]:
    """Moved by a voxel or two, with waves cut out of it."""
    moved = np.roll(reference, (seed % 3, 1 - seed % 2, 0), axis=(0, 1, 2))
    x, y, z = np.indices(SHAPE, sparse=True)
    moved[(np.sin(0.4 * x) + np.sin(0.5 * y) + np.sin(0.6 * z) + 0 * moved) > 2.2] = 0
    return moved


def processes(root: Path) -> list[Row]:
    """The time of one process over that of two."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(ROUNDS):
        for workers in (1, 2) if number % 2 else (2, 1):
            start = time.perf_counter()
            subprocess.run(command(root, MANY, workers), check=True, capture_output=True)
            seconds[workers].append(time.perf_counter() - start)
    for workers, found in seconds.items():
        print(f"  {MANY} cases, {workers} process{'es' if workers > 1 else '  '} {statistics.median(found):8.2f} s")
    ratio = statistics.median(one / two for one, two in zip(seconds[1], seconds[2], strict=True))
    return [("one process / two processes", ratio, ">=", 1.7)]


def memory(root: Path) -> list[Row]:
    """The peak with many cases over that with few."""
    peaks = {count: peak_mib(root, count) for count in (FEW, MANY)}
    for count, peak in peaks.items():
        print(f"  peak memory of all processes, {count:4d} cases {peak:8.1f} MiB")
    return [(f"peak memory, {MANY} cases / {FEW} cases", peaks[MANY] / peaks[FEW], "<=", 1.05)]


def peak_mib(root: Path, count: int) -> float:
    """The largest sum of resident memory of a command with two processes."""
    running = subprocess.Popen(command(root, count, 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while running.poll() is None:
        peak = max(peak, sum(resident_kib(pid) for pid in family(running.pid)))
        time.sleep(EVERY_S)
    if running.returncode:
        raise RuntimeError("the command failed")
    return peak / 1024


def command(root: Path, count: int, workers: int) -> list[str]:
    """`medseg score` of so many cases."""
    folders = [str(root / str(count) / kind) for kind in KINDS]
    options = ["--labels", LABELS, "--out", str(root / f"scores_{count}_{workers}"), "--workers", str(workers)]
    return [sys.executable, "-m", "medseg.cli", "score", *folders, *options]


def family(pid: int) -> list[int]:
    """A process and its children."""
    try:
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except FileNotFoundError:
        return []


def resident_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


if __name__ == "__main__":
    main()
