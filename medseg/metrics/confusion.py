"""Which label values the voxels of each value were given: the confusion matrix of a case, and of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from medseg.labels import Labels
from medseg.metrics.foreground import along_memory, foreground_box
from medseg.metrics.layers import N_CODES, LabelMap, Layer
from medseg.metrics.overlap import joint_histogram

Confusion = Counter[tuple[int, int]]  # (value in the reference, value in the prediction) to voxels

COLUMNS = ("reference", "prediction", "reference_name", "prediction_name", "voxels")


def confusion(prediction: LabelMap, reference: LabelMap, labels: Labels) -> Confusion:
    """The voxels of every pair of label values that occurs; of two cases, ``+`` adds them up.

    Values, not names: names may share values. A value that no name stands for counts as 0.

    Args:
        prediction, reference: label maps of one shape.
        labels: whose values are told apart.

    Raises:
        ValueError: if the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"shapes differ: {prediction.shape}, {reference.shape}")
    size = prediction.size
    prediction, reference, _ = along_memory(prediction, reference)
    box = foreground_box(prediction, reference)
    prediction, reference = prediction[box], reference[box]
    values = sorted(labels.known_values - {0})
    if len(values) < N_CODES:
        layer = Layer(tuple(map(str, values)), tuple((value,) for value in values))
        joint = joint_histogram(layer.codes(prediction), layer.codes(reference))
        named = [0, *values]
        found = {(named[r], named[p]): int(joint[p, r]) for p, r in np.argwhere(joint).tolist()}
    else:  # more than a byte holds
        both = [np.where(np.isin(each, values), each, 0).ravel() for each in (reference, prediction)]
        pairs, counts = np.unique(np.stack(both), axis=1, return_counts=True)
        found = {(r, p): n for (r, p), n in zip(pairs.T.tolist(), counts.tolist(), strict=True) if r or p}
    background = size - sum(found.values())
    return Counter(({(0, 0): background} if background else {}) | found)


def confusion_rows(summed: Mapping[tuple[int, int], int], labels: Labels) -> list[dict[str, Any]]:
    """Rows of ``confusion.csv``, a row a pair of known values, those that never occur too; in the order of values.

    A value's name is the one that stands for it alone; where there is none, its number.
    """
    values = sorted(labels.known_values)
    names = {value: str(value) for value in values}
    names |= {own[0]: name for name, own in labels.values.items() if len(own) == 1}
    cells = ((r, p, names[r], names[p], summed.get((r, p), 0)) for r in values for p in values)
    return [dict(zip(COLUMNS, cell, strict=True)) for cell in cells]


def summed(parts: Iterable[Mapping[tuple[int, int], int]]) -> Confusion:
    """The matrix of several cases."""
    total: Confusion = Counter()
    for part in parts:
        total.update(part)
    return total
