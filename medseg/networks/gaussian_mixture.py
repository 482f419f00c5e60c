"""A Gaussian mixture of intensities in the place of a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from medseg.classical.body import find_body
from medseg.classical.component_labels import smooth
from medseg.classical.em import fit, posteriors
from medseg.classical.histograms import find_bins
from medseg.errors import Fault, UsageError
from medseg.settings import number, switch, whole_number
from medseg.volumes.slabs import slabs

N_BINS = 4096  # of intensities that are no whole numbers
LEAST = 1e-6  # a probability below counts as this one: a logarithm of 0 is no number


class GaussianMixture(nn.Module):
    """Labels by intensity alone: each image gets a mixture of its own, by expectation maximisation. Nothing is trained.

    `medseg.classical.em` fits it; its components, sorted by their means, stand for the labels that `labels` names, in
    that order. This is decided before any reference is seen, unlike the report on liver segmentation, which gave every
    slice as many components as the reference has labels. Where images are CT as stored, in whole Hounsfield units, the
    fit is of their histogram and loses nothing; so it belongs before any resampling.

    Args:
        in_channels: 1: a mixture of one intensity.
        out_channels: labels, background among them.
        labels: (K,) for each component the label it stands for, the darkest first; the same label may stand there
            several times.
        slice_wise: a mixture for each slice across the last axis instead of one for the whole image.
        body: fit voxels of the body alone (`medseg.classical.body.find_body`); what is outside is background.
        smoothing: by how much each neighbour of a component moves a voxel's log-odds towards it
            (`medseg.classical.component_labels.smooth`, a Markov random field); the output is then certain. 0 is off.

    Raises:
        UsageError: E903, more channels than one, labels that are none, or a smoothing below 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        labels: Sequence[int],
        slice_wise: bool = False,
        body: bool = True,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if whole_number("in_channels", in_channels) != 1:
            fix = "set network_def::in_channels to 1"
            raise UsageError(Fault("E903", "a mixture is of one intensity", fix, "1 channel", str(in_channels)))
        self.out_channels = whole_number("out_channels", out_channels, 2)
        self.labels = [whole_number("labels", label, 0) for label in labels]
        if not self.labels or max(self.labels) >= self.out_channels:
            fix = "name a label below out_channels for each component"
            expected = f"numbers from 0 to {self.out_channels - 1}"
            raise UsageError(Fault("E903", "labels of components are none", fix, expected, str(list(labels))))
        self.slice_wise, self.body = switch("slice_wise", slice_wise), switch("body", body)
        self.smoothing = smoothing and number("smoothing", smoothing, 0.0, float("inf"))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 1, X, Y[, Z]) to logarithms of the labels' probabilities (B, out_channels, X, Y[, Z])."""
        found = torch.zeros(len(images), self.out_channels, *images.shape[2:])
        for image, shares in zip(images.detach().cpu().float().numpy(), found.numpy(), strict=True):
            self._label(image[0], shares)
        return found.to(images.device)

    def _label(self, image: npt.NDArray[np.float32], shares: npt.NDArray[np.float32]) -> None:
        """Fill `shares` (out_channels, X, Y[, Z]), zeros before, for an image (X, Y[, Z])."""
        inside = find_body(image if image.ndim == 3 else image[..., None]).reshape(image.shape) if self.body else None
        if inside is not None and not inside.any():  # of one intensity: there is nothing to tell apart
            inside = None
        axis = image.ndim - 1 if self.slice_wise else None
        mixtures = fit(image, len(self.labels), axis=axis, inside=inside, n_bins=N_BINS)
        parts = [slice(None)] if self.smoothing else slabs(image.shape)  # neighbours are looked at across all of it
        bins = find_bins(image[None], None, N_BINS)
        for part in parts:
            found = posteriors(image[part], mixtures, axis=axis, bins=bins)
            if self.smoothing:
                winner = smooth(found, self.smoothing, axis, inside)
                found = np.arange(len(found)).reshape(-1, *[1] * image.ndim) == winner
            own = shares[:, part]
            for label, share in zip(self.labels, found, strict=True):
                own[label] += share
            if inside is not None:
                own[:, ~inside[part]] = 0
            own[0, own.sum(axis=0) == 0] = 1
            np.log(np.maximum(own, LEAST, out=own), out=own)
