"""A prediction and its reference on one grid: what several metrics share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.metrics.detection import Detection, match_lesions
from medseg.metrics.overlap import Counts, count
from medseg.metrics.pixelwise import Probability
from medseg.metrics.surface import SurfaceDistances, surface_distances

LabelMap = npt.NDArray[np.integer]
Mask = npt.NDArray[np.bool_]


class CasePair:
    """A prediction and its reference: what several metrics share is found once, and only where one asks for it.

    Args:
        prediction, reference: label maps of shape `geometry.shape`.
        geometry: their common grid.
        labels: what their values mean.
        tolerance_mm: how far apart surfaces may lie that count as the same, for all labels or by name.
        probabilities: of each foreground label, from 0 to 1, of the same shape; where there are any.
        inside: which voxels count (a field of view), booleans of the same shape; all if None. What lies outside counts
            for nothing, not even as a true negative, and structures end at the edge as they do at the image's.

    Attributes:
        prediction, reference: the maps, background outside.
        inside: as it was given.

    Raises:
        ValueError: if a shape differs from the geometry's, a map holds other than integers
            (`medseg.labels.as_label_map` makes them of floats, or refuses), or `inside` other than booleans. A value
            that no name stands for is background.
    """

    def __init__(
        self,
        prediction: LabelMap,
        reference: LabelMap,
        geometry: Geometry,
        labels: Labels,
        tolerance_mm: float | Mapping[str, float],
        probabilities: Mapping[str, Probability] | None = None,
        inside: Mask | None = None,
    ) -> None:
        self._probabilities = dict(probabilities or {})
        masks = [] if inside is None else [inside]
        shapes = [each.shape for each in (prediction, reference, *self._probabilities.values(), *masks)]
        if any(shape != geometry.shape for shape in shapes):
            raise ValueError(f"shapes differ: {', '.join(map(str, shapes))}, grid {geometry.shape}")
        if any(each.dtype.kind not in "biu" for each in (prediction, reference)):
            raise ValueError(f"label maps hold integers, found {prediction.dtype} and {reference.dtype}")
        if inside is not None:
            if inside.dtype != np.bool_:
                raise ValueError(f"expected a boolean mask, found {inside.dtype}")
            prediction, reference = (emptied(each, inside, labels) for each in (prediction, reference))
        self.prediction, self.reference, self.geometry, self.labels = prediction, reference, geometry, labels
        self.inside = inside
        self._tolerance_mm = tolerance_mm
        self._lesions: dict[str, Detection] = {}

    def tolerance_mm(self, name: str) -> float:
        """How far apart two surfaces may lie."""
        return self._tolerance_mm[name] if isinstance(self._tolerance_mm, Mapping) else self._tolerance_mm

    def probability(self, name: str) -> Probability:
        """That of one label.

        Raises:
            ValueError: if it was not given.
        """
        if name not in self._probabilities:
            raise ValueError(f"no probabilities of {name}")
        return self._probabilities[name]

    @cached_property
    def counts(self) -> dict[str, Counts]:
        """Voxels right and wrong, by label."""
        if self.inside is None:
            return count(self.prediction, self.reference, self.labels)
        return count(self.prediction[self.inside], self.reference[self.inside], self.labels)

    @cached_property
    def surfaces(self) -> dict[str, SurfaceDistances]:
        """Distances between surfaces, by label."""
        return surface_distances(self.prediction, self.reference, self.geometry.spacing_mm, self.labels)

    def masks(self, name: str) -> tuple[Mask, Mask]:
        """Prediction and reference of one label."""
        return self.labels.mask(self.prediction, name), self.labels.mask(self.reference, name)

    def lesions(self, name: str) -> Detection:
        """Connected components found, missed and invented."""
        if name not in self._lesions:
            self._lesions[name] = match_lesions(*self.masks(name))
        return self._lesions[name]

    @cached_property
    def voxel_ml(self) -> float:
        """Millilitres of a voxel; NaN in a picture, whose pixels have no known size."""
        volume_mm3 = abs(float(np.linalg.det(self.geometry.affine[:3, :3])))
        return volume_mm3 / 1000.0 if self.geometry.unit == "mm" else math.nan

    def reference_ml(self, name: str) -> float:
        """Volume of the reference."""
        return (self.counts[name].tp + self.counts[name].fn) * self.voxel_ml

    def prediction_ml(self, name: str) -> float:
        """Volume of the prediction."""
        return (self.counts[name].tp + self.counts[name].fp) * self.voxel_ml

    def empties(self, name: str) -> str:
        """``missed``, ``invented``, ``absent`` or nothing."""
        counts = self.counts[name]
        in_reference, in_prediction = counts.tp + counts.fn > 0, counts.tp + counts.fp > 0
        if in_reference:
            return "" if in_prediction else "missed"
        return "invented" if in_prediction else "absent"


def emptied(label_map: LabelMap, inside: Mask, labels: Labels) -> LabelMap:
    """A label map whose voxels outside are of no foreground label.

    They hold 0, or, where a foreground label is a union with 0, a value that no name stands for.
    """
    if not any(0 in labels.values[name] for name in labels.foreground):
        return np.where(inside, label_map, label_map.dtype.type(0))
    return np.where(inside, label_map.astype(np.int64), max(labels.known_values) + 1)
