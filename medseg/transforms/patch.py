"""A random patch, rotated, scaled and cut in one interpolation, the same grid for image and label."""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable
from scipy.interpolate import make_interp_spline

from medseg.errors import DataError, Fault
from medseg.settings import choice

SPLINE_REACH = 4  # voxels beyond which a voxel's weight in a cubic spline is below one hundredth

Matrix = npt.NDArray[np.float64]


class RandAffinePatchd(MapTransform, Randomizable):
    """Cut a patch of `patch_size` around a random place, through one random affine map.

    One matrix holds rotation, scaling, shear, mirroring and the cut, so that each voxel is interpolated once; MONAI's
    chain of crop and ``RandAffined`` interpolates the whole volume and cuts twice. With `foreground` the centre is a
    random voxel of a random foreground label, otherwise a random place; either way the patch stays within the volume
    along every axis on which the volume is larger, and holds all of it where it is smaller. Beyond the volume both
    repeat their edge. With `inside_key` the centre, of either kind, is a voxel of a mask (a field of view), each as
    likely as any other, or half a voxel beside it where a patch has an even number of voxels.

    Linear interpolation blurs, and images as scanned are not blurred. So, where the patch lies, an image is refined by
    cubic splines to a grid twice as fine, and that is interpolated linearly. Of a label map the shares of each label
    are interpolated, and the largest wins; with many labels the nearest voxel is quicker (`label_mode`).

    Args:
        keys: tensors of shape (C, X, Y, Z) or, with two sizes in `patch_size`, (C, X, Y), on one grid.
        label_key: the label map, looked at for foreground.
        patch_size: voxels along each axis.
        foreground: how often the centre is a foreground voxel.
        affine_prob: how often rotation, scaling, shear and translation are drawn; else the patch is cut as it is.
        rotate_degrees: largest rotation in degrees; in 3D one for all axes or one about each.
        scale: smallest and largest magnification, drawn once for all axes; `scale_axes` varies each axis about it.
        shear: largest shear factor.
        translate: largest shift of the centre, as a fraction of the patch.
        mirror_axes: axes mirrored with probability 1/2 each.
        elastic_voxels: largest standard deviation of a smooth random displacement, drawn at points 10 voxels apart; one
            for all axes or one for each.
        refine: how many times finer the grid is that is interpolated linearly; 1 is linear interpolation of the image.
        label_mode: ``shares`` or ``nearest``.
        inside_key: a mask on the grid of `keys`, not cut itself, that centres lie in where it is not 0; `translate`
            moves them only where they stay in it. On axes along which the volume is no larger than the patch, centres
            are the volume's middle all the same. None for the whole volume.

    Raises:
        DataError: E302, when the mask has no voxel that a patch could lie around.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        patch_size: Sequence[int],
        foreground: float = 0.5,
        affine_prob: float = 1.0,
        rotate_degrees: float | Sequence[float] = 15.0,
        scale: tuple[float, float] = (0.85, 1.2),
        scale_axes: float = 0.0,
        shear: float = 0.0,
        translate: float = 0.0,
        mirror_axes: Sequence[int] = (),
        elastic_voxels: float | Sequence[float] = 0.0,
        refine: int = 2,
        label_mode: str = "shares",
        inside_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key, self.patch_size, self.foreground = label_key, tuple(patch_size), foreground
        self.inside_key = inside_key
        self.axes = len(self.patch_size)
        if self.axes not in (2, 3):
            raise ValueError(f"a patch has two or three sides, found {patch_size}")
        self.affine_prob = affine_prob
        self.rotate = np.deg2rad(np.broadcast_to(rotate_degrees, 3 if self.axes == 3 else 1).astype(np.float64))
        self.scale, self.scale_axes, self.shear, self.translate = tuple(scale), scale_axes, shear, translate
        self.mirror_axes, self.elastic_voxels = tuple(mirror_axes), np.broadcast_to(elastic_voxels, self.axes)
        self.refine, self.nearest = refine, choice("label_mode", label_mode, ("shares", "nearest")) == "nearest"

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key by its patch; all keys share one draw."""
        result = dict(data)
        matrix, shift = self._draw_map()
        label = _plain(data[self.label_key])[0].numpy()
        if self.inside_key is None:
            centre = self._draw_centre(label) + shift
        else:
            centre = self._draw_inside(label, _plain(data[self.inside_key])[0].numpy() > 0, shift)
        middle = (np.asarray(self.patch_size) - 1) / 2
        bend = self._draw_bend()
        straight = bend is None and np.array_equal(matrix, np.diag(np.sign(np.diag(matrix))))
        if straight:  # whole voxels: nothing to interpolate
            centre = np.rint(centre - middle) + middle
        keys = list(self.key_iterator(result))
        tensors = [_plain(data[key]) for key in keys]
        if straight:
            start = np.rint(centre - middle).astype(int)
            patches = [_crop(tensor, self.patch_size, np.diag(matrix), start) for tensor in tensors]
        else:
            grid = _grid(tensors[0].shape[1:], self.patch_size, matrix, centre, bend)
            patches = [self._cut(key, tensor, grid) for key, tensor in zip(keys, tensors, strict=True)]
        for key, patch in zip(keys, patches, strict=True):
            affine = data[key].affine.numpy() if isinstance(data[key], MetaTensor) else np.eye(self.axes + 1)
            index = np.eye(len(affine))
            index[: self.axes, : self.axes], index[: self.axes, -1] = matrix, centre - matrix @ middle
            result[key] = MetaTensor(patch, torch.from_numpy(affine @ index))
        return result

    def _cut(self, key: Hashable, tensor: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """One of the tensors (C, X, Y[, Z]) at `grid`."""
        if key != self.label_key:
            return _refined(tensor, grid, self.refine) if self.refine > 1 else _sample(tensor, grid)
        if self.nearest:
            return _sample(tensor, grid, "nearest")
        values = _foreground(tensor)
        return _winner(_sample(_shares(tensor, values), grid), values)

    def _draw_map(self) -> tuple[Matrix, Matrix]:
        """(n, n) from a voxel offset within the patch to one within the volume, and an (n,) shift of the centre."""
        axes = self.axes
        matrix, shift = np.eye(axes), np.zeros(axes)
        if self.R.random() < self.affine_prob:
            angles = [self.R.uniform(-angle, angle) for angle in self.rotate]
            zoom = np.exp(-self.R.uniform(*np.log(self.scale)))
            zooms = zoom * np.exp(self.R.uniform(-self.scale_axes, self.scale_axes, axes))
            shear = np.eye(axes) + np.triu(self.R.uniform(-self.shear, self.shear, (axes, axes)), 1)
            matrix = _rotation(*angles) @ shear @ np.diag(zooms)
            shift = self.R.uniform(-self.translate, self.translate, axes) * np.asarray(self.patch_size)
        for axis in self.mirror_axes:
            if self.R.random() < 0.5:
                matrix = matrix @ np.diag([-1.0 if axis == k else 1.0 for k in range(axes)])
        return matrix, shift

    def _draw_bend(self) -> torch.Tensor | None:
        """(1, n, *points) displacements in voxels of the volume, or None."""
        if not self.elastic_voxels.any() or self.R.random() >= self.affine_prob:
            return None
        points = [max(2, round(size / 10)) for size in self.patch_size]
        spread = self.R.uniform(0, 1) * self.elastic_voxels.reshape(1, -1, *[1] * self.axes)
        return torch.from_numpy(self.R.normal(0, spread, (1, self.axes, *points)))

    def _draw_centre(self, label: npt.NDArray) -> Matrix:
        place = self.R.uniform(0, np.asarray(label.shape, dtype=np.float64) - 1)
        if self.R.random() < self.foreground and len(values := _foreground(torch.from_numpy(label))):
            voxels = np.flatnonzero(label == values[self.R.randint(len(values))])
            place = np.asarray(np.unravel_index(voxels[self.R.randint(len(voxels))], label.shape), dtype=np.float64)
        low, high, middle = self._room(label.shape)
        return np.where(high > low, np.clip(place, low, high), middle)

    def _draw_inside(self, label: npt.NDArray, inside: npt.NDArray[np.bool_], shift: Matrix) -> Matrix:
        """A centre in the mask `inside` around which the patch lies within the volume, and its shift where it stays."""
        low, high, middle = self._room(label.shape)
        box = tuple(slice(math.ceil(first), math.floor(last) + 1) if last > first else slice(None)
                    for first, last in zip(low, high, strict=True))  # fmt: skip
        allowed = np.zeros_like(inside)
        allowed[box] = inside[box]
        chosen = allowed
        if self.R.random() < self.foreground and len(values := _foreground(torch.from_numpy(label * allowed))):
            chosen = allowed & (label == values[self.R.randint(len(values))])
        voxels = np.flatnonzero(chosen)
        if not len(voxels):
            what, fix = f"no place for a patch in {self.inside_key}", "choose a smaller patch or margin, or look at it"
            expected, found = "voxels half a patch from the edge", f"patch {self.patch_size} in {label.shape}"
            raise DataError(Fault("E302", what, fix, expected, found))
        place = np.asarray(np.unravel_index(voxels[self.R.randint(len(voxels))], label.shape), dtype=np.float64)
        moved = np.rint(place + shift).astype(int)
        stays = all(0 <= at < n for at, n in zip(moved, label.shape, strict=True)) and allowed[tuple(moved)]
        return np.where(high > low, place + shift * stays, middle)

    def _room(self, shape: Sequence[int]) -> tuple[Matrix, Matrix, Matrix]:
        """The lowest and highest centre of a patch within the volume (crossed where it has no room), and the middle."""
        size, half = np.asarray(shape, dtype=np.float64), np.asarray(self.patch_size, dtype=np.float64) / 2
        return half - 0.5, size - half - 0.5, (size - 1) / 2


def _plain(tensor: Any) -> torch.Tensor:
    """Without meta data: operations on MONAI's `MetaTensor` are several times as slow."""
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else torch.as_tensor(tensor)


def _foreground(label: torch.Tensor) -> list[int]:
    """The values above 0 that occur."""
    highest = int(label.max())
    if highest <= 1:
        return [1][:highest]
    counts = torch.bincount(label.reshape(-1) if label.dtype == torch.uint8 else label.reshape(-1).long())
    return [value for value, count in enumerate(counts.tolist()) if value and count]


def _rotation(*angles: float) -> Matrix:
    """About x, then y, then z; of one angle in the plane."""
    cos, sin = np.cos(angles), np.sin(angles)
    if len(angles) == 1:
        return np.array([[cos[0], -sin[0]], [sin[0], cos[0]]])
    about_x = np.array([[1, 0, 0], [0, cos[0], -sin[0]], [0, sin[0], cos[0]]])
    about_y = np.array([[cos[1], 0, sin[1]], [0, 1, 0], [-sin[1], 0, cos[1]]])
    about_z = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
    return np.asarray(about_x @ about_y @ about_z, dtype=np.float64)


def _crop(tensor: torch.Tensor, patch: tuple[int, ...], signs: Matrix, start: npt.NDArray[np.int64]) -> torch.Tensor:
    """The patch of `tensor` (C, X, Y[, Z]) from voxel `start` on, mirrored along the axes of negative sign."""
    result = tensor.float()
    for axis, (begin, length) in enumerate(zip(start.tolist(), patch, strict=True), start=1):
        index = torch.arange(begin, begin + length).clamp(0, tensor.shape[axis] - 1)
        result = result.index_select(axis, index)
    return result.flip([axis + 1 for axis, sign in enumerate(signs) if sign < 0])


def _shares(label: torch.Tensor, values: Sequence[int]) -> torch.Tensor:
    """(K, X, Y[, Z]): where `label` (1, X, Y[, Z]) holds each of `values`; one empty channel where there are none."""
    return torch.stack([label[0] == value for value in values] or [torch.zeros_like(label[0])])


def _sample(tensor: torch.Tensor, grid: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """`tensor` (C, X, Y[, Z]) at `grid`, linearly or of the nearest voxel; its edge is repeated beyond it."""
    found = torch.nn.functional.grid_sample(
        tensor.float()[None], grid, mode, padding_mode="border", align_corners=False
    )
    return found[0]


def _refined(tensor: torch.Tensor, grid: torch.Tensor, refine: int) -> torch.Tensor:
    """Intensities (C, X, Y[, Z]) at `grid`, after the part of the volume that it covers is refined by splines."""
    sizes = torch.tensor(tensor.shape[1:])
    least, most = (
        ((end.flip(0) + 1) * sizes - 1) / 2 for end in torch.aminmax(grid.reshape(-1, len(sizes)), dim=0)
    )  # in voxels
    begin = (least.floor().long() - SPLINE_REACH).clamp(torch.zeros_like(sizes), sizes - 1)
    end = (most.ceil().long() + SPLINE_REACH + 1).clamp(begin + 1, sizes)
    part = tensor.float()
    for axis, (first, last) in enumerate(zip(begin.tolist(), end.tolist(), strict=True), start=1):
        part = part.narrow(axis, first, last - first)
        part = torch.tensordot(_spline(last - first, refine), part, ([1], [axis])).movedim(0, axis)
    # voxel v of the volume is voxel (v - begin) * refine of the part
    fine = torch.tensor(part.shape[1:])
    scale = refine * sizes / fine
    shift = (refine * (sizes - 1 - 2 * begin) + 1) / fine - 1
    return _sample(part, torch.addcmul(shift.flip(0), grid, scale.flip(0)))


@functools.lru_cache(maxsize=512)
def _spline(length: int, refine: int) -> torch.Tensor:
    """(refine (length - 1) + 1, length) matrix: the cubic spline through `length` voxels, `refine` points for each."""
    voxels = np.arange(length)
    if length == 1:
        return torch.ones(1, 1)
    spline = make_interp_spline(voxels, np.eye(length), k=min(3, length - 1))
    return torch.from_numpy(spline(np.linspace(0, length - 1, refine * (length - 1) + 1))).float()


def _winner(shares: torch.Tensor, values: Sequence[int]) -> torch.Tensor:
    """The label (1, …) of the largest share, background's being what the shares (K, …) leave of 1."""
    best, winner = 1.0 - shares.sum(0), torch.zeros_like(shares[0])
    for share, value in zip(shares, values, strict=False):
        winner = torch.where(share > best, float(value), winner)
        best = torch.maximum(share, best)
    return winner[None]


def _grid(
    size: Sequence[int], patch: tuple[int, ...], matrix: Matrix, centre: Matrix, bend: torch.Tensor | None
) -> torch.Tensor:
    """Where `grid_sample` looks for patch voxel p: at volume voxel v = centre + matrix (p - patch centre) + bend(p).

    Its coordinates are 2 (v + 1/2) / size - 1 (align_corners=False), axes reversed.
    """
    sizes, axes = np.asarray(size, dtype=np.float64), len(patch)
    grid = torch.from_numpy((2 * (centre + 0.5) / sizes - 1)[::-1].copy()).float().reshape(1, *[1] * axes, axes)
    for axis, length in enumerate(patch):  # a sum of one term an axis, several times as quick as `affine_grid`
        steps = np.arange(length) - (length - 1) / 2
        term = torch.from_numpy((2 * np.outer(steps, matrix[:, axis]) / sizes)[:, ::-1].copy()).float()
        grid = grid + term.reshape(1, *[length if k == axis else 1 for k in range(axes)], axes)
    if bend is not None:
        mode = "trilinear" if axes == 3 else "bilinear"
        smooth = torch.nn.functional.interpolate(bend.float(), patch, mode=mode, align_corners=True)
        scaled = smooth * torch.from_numpy(2 / sizes).float().reshape(1, axes, *[1] * axes)
        grid = grid + scaled.movedim(1, -1).flip(-1)
    return grid
