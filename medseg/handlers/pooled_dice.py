"""The Dice of many patches together, for curves of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medseg.labels import Labels
from medseg.metrics.scores import mean
from medseg.processes import gathered


class PooledDice:
    """2 |A and B| / (|A| + |B|) of each label over all voxels that were added; the mean over the labels that occur.

    Args:
        labels: of the network's channels; a network of one channel has one label, where its logit is above 0.
        shared: every process adds at the same time, and each counts the voxels of all.
    """

    def __init__(self, labels: Mapping[str, int | Sequence[int]], shared: bool = False) -> None:
        self.labels, self.shared = Labels(labels), shared
        self.clear()

    def clear(self) -> None:
        """Forget all voxels."""
        self.both, self.sizes = (np.zeros(len(self.labels.foreground), np.int64) for _ in range(2))

    def add(self, scores: Any, label: torch.Tensor) -> None:
        """Count a batch: scores (B, C, …), the first tensor where there are several, and labels (B, 1 or C, …)."""
        scores = scores[0] if isinstance(scores, (tuple, list)) else scores
        found, drawn = _label_map(scores.detach() if scores.shape[1] > 1 else scores.detach() > 0), _label_map(label)
        counts = [
            _counts(self.labels.mask(found, name), self.labels.mask(drawn, name)) for name in self.labels.foreground
        ]
        both, sizes = np.sum(gathered([counts]) if self.shared else [counts], axis=0).T
        self.both, self.sizes = self.both + both, self.sizes + sizes

    def value(self) -> float:
        """The mean over labels; NaN where none occurs."""
        counts = zip(self.both, self.sizes, strict=True)
        return mean(2 * float(overlap) / float(size) for overlap, size in counts if size)


def _counts(ours: npt.NDArray[np.bool_], theirs: npt.NDArray[np.bool_]) -> tuple[int, int]:
    return int(np.count_nonzero(ours & theirs)), int(np.count_nonzero(ours) + np.count_nonzero(theirs))


def _label_map(tensor: torch.Tensor) -> npt.NDArray[np.integer]:
    """Label values (B, X, …) of scores or of labels with a channel each (B, C, X, …), or of one channel as it is."""
    if tensor.shape[1] > 1:
        return tensor.max(dim=1).indices.cpu().numpy()  # torch.argmax takes eight times as long on a CPU
    return tensor[:, 0].cpu().numpy().astype(np.int32)
