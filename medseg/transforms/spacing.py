"""To another spacing, slab by slab."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.networks.layers import AffineTransform
from monai.transforms import MapTransform, Spacing
from monai.utils import ensure_tuple_rep

from medseg.volumes.slabs import slabs

UNCHANGED = 1e-3  # voxels: MONAI's tolerance, below which it resamples nothing

Matrix = npt.NDArray[np.float64]
Shape = tuple[int, int, int]


class SlabSpacingd(MapTransform):
    """MONAI's ``Spacingd`` in the memory of its result.

    MONAI holds three coordinates in float64 for every voxel of the whole volume: 13 GB for 512 x 512 x 800. Here the
    same numbers are computed in slabs. The grid is the one that MONAI's ``Spacing`` chooses, and so are interpolation
    (in float64, the edge repeated beyond it) and type: float32. Of labels half-way between two voxels rounding decides
    which of the two is taken, there as here.

    It leaves no trace for ``Invertd``: `ToNativeGridd` goes back by the affines alone.

    Args:
        keys: `MetaTensor`s (C, X, Y, Z).
        pixdim: the spacing (mm) of the three axes.
        mode: ``bilinear`` for images, ``nearest`` for labels; one for all keys or one a key.
    """

    def __init__(
        self,
        keys: KeysCollection,
        pixdim: Sequence[float],
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.modes, self.spacing = ensure_tuple_rep(mode, len(self.keys)), Spacing(pixdim, lazy=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Resample each key."""
        result = dict(data)
        for key, mode in self.key_iterator(result, self.modes):
            result[key] = self._resample(result[key], mode)
        return result

    def _resample(self, image: MetaTensor, mode: str) -> MetaTensor:
        affine = np.asarray(image.affine, np.float64)
        # the grid alone: no voxel is looked at, and none takes memory
        planned = self.spacing(MetaTensor(torch.zeros(1).expand(1, *image.shape[1:]), torch.from_numpy(affine.copy())))
        target = np.asarray(planned.peek_pending_affine(), np.float64)
        x, y, z = (int(n) for n in planned.peek_pending_shape())
        index = np.asarray(np.linalg.solve(affine, target), np.float64)
        if (x, y, z) == tuple(image.shape[1:]) and np.allclose(index, np.eye(4), atol=UNCHANGED):
            return image.to(torch.float32)
        moved = MetaTensor(_in_slabs(image.as_tensor(), index, (x, y, z), mode)).copy_meta_from(image)
        moved.affine = torch.from_numpy(target)
        return moved


def _in_slabs(volume: torch.Tensor, index: Matrix, shape: Shape, mode: str) -> torch.Tensor:
    """found[:, v] = volume[:, index @ v], float32 (C, *shape)."""
    found = torch.empty((len(volume), *shape), dtype=torch.float32, device=volume.device)
    interpolate = AffineTransform(
        normalized=False, mode=mode, padding_mode="border", align_corners=False, reverse_indexing=True
    )
    for slab in slabs(shape):
        size = (slab.stop - slab.start, *shape[1:])
        here = index.copy()
        here[:3, 3] += slab.start * index[:3, 0]
        needed = _needed(here, size, volume.shape[1:])
        here[:3, 3] -= [side.start for side in needed]
        part = volume[(slice(None), *needed)].to(torch.float64)
        found[:, slab] = interpolate(part[None], torch.from_numpy(here).to(part), size)[0]
    return found


def _needed(index: Matrix, size: Shape, shape: Sequence[int]) -> tuple[slice, ...]:
    """The voxels of a volume of `shape` between which those of a slab of `size` lie, with one to spare."""
    corners = np.array(list(itertools.product(*((0, n - 1) for n in size))))
    places = corners @ index[:3, :3].T + index[:3, 3]
    low = np.clip(np.floor(places.min(axis=0)).astype(int) - 1, 0, np.subtract(shape, 1))
    high = np.clip(np.ceil(places.max(axis=0)).astype(int) + 2, low + 1, shape)
    return tuple(slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
