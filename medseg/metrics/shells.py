"""The nearest surface voxel of the same label in another map, for all surface voxels of all labels at once.

Voxels that coincide are done at once. For the others, the other map is looked up at their neighbours in the order of
distance, shell by shell: this is exact, and a few shells find most, since most predictions are nearly right. What is
left is sought in a KD-tree for each label. Distances are counted, not listed: on a grid few lengths occur.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from medseg.metrics.distances import Distances
from medseg.metrics.edges import Grid, Places
from medseg.metrics.layers import N_CODES, Codes

NEIGHBOURS = 100  # looking at more of them costs more than a tree
AT_ONCE = 1 << 16  # queries of a tree
Shells = list[tuple[float, npt.NDArray[np.intp]]]


def shells(spacing_mm: tuple[float, ...], inner: tuple[int, ...]) -> Shells:
    """The nearest neighbours of a voxel in a box of `inner` voxels, about 100, grouped by their distance.

    Returns:
        For each shell, in rising order, its millimetres and the steps (n, axes) that lead there.
    """
    mm, steps = _neighbours(spacing_mm)
    inside = np.all(np.abs(steps) < inner, axis=1)
    mm, steps = mm[inside], steps[inside]
    starts = np.flatnonzero(np.diff(mm, prepend=0.0)).tolist()
    return [(float(mm[start]), steps[start:stop]) for start, stop in itertools.pairwise([*starts, mm.size])]


@functools.lru_cache(maxsize=64)
def _neighbours(spacing_mm: tuple[float, ...]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """The nearest neighbours of a voxel in rising order: millimetres (n,) and steps (n, axes)."""
    spacing = np.array(spacing_mm)
    radius, n_found = float(spacing.min()), 0
    while n_found <= NEIGHBOURS:
        radius *= 1.2
        axes = [np.arange(-n, n + 1) for n in np.floor(radius / spacing).astype(np.intp)]
        steps: npt.NDArray[np.intp] = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, spacing.size)
        mm: npt.NDArray[np.float64] = np.sqrt(np.sum((steps * spacing) ** 2, axis=1))
        n_found = int(np.count_nonzero(mm <= radius))
    order = np.argsort(mm, kind="stable")[1:n_found]  # the first is the voxel itself
    return mm[order], steps[order]


def reach(around: Shells, n_axes: int) -> tuple[int, ...]:
    """How many voxels the shells reach along each axis; at least one."""
    steps = np.concatenate([np.ones((1, n_axes), np.intp), *(steps for _, steps in around)])
    return tuple(np.abs(steps).max(axis=0).tolist())


def directed(
    places: Places, own: Codes, other: Codes, target: Codes, grid: Grid, around: Shells
) -> dict[int, Distances]:
    """Distances of the surface voxels of one map to the other's, for every code that both hold.

    Args:
        places: (n,) the places on the grid's line where either map has a surface voxel.
        own, other: (n,) the code of each map's surface there, or 0.
        target: the other map's surface on the line.
        around: the shells that the grid's margin has room for.
    """
    in_both = (np.bincount(own, minlength=N_CODES) > 0) & (np.bincount(other, minlength=N_CODES) > 0)
    in_both[0] = False  # background has no surface
    is_sought = in_both[own]
    coincide = own == other
    is_open = is_sought & ~coincide
    found, left, left_codes = _search(places[is_open], own[is_open], target, grid, around)
    found.append((0.0, np.bincount(own[is_sought & coincide], minlength=N_CODES)))
    results = {}
    for code in np.flatnonzero(in_both).tolist():
        far = _far(left[left_codes == code], places[other == code], grid)
        lengths = np.concatenate([[mm for mm, _ in found], far])
        voxels = np.concatenate([[counts[code] for _, counts in found], np.ones(far.size, np.int64)])
        order = np.argsort(lengths, kind="stable")
        results[code] = Distances(lengths[order], voxels[order])
    return results


def _search(
    places: Places, codes: Codes, target: Codes, grid: Grid, around: Shells
) -> tuple[list[tuple[float, npt.NDArray[np.int64]]], Places, Codes]:
    """How many voxels of each code meet their own code in each shell, and the places and codes of the rest."""
    found = []
    strides = np.array(grid.strides)
    lines = [(mm, (steps @ strides).tolist()) for mm, steps in around]
    ahead = -min((min(steps) for _, steps in lines), default=0)
    places = places - ahead  # they index a view of the line that begins where a step leads
    for mm, steps in lines:
        if not places.size:
            break
        hit = np.zeros(places.size, bool)
        for step in steps:
            hit |= target[ahead + step :].take(places) == codes
        if hit.any():
            found.append((mm, np.bincount(codes[hit], minlength=N_CODES)))
            places, codes = places[~hit], codes[~hit]
    return found, places + ahead, codes


def _far(queries: Places, targets: Places, grid: Grid) -> npt.NDArray[np.float64]:
    """Distance of each query to the nearest target."""
    if not queries.size:
        return np.empty(0)
    tree = cKDTree(grid.positions_mm(targets), leafsize=32, compact_nodes=False, balanced_tree=False)
    parts = [queries[start : start + AT_ONCE] for start in range(0, queries.size, AT_ONCE)]
    return np.concatenate([tree.query(grid.positions_mm(part))[0] for part in parts])
