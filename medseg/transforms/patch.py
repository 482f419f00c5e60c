"""A random patch, rotated, scaled and cut in one interpolation, the same grid for image and label."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable

Matrix = npt.NDArray[np.float64]


class RandAffinePatchd(MapTransform, Randomizable):
    """Cut a patch of `patch_size` around a random place, through one random affine map.

    One matrix holds rotation, scaling, shear, mirroring and the cut, so that each voxel is interpolated once; MONAI's
    chain of crop and ``RandAffined`` interpolates the whole volume and cuts twice. With `foreground` the centre is a
    random voxel of a random foreground label, otherwise a random place; either way the patch stays within the volume
    along every axis on which the volume is larger, and holds all of it where it is smaller. Outside is 0.

    Args:
        keys: tensors of shape (C, X, Y, Z) on one grid.
        label_key: the one interpolated with nearest neighbour and looked at for foreground.
        patch_size: voxels along each axis.
        foreground: how often the centre is a foreground voxel.
        affine_prob: how often rotation, scaling, shear and translation are drawn; else the patch is cut as it is.
        rotate_degrees: largest rotation about each axis, in degrees.
        scale: smallest and largest magnification, drawn once for all axes; `scale_axes` varies each axis about it.
        shear: largest shear factor.
        translate: largest shift of the centre, as a fraction of the patch.
        mirror_axes: axes mirrored with probability 1/2 each.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        patch_size: Sequence[int],
        foreground: float = 0.5,
        affine_prob: float = 1.0,
        rotate_degrees: Sequence[float] = (15.0, 15.0, 15.0),
        scale: tuple[float, float] = (0.85, 1.2),
        scale_axes: float = 0.0,
        shear: float = 0.0,
        translate: float = 0.0,
        mirror_axes: Sequence[int] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key, self.patch_size, self.foreground = label_key, tuple(patch_size), foreground
        self.affine_prob, self.rotate = affine_prob, np.deg2rad(np.asarray(rotate_degrees, dtype=np.float64))
        self.scale, self.scale_axes, self.shear, self.translate = tuple(scale), scale_axes, shear, translate
        self.mirror_axes = tuple(mirror_axes)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        matrix = self._matrix()
        centre = self._centre(torch.as_tensor(data[self.label_key]))
        for key in self.key_iterator(result):
            tensor = torch.as_tensor(data[key])
            mode = "nearest" if key == self.label_key else "bilinear"
            result[key] = MetaTensor(_cut(tensor, self.patch_size, matrix, centre, mode))
        return result

    def _matrix(self) -> Matrix:
        """(3, 3): from a voxel offset within the patch to a voxel offset within the volume."""
        matrix = np.eye(3)
        if self.R.random() < self.affine_prob:
            x, y, z = (self.R.uniform(-angle, angle) for angle in self.rotate)
            zoom = 1.0 / np.exp(self.R.uniform(*np.log(self.scale)))
            zooms = zoom * np.exp(self.R.uniform(-self.scale_axes, self.scale_axes, 3))
            shear = np.eye(3) + np.triu(self.R.uniform(-self.shear, self.shear, (3, 3)), 1)
            matrix = _rotation(x, y, z) @ shear @ np.diag(zooms)
            self._shift = self.R.uniform(-self.translate, self.translate, 3) * np.asarray(self.patch_size)
        else:
            self._shift = np.zeros(3)
        for axis in self.mirror_axes:
            if self.R.random() < 0.5:
                matrix = matrix @ np.diag([-1.0 if axis == k else 1.0 for k in range(3)])
        return matrix

    def _centre(self, label: torch.Tensor) -> npt.NDArray[np.float64]:
        size = np.asarray(label.shape[1:], dtype=np.float64)
        half = np.asarray(self.patch_size, dtype=np.float64) / 2
        place = self.R.uniform(0, size - 1)
        if self.R.random() < self.foreground:
            values = torch.unique(label)
            values = values[values > 0]
            if len(values):
                voxels = torch.nonzero(label[0] == values[self.R.randint(len(values))])
                place = voxels[self.R.randint(len(voxels))].numpy().astype(np.float64)
        low, high = half - 0.5, size - half - 0.5
        middle = (size - 1) / 2
        return np.where(high > low, np.clip(place, low, high), middle) + self._shift


def _rotation(x: float, y: float, z: float) -> Matrix:
    cos, sin = np.cos([x, y, z]), np.sin([x, y, z])
    about_x = np.array([[1, 0, 0], [0, cos[0], -sin[0]], [0, sin[0], cos[0]]])
    about_y = np.array([[cos[1], 0, sin[1]], [0, 1, 0], [-sin[1], 0, cos[1]]])
    about_z = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
    return np.asarray(about_x @ about_y @ about_z, dtype=np.float64)


def _cut(tensor: torch.Tensor, patch: tuple[int, ...], matrix: Matrix, centre: Matrix, mode: str) -> torch.Tensor:
    """The patch of `tensor` (C, X, Y, Z): patch voxel p shows volume voxel centre + matrix (p - patch centre)."""
    size = np.asarray(tensor.shape[1:], dtype=np.float64)
    # grid_sample's coordinates: 2 (v + 1/2) / size - 1 (align_corners=False), axes reversed
    theta = np.zeros((3, 4))
    theta[:, :3] = matrix * np.asarray(patch)[None, :] / size[:, None]
    theta[:, 3] = 2 * (centre + 0.5) / size - 1
    theta = theta[::-1].copy()
    theta[:, :3] = theta[:, 2::-1]
    grid = torch.nn.functional.affine_grid(
        torch.from_numpy(theta).float()[None], [1, 1, *patch], align_corners=False
    )
    return torch.nn.functional.grid_sample(tensor[None].float(), grid, mode=mode, align_corners=False)[0]
