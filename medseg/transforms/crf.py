"""Scores of a network whose borders lie on the edges of the image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_tensor

from medseg.classical.crf import Parameters, refine
from medseg.errors import DataError, Fault
from medseg.settings import switch
from medseg.transforms.native_grid import with_background
from medseg.transforms.read import UNIT

RANGE = (0.5, 99.5)  # percentiles of a channel that become 0 and 1
CERTAIN = 0.99  # background, where it is as probable as this

Floats = npt.NDArray[np.floating]


class RefineWithCRFd(MapTransform):
    """Scores (C, X, Y, Z) to log-probabilities that a conditional random field has refined (`medseg.classical.crf`).

    Belongs between the network and `ToNativeGridd`, on the grid of the image that was fed. One channel, the logit of
    the only label, becomes two, the background first. Each channel of the image is scaled, its 0.5th percentile to 0
    and its 99.5th to 1, so that `theta_beta` is a share of the range whatever normalisation came before. Lengths are in
    mm by the image's affine, or in pixels of a picture.

    Only a box is worked on: around all voxels where the background, channel 0, is less probable than 0.99, with a
    margin of two windows. Beyond it every voxel is surrounded by background and would stay background; its
    log-probabilities are the network's.

    Args:
        keys: network outputs: logits, or log-probabilities of two or more channels.
        image_key: the image that was fed.
        slice_wise: refine each slice along the last axis by itself, as for a network that sees slices.
        w1, theta_alpha, theta_beta, w2, theta_gamma, iterations, radius: see `medseg.classical.crf.Parameters`.

    Raises:
        UsageError: E903, parameters that make no sense.
        DataError: E201, scores of another shape than the image; E404, scores that are not finite.
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_key: str = "image",
        slice_wise: bool = False,
        w1: float = Parameters.w1,
        theta_alpha: float = Parameters.theta_alpha,
        theta_beta: float = Parameters.theta_beta,
        w2: float = Parameters.w2,
        theta_gamma: float = Parameters.theta_gamma,
        iterations: int = Parameters.iterations,
        radius: int = Parameters.radius,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key, self.slice_wise = image_key, switch("slice_wise", slice_wise)
        self.parameters = Parameters(w1, theta_alpha, theta_beta, w2, theta_gamma, iterations, radius)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each key's scores by refined log-probabilities, float32."""
        result = dict(data)
        keys = list(self.key_iterator(result))
        if keys:
            image, spacing_mm = _scaled(data[self.image_key]), _spacing_mm(data[self.image_key])
        for key in keys:
            scores = convert_to_tensor(data[key], dtype=torch.float32, track_meta=False).detach().cpu()
            _refuse_shape(scores, image, str(key), self.image_key, data[self.image_key])
            found = torch.from_numpy(with_background(scores.numpy())).log_softmax(dim=0).numpy()
            if self.slice_wise and found.ndim == 4:
                for z in range(found.shape[-1]):
                    self._refine(found[..., z], image[..., z], spacing_mm and spacing_mm[:-1])
            else:
                self._refine(found, image, spacing_mm)
            result[key] = convert_to_dst_type(found, data[key], dtype=torch.float32)[0]
        return result

    def _refine(self, scores: Floats, image: Floats, spacing_mm: list[float] | None) -> None:
        """Refine log-probabilities (C, X, Y[, Z]) in place."""
        box = _doubtful(np.exp(scores[0]), margin=2 * self.parameters.radius)
        if box is not None:
            refined = refine(np.exp(scores[box]), image[box], spacing_mm, self.parameters)
            scores[box] = np.log(np.maximum(refined, np.finfo(np.float32).tiny))


def _doubtful(background: Floats, margin: int) -> tuple[slice, ...] | None:
    """The box around voxels that may be foreground, the channels' axis first; None if there are none."""
    box = [slice(None)]
    doubt = ~(background >= CERTAIN)  # NaN is doubt, and will be refused
    for axis, n in enumerate(doubt.shape):
        lines = np.flatnonzero(doubt.any(axis=tuple(other for other in range(doubt.ndim) if other != axis)))
        if not len(lines):
            return None
        box.append(slice(max(0, int(lines[0]) - margin), min(n, int(lines[-1]) + 1 + margin)))
    return tuple(box)


def _scaled(image: Any) -> Floats:
    """(C', X, Y[, Z]) float32 with the range of each channel from 0 to 1; one intensity becomes 0."""
    found = np.array(convert_to_tensor(image, dtype=torch.float32, track_meta=False).cpu())
    for channel in found:
        low, high = np.percentile(channel, RANGE)
        channel -= low
        channel /= high - low if high > low else 1
    return found


def _spacing_mm(image: Any) -> list[float] | None:
    """Of the image's spatial axes; None for a picture, which has no millimetres."""
    if not isinstance(image, MetaTensor) or image.meta.get(UNIT, "mm") != "mm":
        return None
    lengths = np.linalg.norm(np.asarray(image.affine)[:-1, :-1], axis=0)
    return [float(length) for length in lengths[: image.ndim - 1]]


def _refuse_shape(scores: torch.Tensor, image: Floats, key: str, image_key: str, source: Any) -> None:
    file = str(source.meta.get("filename_or_obj", "")) if isinstance(source, MetaTensor) else ""
    if tuple(scores.shape[1:]) != image.shape[1:]:
        fix = "put this transform before ToNativeGridd, with the image that was fed under image_key"
        what, expected = f"the scores {key} have another shape than {image_key}", str(image.shape[1:])
        raise DataError(Fault("E201", what, fix, expected, str(tuple(scores.shape[1:])), file))
