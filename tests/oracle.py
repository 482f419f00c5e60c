"""The best that thresholds and mixtures of intensities could do, were they told which of their clusters to take."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from skimage.filters import threshold_multiotsu, threshold_otsu
from sklearn.mixture import GaussianMixture

BASELINES = ("otsu", "multi_otsu", "em")
EVERY = 7  # of the voxels, which a mixture is fitted to

Clusters = npt.NDArray[np.integer]


def clusters(image: npt.NDArray, baseline: str) -> list[Clusters]:
    """Each partition of a grey image that one of `BASELINES` offers."""
    image = image.astype(np.float32)  # of whole numbers scikit-image tries every one, whatever the number of bins
    if baseline == "otsu":
        return [(image > threshold_otsu(image)).astype(int)]
    if baseline == "multi_otsu":
        return [np.digitize(image, threshold_multiotsu(image, n, nbins=32)) for n in (3, 4)]
    return list(_mixtures(image[None]))


def colour_clusters(image: npt.NDArray) -> list[Clusters]:
    """Each partition that mixtures of the colours of (3, …) offer."""
    return list(_mixtures(image))


def oracle_dice(partitions: list[Clusters], label: npt.NDArray) -> float:
    """Mean Dice of the labels, each given the union of clusters that suits it best: no real method does better."""
    best = {int(value): 0.0 for value in np.unique(label[label > 0])}
    for partition in partitions:
        values = np.unique(partition)
        for size in range(1, len(values)):
            for union in itertools.combinations(values, size):
                found = np.isin(partition, union)
                for value in best:
                    dice = 2 * (found & (label == value)).sum() / (found.sum() + (label == value).sum())
                    best[value] = max(best[value], float(dice))
    return float(np.mean(list(best.values())))


def _mixtures(channels: npt.NDArray) -> Iterator[Clusters]:
    """(C, …) intensities to (…) most likely components, of mixtures of 2, 3 and 4."""
    columns = channels.reshape(len(channels), -1).T.astype(np.float64)
    for n in (2, 3, 4):
        model = GaussianMixture(n, random_state=0, max_iter=50).fit(columns[::EVERY])
        yield model.predict(columns).reshape(channels.shape[1:])
