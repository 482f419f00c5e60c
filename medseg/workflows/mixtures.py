"""Gaussian mixtures of a data set's axial slices, as many components in each as its reference has labels."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from medseg import files
from medseg.cases.case import Case
from medseg.cases.layouts import read_data_set
from medseg.classical.component_labels import label_components, label_partition
from medseg.classical.em import fit, predict
from medseg.errors import DataError, Fault
from medseg.reports.mixture_figure import mixture_figure
from medseg.reports.text_table import Table, as_text
from medseg.volumes import read_volume
from medseg.volumes.label_map import grid_faults, read_label

SORTED, ORACLE = "sorted_means", "best_permutation"
Row = dict[str, Any]


def tabulate_mixtures(dataset_dir: str | Path, out: str | Path, layout: str | None = None) -> list[str]:
    """Fit every slice of every labelled case and say how well its components meet the labels.

    A report on liver segmentation did so with expectation maximisation: slices are parted by how many labels they hold
    (its table 1), and one of k labels gets a mixture of k Gaussians (its table 2; 100 steps at most, tolerance 1e-5).
    The number of components thus comes from the reference: this is a bound, not a method that could be used. Which
    component is which label is decided twice: by the order of the means, and as it suits the reference best (an
    oracle). The Dice of a slice is the mean over its labels but the background; slices of one label have none.

    Args:
        dataset_dir: a data set as downloaded, with labels.
        out: the folder for ``slices.csv``, a row a slice, and ``dice.png``; made if need be.
        layout: the data set's layout by name, where the folder fits several.

    Returns:
        Lines to print: both tables, the time that fitting took, and where the files are.

    Raises:
        DataError: E101, no case is labelled; E205, an image of several channels; what reading refuses.
    """
    cases = [case for case in read_data_set(dataset_dir, layout).cases if case.label is not None]
    if not cases:
        fix = "give a data set with labels, in whose slices their number is counted"
        raise DataError(Fault("E101", "no case has a label", fix, "labels", file=dataset_dir))
    rows: list[Row] = []
    seconds = 0.0
    for case in tqdm(cases, desc="mixtures", unit="case", disable=None):
        found, took = _fit_case(case)
        rows += found
        seconds += took
    folder = Path(out)
    files.write_csv(folder / "slices.csv", rows)
    files.write_bytes(folder / "dice.png", mixture_figure(rows))
    fitted = sum(row["n_labels"] > 1 for row in rows)
    return [
        *as_text(_counts(rows)), "", *as_text(_scores(rows)), "",
        f"{fitted:,} slices fitted in {seconds:.1f} s; their numbers of components come from the references",
        str(folder / "slices.csv"), str(folder / "dice.png"),
    ]  # fmt: skip


def _fit_case(case: Case) -> tuple[list[Row], float]:
    """A row for each axial slice, and the seconds that fitting and labelling took."""
    image, reference = read_volume(case.images[0]), read_label(case.label or "")
    if len(case.images) > 1 or image.array.ndim != 3:
        fix = "give images of one channel: a mixture is of one intensity"
        raise DataError(Fault("E205", "the image has several channels", fix, "1", file=case.images[0], case=case.id))
    faults = grid_faults(case.images[0], "the image", image.geometry, reference.geometry, case.id, "its label")
    if faults:
        raise DataError(*faults)
    axis = image.geometry.slice_axis
    partition = label_partition(reference.array, axis)
    start = time.perf_counter()
    n = partition.n_labels
    components = predict(image.array, fit(image.array, n, axis=axis), axis=axis)
    guessed = label_components(components, partition.labels, SORTED, axis=axis)
    best = label_components(components, partition.labels, ORACLE, reference.array, axis=axis)
    seconds = time.perf_counter() - start
    slices = [np.moveaxis(each, axis, 0) for each in (guessed, best, reference.array)]
    subset = str(case.meta.get("subset") or "train")
    rows = []
    for place, labels in enumerate(partition.labels):
        one, two, truth = (each[place] for each in slices)
        rows.append({"case": case.id, "subset": subset, "slice": place, "n_labels": len(labels),
                     SORTED: _mean_dice(one, truth, labels), ORACLE: _mean_dice(two, truth, labels)})  # fmt: skip
    return rows, seconds


def _mean_dice(found: npt.NDArray, truth: npt.NDArray, labels: Sequence[int]) -> float:
    """Over the labels of a slice but the least, its background; NaN where it has one label."""
    scores = [
        2 * np.count_nonzero((found == label) & (truth == label))
        / (np.count_nonzero(found == label) + np.count_nonzero(truth == label))
        for label in labels[1:]
    ]  # fmt: skip
    return float(np.mean(scores)) if scores else math.nan


def _counts(rows: Sequence[Mapping[str, Any]]) -> Table:
    numbers = sorted({row["n_labels"] for row in rows}, reverse=True)
    counted = Counter((row["subset"], row["n_labels"]) for row in rows)
    subsets = list(dict.fromkeys(row["subset"] for row in rows))
    head = ["slices", *(f"{n} label{'s' if n > 1 else ''}" for n in numbers), "all"]
    lines = [[name, *(f"{counted[name, n]:,}" for n in numbers), f"{sum(counted[name, n] for n in numbers):,}"]
             for name in subsets]  # fmt: skip
    return Table(head, lines)


def _scores(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Of each subset, as its slices are its own."""
    lines = []
    subsets = list(dict.fromkeys(row["subset"] for row in rows))
    for n in sorted({row["n_labels"] for row in rows if row["n_labels"] > 1}, reverse=True):
        for subset in subsets:
            for name, words in ((SORTED, "sorted means"), (ORACLE, "best permutation (oracle)")):
                dice = np.array([row[name] for row in rows if row["n_labels"] == n and row["subset"] == subset])
                if len(dice):
                    error = f"{dice.std(ddof=1) / math.sqrt(len(dice)):.4f}" if len(dice) > 1 else "-"
                    figures = [f"{dice.mean():.4f}", error, f"{dice.max():.4f}", f"{len(dice):,}"]
                    lines.append([f"{n} labels" + (f", {subset}" if len(subsets) > 1 else ""), words, *figures])
    return Table(["slices of", "components are", "mean Dice", "standard error", "max", "n"], lines, names=2)
