"""Back from the network's grid to the grid on which the image was stored."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from medseg.geometry import Geometry
from medseg.transforms.read import UNIT, native_geometry
from medseg.volumes.slabs import slabs

EXACT = 1e-3

Matrix = npt.NDArray[np.float64]


class ToNativeGridd(MapTransform):
    """Scores (C, X, Y, Z) of the network's grid to a label map (1, X', Y', Z') on the image's stored grid.

    Only affines are used, so it does not matter which transforms lay between. Where the two grids differ by flips,
    axis order, cropping or padding the arg-max is moved voxel for voxel; where they differ by more, the channels are
    interpolated linearly and the largest wins (interpolating a label map would invent labels between two others).
    Voxels outside the network's grid become background. One channel is the logit of the only label: that is where it
    lies above 0, where its sigmoid is above one half.

    Args:
        keys: network outputs.
        image_key: the image that was fed, with the meta data that `ReadImaged` wrote.
        probabilities: the key for the softmax of the scores on the same grid, (C, X', Y', Z'), which some metrics need
            (of one channel the sigmoid, after background's share: two channels); None for nowhere. Outside the
            network's grid background is certain.

    Raises:
        ValueError: if there are `probabilities` of several keys.
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_key: str = "image",
        probabilities: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key, self.probabilities = image_key, probabilities
        if probabilities is not None and len(self.keys) > 1:
            raise ValueError(f"the probabilities of several keys {self.keys} cannot all be {probabilities!r}")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key's scores by the label map on the native grid."""
        result = dict(data)
        image = data[self.image_key]
        native = native_geometry(image)
        fed = Geometry(image.affine.numpy(), tuple(image.shape[1:]))
        for key in self.key_iterator(result):
            scores = with_background(torch.as_tensor(result[key]).detach().float().cpu().numpy())
            found: dict[Hashable, npt.NDArray] = {key: onto_grid(scores, fed, native)[None]}
            if self.probabilities is not None:
                found[self.probabilities] = probabilities_onto_grid(scores, fed, native)
            meta = {"filename_or_obj": image.meta["filename_or_obj"], UNIT: native.unit}
            for name, each in found.items():
                result[name] = MetaTensor(torch.from_numpy(each), torch.from_numpy(native.affine.copy()), dict(meta))
        return result


def onto_grid(scores: npt.NDArray[np.float32], source: Geometry, target: Geometry) -> npt.NDArray[np.uint8]:
    """Arg-max of `scores` (C, *source.shape) on the grid `target`, as uint8 (or uint16 above 256 classes)."""
    if len(scores) < 2:
        raise ValueError("one channel has no arg-max: background has a channel too")
    dtype = np.uint8 if len(scores) <= 256 else np.uint16
    index = target.index_in(source)
    moved = _whole_voxels(index, target.shape)
    found = np.zeros(target.shape, dtype)
    if moved is None:
        for slab in slabs(target.shape):
            found[slab] = _resample(scores, _from(index, slab), found[slab].shape)
        return found
    there, here = _views(scores, found, moved)
    for slab in slabs(here.shape):
        here[slab] = there[:, slab].argmax(axis=0)
    return found


def with_background(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Two channels of one: softmax((0, x)) is (1 - sigmoid(x), sigmoid(x)), and its arg-max the larger of 0 and x."""
    return np.concatenate([np.zeros_like(scores), scores]) if len(scores) == 1 else scores


def probabilities_onto_grid(
    scores: npt.NDArray[np.float32], source: Geometry, target: Geometry
) -> npt.NDArray[np.float32]:
    """Softmax of `scores` (C, *source.shape) on the grid `target`, (C, *target.shape); background outside `source`."""
    index = target.index_in(source)
    moved = _whole_voxels(index, target.shape)
    shares = torch.from_numpy(scores).softmax(dim=0).numpy()
    found = np.zeros((len(scores), *target.shape), np.float32)
    if moved is None:
        for slab in slabs(target.shape):
            part, at = found[:, slab], _from(index, slab)
            for place, share in zip(part, shares, strict=True):
                place[:] = _interpolate(share, at, place.shape)
            _make_background(part, _outside(at, part.shape[1:], source.shape))
    else:
        outside = np.ones(target.shape, bool)
        for place, share in zip(found, shares, strict=True):
            there, here = _views(share[None], place, moved)
            here[:] = there[0]
        _views(share[None], outside, moved)[1][:] = False
        _make_background(found, outside)
    return np.clip(found, 0, 1, out=found)


def _make_background(shares: npt.NDArray[np.float32], outside: npt.NDArray[np.bool_]) -> None:
    shares[:, outside] = 0
    shares[0, outside] = 1


def _whole_voxels(index: Matrix, shape: tuple[int, int, int]) -> npt.NDArray[np.int64] | None:
    """`index` in whole numbers, where it takes every voxel of `shape` to a voxel; None where it does not."""
    moved = np.rint(index)
    corners = np.array([[bit * (n - 1) for bit, n in zip(bits, shape, strict=True)] for bits in np.ndindex(2, 2, 2)])
    drift = np.abs(np.c_[corners, np.ones(8)] @ (index - moved).T).max()
    is_permutation = (np.abs(moved[:3, :3]).sum(axis=0) == 1).all()
    return moved.astype(np.int64) if drift < EXACT and is_permutation else None


def _views(scores: npt.NDArray, target: npt.NDArray, index: npt.NDArray[np.int64]) -> tuple[npt.NDArray, npt.NDArray]:
    """The part of `scores` (C, …) that `target` covers, along the axes of `target`, and the part of `target` it fills.

    `index`, a signed permutation and a shift, takes target's voxels to those of the scores. Nothing is copied.
    """
    axes = np.abs(index[:3, :3]).argmax(axis=1)  # source axis s follows target axis axes[s]
    there, here = [slice(0)] * 3, [slice(0)] * 3
    for s, axis in enumerate(axes):
        n, m, shift = scores.shape[1 + s], target.shape[axis], int(index[s, 3])
        if index[s, axis] > 0:
            start, stop = max(0, -shift), min(m, n - shift)
            there[s] = slice(start + shift, max(start, stop) + shift)
        else:
            start, stop = max(0, shift - n + 1), min(m, shift + 1)
            end = shift - stop  # -1 would count from the end
            there[s] = slice(shift - start, end if end >= 0 else None, -1) if start < stop else slice(0, 0)
        here[axis] = slice(start, max(start, stop))
    part = scores[(slice(None), *there)].transpose(0, *(1 + np.argsort(axes)))
    return part, target[tuple(here)]


def _from(index: Matrix, slab: slice) -> Matrix:
    """`index` for a grid that begins at a slab of the first axis."""
    moved = index.copy()
    moved[:, 3] += slab.start * index[:, 0]
    return moved


def _resample(scores: npt.NDArray[np.float32], index: npt.NDArray, shape: tuple[int, ...]) -> npt.NDArray:
    best = np.full(shape, -np.inf, np.float32)
    winner = np.zeros(shape, np.uint16)
    for channel, values in enumerate(scores):  # one channel at a time: memory of one, whatever their number
        moved = _interpolate(values, index, shape)
        better = moved > best
        winner[better], best[better] = channel, moved[better]
    winner[_outside(index, shape, scores.shape[1:])] = 0
    return winner


def _interpolate(values: npt.NDArray, index: Matrix, shape: tuple[int, ...]) -> npt.NDArray:
    """target[v] = values[index @ v], linearly, the edge repeated beyond it."""
    return ndimage.affine_transform(values, index[:3, :3], index[:3, 3], shape, order=1, mode="nearest")


def _outside(index: npt.NDArray, shape: tuple[int, ...], source: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Target voxels whose centre lies more than half a voxel outside the source grid."""
    far = np.zeros(shape, bool)
    grids = np.ogrid[tuple(slice(n) for n in shape)]
    for axis, n in enumerate(source):
        place = sum(index[axis, k] * grids[k] for k in range(3)) + index[axis, 3]
        far |= (place < -0.5 - EXACT) | (place > n - 0.5 + EXACT)
    return far
