"""Reading a volume, and a slice of one: ours against MONAI's.

Goals, for CTs of 512 x 512 x 120 voxels of int16 in .nii.gz:
- into memory as int16 at least 4 times as quick as ``LoadImage(dtype=None)``;
- into a float32 tensor with channels first at least 4 times as quick as ``LoadImaged`` and ``EnsureChannelFirstd`` as
  they come;
- each at no more peak memory, above what a process holds that has read a small volume;
- a random axial slice of a random volume, as a tensor of its own (C, X, Y) for a batch, at least 10 times as quick
  from `CachedSlices` as cut from an item of a ``CacheDataset``, and 100 times as quick as from one of a
  ``PersistentDataset``;
- the check of a case (image and label) at most 1.5 times the time of reading its two files: unpacking limits it.

The volumes are made here: air at -1000 HU, a body of fat, muscle, lungs and bone, noise of 12 HU throughout, values
below -1024 cut off, gzip's level 6; how far they shrink is printed. CPU time, one thread, files in the system's page
cache. What is compared runs alternately in one process; ratios are medians over rounds. Peaks are each of a process of
its own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from memory import forget_peak, status_kib
from monai.data import CacheDataset, PersistentDataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImage, LoadImaged

from medseg.caches import CachedSlices
from medseg.cases.case import Case
from medseg.cases.check import check_case
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.transforms import ReadImaged
from medseg.volumes import Volume, read_volume, write_volume

SHAPE = (512, 512, 120)
SPACING_MM = (0.8, 0.8, 2.5)
VOLUMES = 4
NOISE_HU = 12.0
LABELS = Labels({"background": 0, "bone": 1})
THEIRS = Compose([LoadImaged("image"), EnsureChannelFirstd("image")])
OURS = Compose([ReadImaged("image")])
READERS: dict[str, Callable[[str], Any]] = {
    "int16, LoadImage(dtype=None)": lambda path: LoadImage(dtype=None)(path),
    "int16, read_volume": lambda path: read_volume(path).array,
    "float32, LoadImaged": lambda path: THEIRS({"image": path})["image"],
    "float32, ReadImaged": lambda path: OURS({"image": path})["image"],
}
Timed = Callable[[], float]
Row = tuple[str, float, str, float]


def main() -> None:
    """Print every ratio beside its goal; exit 1 where one is missed."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = [write_ct(Path(folder) / f"{number}.nii.gz", SHAPE, number) for number in range(VOLUMES)]
        shrunk = sum(Path(path).stat().st_size for path in paths) / (VOLUMES * np.prod(SHAPE) * 2)
        print(f"{VOLUMES} volumes, {shrunk:.2f} of their size when packed")
        small = write_ct(Path(folder) / "small.nii.gz", (32, 32, 8), 0)
        rows = [*reading(paths), *memory(small, paths[0]), *slices(paths, Path(folder)), *checking(Path(folder))]
    for name, value, sense, goal in rows:
        print(f"{name:56s} {value:8.2f}  (goal {sense} {goal})")
    if not all(value <= goal if sense == "<=" else value >= goal for _, value, sense, goal in rows):
        sys.exit(1)


def write_ct(path: Path, shape: tuple[int, int, int], seed: int) -> str:
    """A body of int16 Hounsfield units between two sides of air."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    array = np.full(shape, -1000, np.float32)
    array[(x / 0.8) ** 2 + (y / 0.6) ** 2 + 0 * z < 1] = -100
    array[(x / 0.74) ** 2 + (y / 0.54) ** 2 + 0 * z < 1] = 50
    array[((abs(x) - 0.36) / 0.26) ** 2 + (y / 0.38) ** 2 + (z - 1) ** 2 < 1] = -850
    array[(x / 0.09) ** 2 + ((y - 0.38) / 0.09) ** 2 + 0 * z < 1] = 600
    array += NOISE_HU * np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    array = np.rint(np.maximum(array, -1024)).astype(np.int16)
    return str(write_volume(path, Volume(array, Geometry(np.diag([*SPACING_MM, 1.0]), shape))))


def reading(paths: list[str]) -> list[Row]:
    """Whole volumes."""
    rows = []
    for _, theirs, ours in pairs():
        if not np.array_equal(np.asarray(READERS[theirs](paths[0])), np.asarray(READERS[ours](paths[0]))):
            raise RuntimeError(f"{theirs} and {ours} differ")
        names = {name: _each(lambda path, read=READERS[name]: read(path), paths[:2]) for name in (theirs, ours)}
        rows.append((f"{theirs} / {ours.split(', ')[1]}", _compare(names, rounds=5), ">=", 4.0))
    return rows


def memory(small: str, path: str) -> list[Row]:
    """The peaks of reading, ours over theirs."""
    rows = []
    for kind, theirs, ours in pairs():
        peaks = {}
        for name in (theirs, ours):
            command = [sys.executable, __file__, name, small, path]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks[name] = int(done.stdout.split()[-1])
            print(f"  peak memory, {name:34s} {peaks[name] / 1024:8.1f} MiB")
        rows.append((f"peak memory, {kind}, ours / theirs", peaks[ours] / peaks[theirs], "<=", 1.0))
    return rows


def pairs() -> list[tuple[str, str, str]]:
    """The kind of result, their reader's name and ours."""
    names = list(READERS)
    return [(theirs.split(",")[0], theirs, ours) for theirs, ours in zip(names[::2], names[1::2], strict=True)]


def peak_kib(name: str, small: str, path: str) -> int:
    """How far reading `path` raises the process's memory, once a small volume has been read."""
    READERS[name](small)
    forget_peak()
    before = status_kib("VmRSS")
    kept = READERS[name](path)
    del kept
    return status_kib("VmHWM") - before


def slices(paths: list[str], folder: Path) -> list[Row]:
    """A random axial slice of a random volume."""
    items = [{"image": path} for path in paths]
    in_memory = CacheDataset(items, THEIRS, progress=False)
    on_disk = PersistentDataset(items, THEIRS, cache_dir=folder / "persistent")
    ours = CachedSlices(items, OURS, folder / "slices")
    for case in range(VOLUMES):  # computed the first time
        on_disk[case]
    rng = np.random.default_rng(0)
    drawn = list(zip(rng.integers(VOLUMES, size=400).tolist(), rng.integers(SHAPE[2], size=400).tolist(), strict=True))
    readers: dict[str, tuple[Callable[[int, int], torch.Tensor], int]] = {
        "CacheDataset": (lambda case, place: in_memory[case]["image"][..., place].contiguous(), 60),
        "PersistentDataset": (lambda case, place: on_disk[case]["image"][..., place].contiguous(), 6),
        "CachedSlices": (lambda case, place: ours[case * SHAPE[2] + place]["image"], 400),
    }
    results = [np.asarray(read(*drawn[0])) for read, _ in readers.values()]
    if not all(np.array_equal(result, results[0]) for result in results):
        raise RuntimeError("the three give different slices")
    names = {name: _each(lambda pair, read=read: read(*pair), drawn[:count]) for name, (read, count) in readers.items()}
    return [
        (f"slice, {name} / CachedSlices", _compare({name: names[name], "ours": names["CachedSlices"]}, 7), ">=", goal)
        for name, goal in (("CacheDataset", 10.0), ("PersistentDataset", 100.0))
    ]


def checking(folder: Path) -> list[Row]:
    """What the check of a case adds to reading it."""
    image = read_volume(folder / "0.nii.gz")
    label = write_volume(folder / "label.nii.gz", Volume((image.array > 0).astype(np.uint8), image.geometry))
    case = Case("0", (folder / "0.nii.gz",), label)
    if check_case(case, LABELS).faults:
        raise RuntimeError("the check finds faults in a sound case")
    names = {
        "check_case": _each(lambda each: check_case(each, LABELS), [case]),
        "read_volume": _each(lambda each: (read_volume(each.images[0]), read_volume(each.label)), [case]),
    }
    return [("check_case / read_volume of both", _compare(names, rounds=5), "<=", 1.5)]


def _each(work: Callable[[Any], object], arguments: list[Any]) -> Timed:
    """CPU seconds that `work` takes for one of `arguments`."""

    def timed() -> float:
        start = time.process_time()
        for argument in arguments:
            work(argument)
        return (time.process_time() - start) / len(arguments)

    return timed


def _compare(pair: dict[str, Timed], rounds: int) -> float:
    """The median over rounds of the time of the first over that of the second; the first round warms up."""
    values: dict[str, list[float]] = {name: [] for name in pair}
    for number in range(rounds + 1):
        for name in list(pair)[:: 1 if number % 2 else -1]:
            values[name].append(pair[name]())
    first, second = (seconds[1:] for seconds in values.values())
    for name, seconds in zip(pair, (first, second), strict=True):
        print(f"  {name:34s} {1000 * statistics.median(seconds):9.2f} ms of CPU time")
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


if __name__ == "__main__":
    if len(sys.argv) == 4:
        torch.set_num_threads(1)
        print(peak_kib(*sys.argv[1:]))
    else:
        main()
