"""The part of two label maps that holds anything, along memory."""

from __future__ import annotations

import numpy as np

from medseg.metrics.layers import LabelMap

Box = tuple[slice, ...]


def along_memory(prediction: LabelMap, reference: LabelMap) -> tuple[LabelMap, LabelMap, list[int]]:
    """Two maps of one shape with their axes in the order of memory, those of length 1 left out; and which axes remain.

    NIfTI stores its first axis densest, most arrays their last; what follows runs along memory either way. Booleans
    become 0 and 1.
    """
    axes = [axis for axis, n in enumerate(prediction.shape) if n != 1]
    axes.sort(key=lambda axis: -abs(prediction.strides[axis]))
    alone = tuple(axis for axis, n in enumerate(prediction.shape) if n == 1)
    ordered = [label_map.transpose(*alone, *axes)[(0,) * len(alone)] for label_map in (prediction, reference)]
    first, second = (np.atleast_1d(each.view(np.uint8) if each.dtype == bool else each) for each in ordered)
    return first, second, axes


def whole(label_map: LabelMap) -> Box:
    """The box that holds all of a map."""
    return tuple(slice(0, n) for n in label_map.shape)


def foreground_box(prediction: LabelMap, reference: LabelMap) -> Box:
    """The smallest box outside of which both maps, of one or more axes, hold 0; empty where they hold nothing else."""
    others = tuple(range(1, prediction.ndim))
    first = _span(np.maximum(prediction.max(axis=others, initial=0), reference.max(axis=others, initial=0)))
    flat = np.maximum(prediction[first].max(axis=0, initial=0), reference[first].max(axis=0, initial=0))
    rest = [
        _span(flat.max(axis=tuple(other for other in range(flat.ndim) if other != axis), initial=0))
        for axis in range(flat.ndim)
    ]
    return (first, *rest)


def _span(highest: LabelMap) -> slice:
    found = np.flatnonzero(highest)
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0)
