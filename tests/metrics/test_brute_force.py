"""Surface and overlap scores against their definitions, written down once more: every voxel, every pair of voxels."""

import math

import numpy as np
import pytest

from medseg.labels import Labels
from medseg.metrics.overlap import count
from medseg.metrics.surface import surface_distances

LABELS = Labels({"background": 0, "whole": [1, 2], "part": 2, "other": 3})
SHAPES = [(9, 8, 7), (30, 4, 3), (12, 10), (25, 1, 6), (6, 6, 1), (40,), (5, 5, 5)]


def random_map(rng, shape):
    """Noise of any density, whole blocks, or a few voxels."""
    kind = rng.integers(3)
    if kind == 0:
        return np.where(rng.random(shape) < rng.random(), rng.integers(1, 5, shape), 0).astype(np.uint8)
    label_map = np.zeros(shape, np.uint8)
    for _ in range(int(rng.integers(0, 6))):
        low = [int(rng.integers(n)) for n in shape]
        high = [start + (1 if kind == 1 else int(rng.integers(1, 7))) for start in low]
        label_map[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = rng.integers(1, 5)
    return label_map


def surface(mask, spacing):
    """Positions in mm of the mask's voxels that have a face neighbour outside it, along axes of more than one voxel."""
    axes = [axis for axis, n in enumerate(mask.shape) if n > 1]
    found = []
    for place in map(tuple, np.argwhere(mask)):
        neighbours = [
            tuple(x + sign * (other == axis) for other, x in enumerate(place)) for axis in axes for sign in (-1, 1)
        ]
        outside = [any(x < 0 or x >= n for x, n in zip(each, mask.shape, strict=True)) for each in neighbours]
        if any(out or not mask[each] for out, each in zip(outside, neighbours, strict=True)):
            found.append(np.multiply(place, spacing))
    return np.array(found).reshape(-1, mask.ndim)


def by_definition(prediction, reference, spacing, tolerance):
    """Directed HD and HD95, ASSD and NSD of two masks; None where one is empty."""
    first, second = surface(prediction, spacing), surface(reference, spacing)
    if not len(first) or not len(second):
        return None
    all_pairs = np.sqrt(((first[:, None] - second[None]) ** 2).sum(-1))
    forth, back = all_pairs.min(axis=1), all_pairs.min(axis=0)
    both = np.concatenate([forth, back])
    directed = [np.percentile(each, percentile) for percentile in (100, 95) for each in (forth, back)]
    return [*directed, both.mean(), (both <= tolerance).mean()]


@pytest.mark.parametrize("block", range(10))
def test_five_hundred_random_pairs(block):
    """Fifty pairs a block, three labels each; the tolerance lies between two grid distances."""
    rng = np.random.default_rng(block)
    n_compared = 0
    for _ in range(50):
        shape = SHAPES[rng.integers(len(SHAPES))]
        prediction, reference = random_map(rng, shape), random_map(rng, shape)
        spacing = rng.choice([0.5, 0.7, 1.0, 1.3, 3.0, 5.0], len(shape)).tolist()
        tolerance = float(rng.choice([0.05, 0.83, 1.87, 4.03]))
        counts = count(prediction, reference, LABELS)
        surfaces = surface_distances(prediction, reference, spacing, LABELS)
        for name in LABELS.foreground:
            masks = [np.isin(label_map, LABELS.values[name]) for label_map in (prediction, reference)]
            n_both = int((masks[0] & masks[1]).sum())
            assert counts[name].tp == n_both
            assert (counts[name].fp, counts[name].fn) == tuple(int(mask.sum()) - n_both for mask in masks)
            found = surfaces[name]
            values = [*found.directed_mm(), *found.directed_mm(95), found.assd_mm(), found.nsd(tolerance)]
            expected = by_definition(*masks, spacing, tolerance)
            if expected is None:
                assert all(math.isnan(value) for value in values)
            else:
                assert values == pytest.approx(expected, abs=1e-6)
                n_compared += 1
    assert n_compared > 50
