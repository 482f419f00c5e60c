"""Distances between the surfaces of labels, in millimetres: one search for all labels and all metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medseg.labels import Labels
from medseg.metrics.distances import Distances
from medseg.metrics.edges import Grid, edges
from medseg.metrics.foreground import along_memory, foreground_box, whole
from medseg.metrics.layers import LabelMap, Layer, layers
from medseg.metrics.shells import directed, reach, shells

NOWHERE = Distances(np.empty(0), np.empty(0, np.int64))


@dataclass(frozen=True)
class SurfaceDistances:
    """For every surface voxel of one mask, how far the other mask's surface is.

    Surface voxels are those with a face neighbour outside the mask, voxels on the image's border included; these are
    MONAI's edges (``get_mask_edges``). Everything is NaN where a mask is empty.

    Other libraries measure something else:

    - surface-distance (DeepMind) puts surface elements between voxels and weighs them by their area.
    - MedPy's edges and means are ours; its ``hd95`` is the percentile of both directions together, not the larger of
      the two.
    - SimpleITK's ``HausdorffDistanceImageFilter`` measures from all voxels of a mask to the other mask, inside
      included: a hole that was filled counts by its depth, and the average sinks with the size of the overlap.
    """

    prediction_to_reference: Distances
    reference_to_prediction: Distances

    def directed_mm(self, percentile: float = 100.0) -> tuple[float, float]:
        """The Hausdorff distances from prediction to reference and back, or their `percentile`."""
        return (
            self.prediction_to_reference.percentile_mm(percentile),
            self.reference_to_prediction.percentile_mm(percentile),
        )

    def hausdorff_mm(self, percentile: float = 100.0) -> float:
        """The larger of the two directed distances at `percentile` (95 gives HD95, as MONAI defines it).

        MONAI finds the percentile's rank in float32: on large surfaces, where distances leap, it is 0.01 mm off.
        """
        return max(self.directed_mm(percentile))

    def assd_mm(self) -> float:
        """Average symmetric surface distance: the mean over both surfaces' voxels together."""
        sums = self.prediction_to_reference.sum_mm + self.reference_to_prediction.sum_mm
        return sums / self._n_voxels if self._n_voxels else math.nan

    def nsd(self, tolerance_mm: float) -> float:
        """Normalised surface Dice: the share of both surfaces' voxels within `tolerance_mm` of the other surface.

        Nikolov et al. 2021, doi:10.2196/26151, with voxels in place of surface elements (``SurfaceDiceMetric``).
        """
        within = (
            self.prediction_to_reference.n_within(tolerance_mm),
            self.reference_to_prediction.n_within(tolerance_mm),
        )
        return sum(within) / self._n_voxels if self._n_voxels else math.nan

    @property
    def _n_voxels(self) -> int:
        return self.prediction_to_reference.n + self.reference_to_prediction.n


def surface_distances(
    prediction: LabelMap, reference: LabelMap, spacing_mm: Sequence[float], labels: Labels
) -> dict[str, SurfaceDistances]:
    """Distances between the surfaces of every foreground label.

    Args:
        prediction, reference: label maps of one shape, of any number of axes. An axis of length 1 does not count: the
            surface of a label in a picture (X, Y, 1) is its outline.
        spacing_mm: between voxel centres along each axis; axes count as perpendicular.
        labels: what their values mean; a value that no name stands for is background.

    Raises:
        ValueError: if the shapes differ or the spacing is not one positive number an axis.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"shapes differ: {prediction.shape} and {reference.shape}")
    if len(spacing_mm) != prediction.ndim or not all(0 < mm < math.inf for mm in spacing_mm):
        raise ValueError(f"expected a positive spacing for each of {prediction.ndim} axes, found {tuple(spacing_mm)}")
    prediction, reference, axes = along_memory(prediction, reference)
    spacing = tuple(float(spacing_mm[axis]) for axis in axes) or (1.0,)
    found: dict[str, SurfaceDistances] = {}
    for layer in layers(labels):
        box = whole(prediction) if layer.holds_zero else foreground_box(prediction, reference)
        found |= _of_layer(prediction[box], reference[box], spacing, layer)
    return {name: found[name] for name in labels.foreground}


def _of_layer(
    prediction: LabelMap, reference: LabelMap, spacing_mm: tuple[float, ...], layer: Layer
) -> dict[str, SurfaceDistances]:
    """Distances of every name of a layer, from one search."""
    around = shells(spacing_mm, prediction.shape)
    grid = Grid(prediction.shape, reach(around, prediction.ndim), spacing_mm)
    surfaces = [edges(grid.line(layer.codes(label_map)), grid) for label_map in (prediction, reference)]
    places = np.flatnonzero(np.logical_or(*surfaces))
    predicted, drawn = (surface[places] for surface in surfaces)
    forth = directed(places, predicted, drawn, surfaces[1], grid, around)
    back = directed(places, drawn, predicted, surfaces[0], grid, around)
    return {
        name: SurfaceDistances(forth.get(code, NOWHERE), back.get(code, NOWHERE))
        for code, name in enumerate(layer.names, start=1)
    }
