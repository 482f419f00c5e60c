"""What no skill scores: all background, one constant answer, and the mean shape of the other cases.

A score is worth what it adds to these. While a case is scored `sample_reference` keeps its reference on a coarse grid
(a few kilobytes); after the last case `baseline_rows` scores every baseline on every case and label.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.metrics.case_pair import LabelMap, Mask, emptied

ALL_BACKGROUND, CONSTANT, MEAN_SHAPE = "all background", "constant", "mean shape"
GRID_POINTS = 1 << 16
RAS = (("R", "L"), ("A", "P"), ("S", "I"))

Votes = dict[str, npt.NDArray[np.int32]]
Scores = dict[tuple[str, str], tuple[float, float]]


@dataclass(frozen=True)
class ReferenceSample:
    """What the baselines need to know of one case; a few kilobytes, so that those of 10,000 cases fit into memory.

    Attributes:
        case, group: the case, and its patient, whose cases never vote on one another's shape.
        n_voxels: voxels of the image that count.
        label_voxels: voxels of each foreground label.
        grid: points of the common grid along each axis.
        packed: the reference on the common grid, of type `dtype` in C order, compressed by zlib.
        packed_inside: which points of the grid count, as bits compressed by zlib; empty where all do.
    """

    case: str
    group: str
    n_voxels: int
    label_voxels: Mapping[str, int]
    grid: tuple[int, ...]
    dtype: str
    packed: bytes
    packed_inside: bytes = b""

    def masks(self, labels: Labels) -> dict[str, Mask]:
        """The reference on the common grid, by foreground label."""
        label_map = np.frombuffer(zlib.decompress(self.packed), dtype=self.dtype).reshape(self.grid)
        return {name: labels.mask(label_map, name) for name in labels.foreground}

    def inside(self) -> Mask:
        """Which points of the common grid count."""
        if not self.packed_inside:
            return np.ones(self.grid, dtype=np.bool_)
        bits = np.frombuffer(zlib.decompress(self.packed_inside), dtype=np.uint8)
        return np.unpackbits(bits, count=math.prod(self.grid)).astype(np.bool_).reshape(self.grid)


def sample_reference(
    case: str,
    group: str,
    reference: LabelMap,
    geometry: Geometry,
    labels: Labels,
    inside: Mask | None = None,
) -> ReferenceSample:
    """Sample a reference on a grid of about 65,536 points stretched over its whole image.

    The axes are first turned to right, anterior, superior (a picture's stay), so that images stored in different
    orders meet. 40 x 40 x 40 points for a volume, 256 x 256 for a picture; an axis of length 1 has one point. Each
    point takes the value of the voxel that holds it.

    Args:
        case, group: of the case list; the group is the patient, or the case's own name.
        reference: label map of shape `geometry.shape`.
        geometry: its grid.
        labels: what its values mean.
        inside: which voxels count, of the same shape; all if None. An image is then as large as what counts of it.
    """
    if inside is not None:
        reference = emptied(reference, inside, labels)
    turned = _turned(reference, geometry)
    n_axes = sum(n > 1 for n in turned.shape)
    side = round(GRID_POINTS ** (1 / n_axes)) if n_axes else 1
    grid = tuple(side if n > 1 else 1 for n in turned.shape)
    nearest = [(np.arange(points) * 2 + 1) * n // (2 * points) for points, n in zip(grid, turned.shape, strict=True)]
    sampled = turned[np.ix_(*nearest)]
    voxels = {name: int(np.count_nonzero(labels.mask(reference, name))) for name in labels.foreground}
    packed, packed_inside, n_voxels = zlib.compress(sampled.tobytes()), b"", reference.size
    if inside is not None:
        packed_inside = zlib.compress(np.packbits(_turned(inside, geometry)[np.ix_(*nearest)]).tobytes())
        n_voxels = int(np.count_nonzero(inside))
    return ReferenceSample(case, group, n_voxels, voxels, grid, sampled.dtype.str, packed, packed_inside)


def baseline_rows(samples: Sequence[ReferenceSample], labels: Labels) -> list[dict[str, Any]]:
    """Dice and IoU of every baseline for every case and label.

    The baselines:
        all background: nothing is predicted.
        constant: the whole image is the label; where that is a share f of the image, Dice is 2f / (1 + f) and IoU f.
        mean shape: a point of the common grid is the label where it is in more than half of the cases of other groups
            whose images have as many axes, stretched over the image. It stands for what can be known without looking
            at the image. Its Dice and IoU are those *on the common grid*, not on the case's own: for structures of a
            few grid points they are rough. NaN where there is no case of another group.

    Args:
        samples: those of all cases, whose names differ, in any order.
        labels: as they were sampled.

    Returns:
        rows of ``case``, ``group``, ``label``, ``baseline``, ``dice``, ``iou``, baseline by baseline, in the order of
        the samples and the labels. A label that is absent from a reference and its baseline is NaN (left out of every
        mean); one that is missed or invented counts as 0: `medseg.metrics.catalogue.POLICY`.
    """
    shapes, rows = _mean_shape_scores(samples, labels), []
    names = (ALL_BACKGROUND, CONSTANT, MEAN_SHAPE)
    for baseline, sample, label in itertools.product(names, samples, labels.foreground):
        share = sample.label_voxels[label] / max(sample.n_voxels, 1)
        if baseline == MEAN_SHAPE:
            dice, iou = shapes[sample.case, label]
        elif baseline == CONSTANT:
            dice, iou = 2 * share / (1 + share), share
        else:
            dice = iou = 0.0 if share else math.nan
        row = {"case": sample.case, "group": sample.group, "label": label, "baseline": baseline}
        rows.append(row | {"dice": dice, "iou": iou})
    return rows


def _mean_shape_scores(samples: Sequence[ReferenceSample], labels: Labels) -> Scores:
    """Dice and IoU of the mean shape by case and label."""
    alike: dict[tuple[int, ...], dict[str, list[ReferenceSample]]] = {}
    for sample in samples:
        alike.setdefault(sample.grid, {}).setdefault(sample.group, []).append(sample)
    scores: Scores = {}
    for groups in alike.values():
        everyone = list(itertools.chain.from_iterable(groups.values()))
        votes = _votes(everyone, labels)
        for members in groups.values():
            scores |= _group_scores(members, votes, len(everyone) - len(members), labels)
    return scores


def _group_scores(members: Sequence[ReferenceSample], votes: Votes, n_others: int, labels: Labels) -> Scores:
    """Those of a group's cases, whose own votes are taken back."""
    own = _votes(members, labels)
    shapes = {name: (votes[name] - own[name]) * 2 > n_others for name in labels.foreground}
    scores: Scores = {}
    for sample in members:
        inside = sample.inside()
        for name, mask in sample.masks(labels).items():
            found = _overlap(shapes[name] & inside, mask, sample.label_voxels[name] > 0)
            scores[sample.case, name] = found if n_others else (math.nan, math.nan)
    return scores


def _votes(samples: Sequence[ReferenceSample], labels: Labels) -> Votes:
    """By label, in how many of some samples of one grid each point is that label."""
    votes = {name: np.zeros(samples[0].grid, dtype=np.int32) for name in labels.foreground}
    for sample in samples:
        for name, mask in sample.masks(labels).items():
            votes[name] += mask
    return votes


def _overlap(shape: Mask, reference: Mask, is_drawn: bool) -> tuple[float, float]:
    """Dice and IoU; a structure that is drawn but falls between the points of the grid is missed."""
    both, total = int(np.count_nonzero(shape & reference)), int(np.count_nonzero(shape) + np.count_nonzero(reference))
    if not total:
        return (0.0, 0.0) if is_drawn else (math.nan, math.nan)
    return 2 * both / total, both / (total - both)


def _turned(reference: npt.NDArray[Any], geometry: Geometry) -> npt.NDArray[Any]:
    """The array with its axes towards right, anterior and superior; a picture's as it is."""
    if geometry.unit == "px":
        return reference
    code = geometry.orientation
    order = [next(axis for axis in range(3) if code[axis] in letters) for letters in RAS]
    backwards = [
        slice(None, None, 1 if code[axis] == letters[0] else -1) for axis, letters in zip(order, RAS, strict=True)
    ]
    return reference.transpose(order)[tuple(backwards)]
