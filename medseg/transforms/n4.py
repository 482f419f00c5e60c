"""Magnetic resonance images without the shading of their coils: N4 bias-field correction."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_tensor

from medseg.errors import DataError, Fault
from medseg.settings import whole_number

if TYPE_CHECKING:
    import SimpleITK as sitk

LEAST_VOXELS = 8  # that shrinking leaves along an axis
RINGING = 0.05  # of the highest intensity: how far below 0 resampling may have pushed an intensity
OTSU_BINS = 200

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class CorrectBiasN4d(MapTransform):
    """Divide images (C, X, Y[, Z]) by the smooth field that shades them, each channel by its own; float32.

    N4 sharpens the histogram of the logarithm and takes what that moves, smoothed by B-splines of several levels, for
    the logarithm of the field: N. J. Tustison et al., "N4ITK: improved N3 bias correction", IEEE Transactions on
    Medical Imaging 29:1310-1320 (2010), https://doi.org/10.1109/TMI.2010.2046908. The field is estimated on a coarser
    grid and evaluated at every voxel; the splines divide the grid into equal parts, whatever its millimetres. N4 leaves
    the field's size open, and drifts; here its geometric mean is 1, so that an image keeps its brightness. Voxels at 0
    or a little below have no logarithm: they are left out of the estimate and divided like all others. Where one
    positive intensity is all there is, the image stays as it is.

    The same bits however many cores: from the first call on, SimpleITK works with one thread in this process, because
    sums over the voxels round in another way with more.

    Args:
        keys: MR images as scanned, before their intensities are normalised.
        mask_key: the field is estimated where this tensor (1, X, Y[, Z]) is above 0; None for the voxels above Otsu's
            threshold of the image.
        shrink: how many times coarser the grid of the estimate is, along axes of more than 15 voxels.
        iterations: the most steps at each level; each level has a field twice as fine as the one before.

    Raises:
        UsageError: E903, `shrink` or one of `iterations` is no whole number above 0.
        DataError: E402, negative intensities; E201, the mask has another shape; E302, it marks nothing above 0.
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_key: str | None = None,
        shrink: int = 4,
        iterations: Sequence[int] = (50, 50, 50, 50),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key, self.shrink = mask_key, whole_number("shrink", shrink)
        self.iterations = [whole_number("iterations", steps) for steps in iterations]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key by its corrected image."""
        result = dict(data)
        mask = None if self.mask_key is None else _array(data[self.mask_key])[0] > 0
        for key in self.key_iterator(result):
            image, file = _array(data[key]), _file(data[key])
            _refuse(image, mask, str(key), file)
            corrected = [self._corrected(channel, mask, file) for channel in image]
            result[key] = convert_to_dst_type(np.stack(corrected), data[key], dtype=torch.float32)[0]
        return result

    def _corrected(self, channel: Floats, mask: Mask | None, file: str) -> Floats:
        import SimpleITK as sitk  # takes a moment to start

        full = _itk(channel)
        factors = [max(1, min(self.shrink, n // LEAST_VOXELS)) for n in full.GetSize()]
        small = sitk.Shrink(full, factors)
        chosen = small > 0
        if not _varies(small, chosen):
            return channel
        if mask is None:
            chosen &= sitk.OtsuThreshold(small, 0, 1, OTSU_BINS)
        else:
            chosen &= sitk.Shrink(_itk(mask.astype(np.uint8)), factors)
            if not sitk.GetArrayViewFromImage(chosen).any():
                fix = "mark the tissue, not a few voxels of it, or leave mask_key out"
                raise DataError(Fault("E302", f"{self.mask_key} marks nothing above 0", fix, file=file))
        if not _varies(small, chosen):
            return channel
        return channel / _field(small, chosen, full, self.iterations).reshape(channel.shape)


def _field(small: sitk.Image, chosen: sitk.Image, full: sitk.Image, iterations: list[int]) -> Floats:
    """The field on the grid of `full`, estimated from the `chosen` voxels of `small`, where its geometric mean is 1."""
    import SimpleITK as sitk  # takes a moment to start

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # the filters within N4 know no other setting
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(iterations)
    n4.Execute(small, chosen)
    known = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(small))[sitk.GetArrayViewFromImage(chosen) > 0]
    return np.exp(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(full)).T - known.mean())


def _refuse(image: Floats, mask: Mask | None, name: str, file: str) -> None:
    if image.min() < -RINGING * max(image.max(), 0):
        fix = "correct MR images alone, and before their intensities are normalised"
        found = f"{image.min():g} to {image.max():g}"
        raise DataError(Fault("E402", f"{name} has negative intensities", fix, "0 or more", found, file))
    if mask is not None and mask.shape != image.shape[1:]:
        fix = "bring the mask onto the image's grid before"
        raise DataError(
            Fault("E201", f"the mask of {name} has another shape", fix, str(image.shape[1:]), str(mask.shape), file)
        )


def _array(tensor: Any) -> npt.NDArray:
    return np.asarray(convert_to_tensor(tensor, dtype=torch.float32, track_meta=False).cpu())


def _file(image: Any) -> str:
    return str(image.meta.get("filename_or_obj", "")) if isinstance(image, MetaTensor) else ""


def _itk(array: npt.NDArray) -> sitk.Image:
    """An array (X, Y[, Z]) without its axes of one voxel: the one page of a picture is no axis."""
    import SimpleITK as sitk  # takes a moment to start

    return sitk.GetImageFromArray(array.squeeze().T)


def _varies(image: sitk.Image, chosen: sitk.Image) -> bool:
    import SimpleITK as sitk  # takes a moment to start

    values = sitk.GetArrayViewFromImage(image)[sitk.GetArrayViewFromImage(chosen) > 0]
    return len(values) > 0 and bool(values.min() < values.max())
