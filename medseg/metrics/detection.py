"""Lesions found, missed and invented: the connected components of two masks, matched by overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medseg.metrics.foreground import along_memory, foreground_box

Mask = npt.NDArray[np.bool_]
Components = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Detection:
    """Lesions of a case, a lesion being a component of the reference, its voxels joined by faces, edges or corners.

    Attributes:
        n_reference: lesions drawn.
        n_predicted: components predicted.
        false_positives: predicted components that belong to no lesion that was found.
        missed_sizes: voxels of each lesion that was not found.

    As ISLES 2022 counts (Hernandez Petzsche et al., Sci Data 2022, doi:10.1038/s41597-022-01875-5), true positives are
    *lesions* found: one lesion found in three pieces is one, two lesions found by one component are two, and neither
    makes a false positive. Each ratio is NaN where it is 0/0.
    """

    n_reference: int
    n_predicted: int
    false_positives: int
    missed_sizes: tuple[int, ...]

    @property
    def n_found(self) -> int:
        """Lesions found."""
        return self.n_reference - len(self.missed_sizes)

    @property
    def missed_voxels(self) -> int:
        """Voxels of all lesions that were not found."""
        return sum(self.missed_sizes)

    @property
    def precision(self) -> float:
        """Found / (found + false positives)."""
        return _ratio(self.n_found, self.n_found + self.false_positives)

    @property
    def recall(self) -> float:
        """Found / drawn."""
        return _ratio(self.n_found, self.n_reference)

    @property
    def f1(self) -> float:
        """2 found / (2 found + false positives + missed)."""
        return _ratio(2 * self.n_found, self.n_found + self.n_reference + self.false_positives)


def match_lesions(prediction: Mask, reference: Mask, least_overlap: float = 0.0) -> Detection:
    """Match the components of two masks of one shape, 2-D or 3-D (axes of length 1 do no harm).

    Args:
        prediction, reference: masks.
        least_overlap: a lesion is found where its IoU with all predicted components that touch it, taken together as
            in BraTS's lesion-wise scores, is larger than this. 0, ISLES's rule, asks for a single voxel; 0.5 is the
            usual strict one (Maier-Hein et al., Nat Methods 2024, doi:10.1038/s41592-023-02151-z). A component is a
            false positive unless it touches a lesion that was found.

    Raises:
        ValueError: if the shapes differ, or `least_overlap` is not in [0, 1).
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"shapes differ: {prediction.shape} and {reference.shape}")
    if not 0 <= least_overlap < 1:
        raise ValueError(f"least_overlap is an IoU from 0 to below 1, found {least_overlap}")
    one, other, _ = along_memory(prediction.view(np.uint8), reference.view(np.uint8))
    box = foreground_box(one, other)
    predicted_mask, drawn_mask = one[box] > 0, other[box] > 0
    (predicted, predicted_sizes), (drawn, drawn_sizes) = _components(predicted_mask), _components(drawn_mask)
    both = predicted_mask & drawn_mask
    lesion, component, shared = _pairs(drawn[both], predicted[both], len(predicted_sizes))
    in_both = np.bincount(lesion, weights=shared, minlength=len(drawn_sizes))
    in_pieces = np.bincount(lesion, weights=predicted_sizes[component], minlength=len(drawn_sizes))
    found = in_both > least_overlap * (drawn_sizes + in_pieces - in_both)
    n_right = len(np.unique(component[found[lesion]]))
    missed = tuple(int(size) for size in drawn_sizes[~found])
    return Detection(len(drawn_sizes), len(predicted_sizes), len(predicted_sizes) - n_right, missed)


def _components(mask: Mask) -> tuple[Components, npt.NDArray[np.int64]]:
    """The component of every voxel (0 outside, then from 1 on), and their sizes."""
    found, n_found = ndimage.label(mask, np.ones((3,) * mask.ndim, dtype=bool), output=np.int32)
    return found, np.bincount(found[mask], minlength=n_found + 1)[1:]


def _pairs(lesion: Components, component: Components, n_components: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Of the voxels in both masks, every pair of lesion and component, now from 0 on, and how many voxels it has."""
    pairs, shared = np.unique((lesion.astype(np.int64) - 1) * n_components + component - 1, return_counts=True)
    return pairs // max(n_components, 1), pairs % max(n_components, 1), shared


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
