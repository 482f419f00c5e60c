"""Dice, HD95, ASSD and NSD together: ours against MONAI, surface-distance, MedPy and SimpleITK.

Goals, on one thread:
- at least 20 times as quick as MONAI on a CT of 512 x 512 x 120 with 3 labels, 30 times on 160 x 160 x 160 with 14, and
  6 times on pictures of 512 x 512;
- quicker than each of the others on each of these;
- a third of MONAI's peak memory at most.

The label maps are made here: organs with wavy surfaces, predicted with errors of about 1.5 mm that vary smoothly and
one blob a label that lies elsewhere; their memory is laid out as NIfTI's. Ours is given the two label maps. MONAI is
given one-hot tensors, made beforehand, the pictures as one batch. The others are given a mask a label; MedPy has no
NSD. What is not installed is left out (``pip install medpy surface-distance``).

CPU time. What is compared runs alternately in one process; ratios are medians over rounds, of which MONAI has three and
the others one. Peaks are each of a process of its own, above what it held with its input.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
from memory import forget_peak, status_kib
from monai.metrics import DiceMetric, HausdorffDistanceMetric, SurfaceDiceMetric, SurfaceDistanceMetric

from medseg.labels import Labels
from medseg.metrics.overlap import count
from medseg.metrics.surface import surface_distances

TOLERANCE_MM = 1.0
Map = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.float64]
Row = tuple[str, float, str, float]


@dataclass(frozen=True)
class Case:
    """What is scored: `n_pairs` of `shape`, their organs' radii in mm, and how often ours must beat MONAI."""

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    n_labels: int
    radii_mm: tuple[float, float]
    n_pairs: int
    goal: float

    @property
    def labels(self) -> Labels:
        return Labels({"background": 0} | {f"organ {value}": value for value in self.values})

    @property
    def values(self) -> range:
        return range(1, self.n_labels + 1)


CASES = {
    "512x512x120, 3 labels": Case((512, 512, 120), (0.8, 0.8, 2.5), 3, (40.0, 85.0), 1, 20.0),
    "160x160x160, 14 labels": Case((160, 160, 160), (1.5, 1.5, 1.5), 14, (15.0, 40.0), 1, 30.0),
    "512x512, pictures": Case((512, 512), (1.0, 1.0), 1, (40.0, 120.0), 8, 6.0),
}
SMALL = Case((32, 32, 32), (1.0, 1.0, 1.0), 1, (8.0, 10.0), 1, 0.0)


def main() -> None:
    """Print every ratio beside its goal; exit 1 where one is missed."""
    rows = []
    for name, case in CASES.items():
        print(name)
        rows += [*speed(name, case), memory(name)]
    for name, value, sense, goal in rows:
        print(f"{name:56s} {value:8.2f}  (goal {sense} {goal:.2f})")
    if not all(value <= goal if sense == "<=" else value >= goal for _, value, sense, goal in rows):
        sys.exit(1)


def organs(case: Case, seed: int) -> tuple[Map, Map]:
    """A prediction and its reference."""
    rng = np.random.default_rng(seed)
    prediction, reference = (np.zeros(case.shape, np.uint8, order="F") for _ in range(2))
    shape, spacing = np.array(case.shape), np.array(case.spacing_mm)
    for value in case.values:
        radii = np.minimum(rng.uniform(*case.radii_mm, shape.size), 0.38 * shape * spacing)
        centre = rng.uniform(1.3 * radii, shape * spacing - 1.3 * radii)
        waves, phases = rng.normal(0, 1 / 12, (6, shape.size)), rng.uniform(0, 2 * np.pi, 6)
        low, high = ((centre + sign * 1.3 * radii) / spacing for sign in (-1, 1))
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        axes = [np.arange(side.start, side.stop, dtype=np.float32) * mm for side, mm in zip(box, spacing, strict=True)]
        at = np.meshgrid(*axes, indexing="ij", sparse=True)
        depth = np.sqrt(sum(((x - c) / r) ** 2 for x, c, r in zip(at, centre, radii, strict=True)))
        for wave, phase in zip(waves, phases, strict=True):
            depth = depth + 0.03 * np.sin(sum(w * x for w, x in zip(wave, at, strict=True)) + phase)
        error = 1.5 / radii.mean() * np.sin(sum(1.3 * w * x for w, x in zip(waves[0], at, strict=True)))
        reference[box][depth < 1] = value
        prediction[box][depth + error < 1] = value
    for value in case.values:
        corner = [int(rng.integers(n - 8)) for n in case.shape]
        prediction[tuple(slice(start, start + 8) for start in corner)] = value
    return prediction, reference


def ours(case: Case, pairs: list[tuple[Map, Map]]) -> Callable[[], Scores]:
    labels = case.labels

    def score(prediction: Map, reference: Map) -> list[list[float]]:
        counts = count(prediction, reference, labels)
        surfaces = surface_distances(prediction, reference, case.spacing_mm, labels)
        return [
            [counts[name].dice, surface.hausdorff_mm(95), surface.assd_mm(), surface.nsd(TOLERANCE_MM)]
            for name, surface in surfaces.items()
        ]

    return lambda: np.array([score(*pair) for pair in pairs])


def monai(case: Case, pairs: list[tuple[Map, Map]]) -> Callable[[], Scores]:
    values = torch.arange(case.n_labels + 1, dtype=torch.uint8).reshape(1, -1, *(1 for _ in case.shape))
    prediction, reference = (
        torch.from_numpy(np.stack(maps))[:, None].eq(values).float().contiguous() for maps in zip(*pairs, strict=True)
    )

    def score() -> Scores:
        measured = [
            DiceMetric(include_background=False)(prediction, reference),
            HausdorffDistanceMetric(percentile=95)(prediction, reference, spacing=case.spacing_mm),
            SurfaceDistanceMetric(symmetric=True)(prediction, reference, spacing=case.spacing_mm),
            SurfaceDiceMetric([TOLERANCE_MM] * case.n_labels)(prediction, reference, spacing=case.spacing_mm),
        ]
        return np.stack([np.asarray(each) for each in measured], axis=-1)

    return score


def surface_distance(case: Case, pairs: list[tuple[Map, Map]]) -> Callable[[], Scores]:
    np.Inf, np.NaN = np.inf, np.nan  # NumPy 2 has neither; version 0.1 asks for both
    import surface_distance as theirs

    def score(prediction: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]) -> list[float]:
        distances = theirs.compute_surface_distances(reference, prediction, case.spacing_mm)
        return [
            theirs.compute_dice_coefficient(reference, prediction),
            theirs.compute_robust_hausdorff(distances, 95),
            float(np.mean(theirs.compute_average_surface_distance(distances))),
            theirs.compute_surface_dice_at_tolerance(distances, TOLERANCE_MM),
        ]

    return _each_mask(case, pairs, score)


def medpy(case: Case, pairs: list[tuple[Map, Map]]) -> Callable[[], Scores]:
    from medpy.metric import binary as theirs

    def score(prediction: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]) -> list[float]:
        return [
            theirs.dc(prediction, reference),
            theirs.hd95(prediction, reference, case.spacing_mm),
            theirs.assd(prediction, reference, case.spacing_mm),
        ]

    return _each_mask(case, pairs, score)


def simpleitk(case: Case, pairs: list[tuple[Map, Map]]) -> Callable[[], Scores]:
    """Contours read off the distance maps of each other."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)

    def score(prediction: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]) -> list[float]:
        images = [sitk.GetImageFromArray(mask.T.astype(np.uint8)) for mask in (prediction, reference)]
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        for image in images:
            image.SetSpacing(case.spacing_mm)
        overlap.Execute(*images)
        contours = [sitk.LabelContour(image) for image in images]
        away = [sitk.Abs(sitk.SignedMaurerDistanceMap(contour, False, False, True)) for contour in contours]
        outlines, distances = ([sitk.GetArrayViewFromImage(image) for image in images] for images in (contours, away))
        forth, back = distances[1][outlines[0] > 0], distances[0][outlines[1] > 0]
        both = np.concatenate([forth, back])
        hd95 = max(np.percentile(forth, 95), np.percentile(back, 95))
        return [overlap.GetDiceCoefficient(), float(hd95), float(both.mean()), float((both <= TOLERANCE_MM).mean())]

    return _each_mask(case, pairs, score)


def _each_mask(
    case: Case, pairs: list[tuple[Map, Map]], score: Callable[[npt.NDArray, npt.NDArray], list[float]]
) -> Callable[[], Scores]:
    """Scores of every label of every pair."""
    return lambda: np.array(
        [[score(prediction == value, reference == value) for value in case.values] for prediction, reference in pairs]
    )


SCORERS = {"medseg": ours, "MONAI": monai, "surface-distance": surface_distance, "MedPy": medpy, "SimpleITK": simpleitk}
PACKAGES = {"surface-distance": "surface_distance", "MedPy": "medpy"}
ROUNDS = {"medseg": 5, "MONAI": 3}


def speed(name: str, case: Case) -> list[Row]:
    """Ratios of CPU time to ours."""
    pairs = [organs(case, seed) for seed in range(case.n_pairs)]
    scorers = {}
    for each, make in SCORERS.items():
        if importlib.util.find_spec(PACKAGES.get(each, "medseg")) is None:
            print(f"  {each} is not installed and left out")
        else:
            scorers[each] = make(case, pairs)
    found, expected = scorers["medseg"](), scorers["MONAI"]()
    # MONAI finds the rank of a percentile in float32, which matters where distances leap
    if not np.allclose(found, expected, atol=[1e-5, 0.05, 1e-4, 1e-5], rtol=0):
        raise RuntimeError(f"ours and MONAI's differ by {np.abs(found - expected).max(axis=(0, 1))}")
    seconds = _interleaved(scorers)
    rows = []
    for each in list(scorers)[1:]:
        ratio = statistics.median(theirs / mine for theirs, mine in zip(seconds[each], seconds["medseg"], strict=False))
        rows.append((f"{name}: {each} / medseg", ratio, ">=", case.goal if each == "MONAI" else 1.0))
    return rows


def _interleaved(scorers: dict[str, Callable[[], Scores]]) -> dict[str, list[float]]:
    """CPU seconds of each scorer's rounds, printed too."""
    seconds: dict[str, list[float]] = {each: [] for each in scorers}
    for number in range(max(ROUNDS.values())):
        for each in list(scorers)[:: -1 if number % 2 else 1]:
            if number < ROUNDS.get(each, 1):
                start = time.process_time()
                scorers[each]()
                seconds[each].append(time.process_time() - start)
    for each, values in seconds.items():
        print(f"  {each:20s} {1000 * statistics.median(values):10.2f} ms of CPU time")
    return seconds


def memory(name: str) -> Row:
    """The peaks of scoring, ours over MONAI's."""
    peaks = {}
    for each in ("medseg", "MONAI"):
        done = subprocess.run([sys.executable, __file__, each, name], check=True, capture_output=True, text=True)
        peaks[each] = int(done.stdout.split()[-1])
        print(f"  peak memory, {each:7s} {peaks[each] / 1024:10.1f} MiB")
    return f"{name}: peak memory, medseg / MONAI", peaks["medseg"] / max(1, peaks["MONAI"]), "<=", 1 / 3


def peak_kib(scorer: str, case: Case) -> int:
    """How far scoring raises the process's memory, once a small case has been scored."""
    SCORERS[scorer](SMALL, [organs(SMALL, 0)])()
    score = SCORERS[scorer](case, [organs(case, seed) for seed in range(case.n_pairs)])
    forget_peak()
    before = status_kib("VmRSS")
    score()
    return status_kib("VmHWM") - before


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # deprecations within MONAI
    if len(sys.argv) == 3:
        print(peak_kib(sys.argv[1], CASES[sys.argv[2]]))
    else:
        main()
