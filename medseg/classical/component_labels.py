"""From the components of a mixture to labels: smoothing, which component is which label, and labels slice by slice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medseg.classical.histograms import Floats, Image, Mask, mask_of, slices_of
from medseg.errors import DataError, Fault, UsageError
from medseg.labels import as_label_map
from medseg.settings import choice, number, whole_number

BACKGROUND_SHARE = 1e-6  # of its Dice, so that it decides where all else is the same
LEAST = 1e-5  # a posterior below counts as this one: what is impossible could never change
ASSIGNMENTS = {
    "sorted_means": "honest: the image alone decides",
    "best_permutation": "oracle: the reference decides, an upper bound",
}

Components = npt.NDArray[np.uint8]
LabelMap = npt.NDArray[np.integer]


@dataclass(frozen=True)
class LabelPartition:
    """Which labels each slice of a reference holds.

    Attributes:
        labels: of each slice, from the least; the background is one.
    """

    labels: tuple[tuple[int, ...], ...]

    @property
    def n_labels(self) -> npt.NDArray[np.int64]:
        """(S,) how many labels each slice holds."""
        return np.array([len(present) for present in self.labels])

    @property
    def counts(self) -> dict[int, int]:
        """How many slices hold 1, 2, … labels; the sum is that of the slices."""
        found = Counter(len(present) for present in self.labels)
        return {n: found[n] for n in range(1, max(found) + 1)}


def label_partition(label_map: npt.NDArray, axis: int) -> LabelPartition:
    """The labels in each slice of a reference, as the number of components of its mixture.

    A mixture whose number of components comes from here is told by the reference what there is to find.

    Args:
        label_map: whole numbers from 0.
        axis: along which the slices lie.

    Raises:
        DataError: E204, no voxels; E301, E303, E401, no label map.
        UsageError: E903, no such axis.
    """
    slices = slices_of(as_label_map(label_map), axis)
    return LabelPartition(tuple(tuple(_values(part)) for part in slices))


def label_components(
    components: Components,
    labels: Sequence[int] | Sequence[Sequence[int]],
    assignment: str = "sorted_means",
    reference: LabelMap | None = None,
    axis: int | None = None,
    inside: Mask | None = None,
) -> LabelMap:
    """A label map from the most likely components (`medseg.classical.em.predict`).

    ``sorted_means`` gives the components, which are sorted by their means, the labels in the order in which they stand:
    it is what can be done for an image of which nothing is known. ``best_permutation`` gives each component another
    label, so that the sum, and so the mean, of the Dice of all labels but the background (0) with the reference is
    greatest, a label of neither counting 0; where that is the same, the background decides. It is an oracle: its scores
    are bounds, never to stand beside those of a method that is not told.

    Args:
        components: of any shape.
        labels: values from the darkest to the brightest, at least as many as components; one order for all slices, or
            one for each. Labels that are left over, at the end or by the oracle, get no voxel. For ``sorted_means`` a
            label may stand twice.
        assignment: which of `ASSIGNMENTS`.
        reference: the label map that the oracle knows; not given otherwise.
        axis: along which slices lie that have mixtures of their own; None if all is one mixture.
        inside: voxels outside are 0, the background, and count for no Dice here.

    Returns:
        The shape of `components`, of the smallest type that holds the labels.

    Raises:
        DataError: E204, no voxels; E201, a mask or reference of another shape; E301, E303, E401, no label map.
        UsageError: E903, another assignment, labels too few or no whole numbers from 0, or a reference without oracle.
    """
    oracle = choice("assignment", assignment, ASSIGNMENTS) == "best_permutation"
    if oracle != (reference is not None):
        fix = "give the reference to best_permutation, and to it alone"
        raise UsageError(
            Fault("E903", "the oracle alone is given the reference", fix, found=f"assignment {assignment}")
        )
    slices = slices_of(components, axis)
    orders = _orders(labels, len(slices), distinct=oracle)
    masks = None if inside is None else mask_of(inside, components, axis)
    truth = None if reference is None else _reference(reference, components, axis)
    found = np.zeros_like(components, np.min_scalar_type(max(max(order) for order in orders)), subok=False)
    for row, (part, order) in enumerate(zip(slices, orders, strict=True)):
        mask = None if masks is None else masks[row]
        n = int(part.max() if mask is None else part.max(initial=0, where=mask)) + 1
        if n > len(order):
            what, fix = "fewer labels than components", "name a label for each component, or fit fewer"
            raise UsageError(Fault("E903", what, fix, f"{n} labels or more", f"{list(order)}"))
        table = np.zeros(1 << 8, found.dtype)
        table[:n] = order[:n] if truth is None else _best_permutation(_dice(part, truth[row], mask, n, order), order)
        slices_of(found, axis)[row][...] = table[part] if mask is None else np.where(mask, table[part], 0)
    return found


def smooth(
    posteriors: npt.NDArray[np.floating],
    beta: float,
    axis: int | None = None,
    inside: Mask | None = None,
    max_iter: int = 10,
) -> Components:
    """The components of a Markov random field whose neighbours like to be alike, by iterated conditional modes.

    J. Besag, "On the statistical analysis of dirty pictures", J. R. Stat. Soc. B 48 (1986),
    https://doi.org/10.1111/j.2517-6161.1986.tb01412.x. Each voxel takes the component k of the greatest::

        log posterior(k) + beta * (neighbours of component k),  of components as great that of the lowest mean

    given its neighbours, those across its faces: 6 in a volume, 4 in a picture or slice. The two colours of a
    chequerboard take turns, of which each has neighbours of the other alone, so that no step undoes another and the
    sum over voxels and pairs of neighbours never falls. It ends at a maximum near by, not the global one.

    Args:
        posteriors: (K, X, Y) or (K, X, Y, Z), as `medseg.classical.em.posteriors` gives them.
        beta: by how much each neighbour moves the log-odds, whatever the spacing; 0 changes nothing.
        axis: of (X, Y, Z), across which voxels are no neighbours: that of slices which are to stay by themselves.
        inside: (X, Y[, Z]) voxels outside are nobody's neighbours and get component 0.
        max_iter: turns of both colours at most.

    Raises:
        DataError: E204, no picture or volume; E201, a mask of another shape; E404, posteriors below 0 or NaN.
        UsageError: E903, a beta below 0, no such axis, or no number of turns.
    """
    if beta != 0:
        number("beta", beta, 0, float("inf"))
    whole_number("max_iter", max_iter)
    _refuse_posteriors(posteriors)
    image = posteriors[0]
    slices_of(image, axis)  # refuses an axis that is none
    here = None if inside is None else mask_of(inside, image, None)[0]
    axes = [i for i in range(image.ndim) if axis is None or i != axis % image.ndim]
    logs = np.log(np.maximum(posteriors, LEAST))
    found = logs.argmax(axis=0).astype(np.uint8)
    if here is not None:
        found[~here] = 0
    odd = np.zeros(image.shape, np.bool_)
    for i in axes:
        np.moveaxis(odd, i, 0)[1::2] ^= True
    for _ in range(max_iter):
        changed = False
        for colour in (odd, ~odd):
            best = _best_given_neighbours(logs, found, beta, axes, here)
            update = (best != found) & (colour if here is None else colour & here)
            changed = changed or bool(update.any())
            np.copyto(found, best, where=update)
        if not changed:
            break
    return found


def _best_given_neighbours(
    logs: npt.NDArray[np.floating], found: Components, beta: float, axes: Sequence[int], inside: Mask | None
) -> Components:
    """Each voxel's best component given its neighbours in `found`."""
    best, highest = np.zeros_like(found), np.full(found.shape, -np.inf, logs.dtype)
    for k, log in enumerate(logs):
        alike = found == k if inside is None else (found == k) & inside
        neighbours = np.zeros(found.shape, np.uint8)
        for axis in axes:
            there, count = np.moveaxis(alike, axis, 0), np.moveaxis(neighbours, axis, 0)
            count[1:] += there[:-1]
            count[:-1] += there[1:]
        score = log + np.multiply(neighbours, beta, dtype=logs.dtype)
        better = score > highest
        np.copyto(best, k, where=better, casting="unsafe")
        np.copyto(highest, score, where=better)
    return best


def _dice(part: Components, truth: LabelMap, inside: Mask | None, n: int, order: Sequence[int]) -> Floats:
    """(n, labels) what the Dice of each component with each label counts, 0 where neither has a voxel."""
    held = np.bincount(part.ravel() if inside is None else part[inside], minlength=n)[:n]
    dice = np.zeros((n, len(order)))
    for column, label in enumerate(order):
        drawn = truth == label if inside is None else (truth == label) & inside
        both = np.bincount(part[drawn], minlength=n)[:n]
        dice[:, column] = 2 * both / np.maximum(held + np.count_nonzero(drawn), 1)
        if label == 0:
            dice[:, column] *= BACKGROUND_SHARE
    return dice


def _best_permutation(dice: Floats, order: Sequence[int]) -> list[int]:
    """The label of each component, all different, with the greatest sum of Dice."""
    from scipy.optimize import linear_sum_assignment  # takes a moment to start

    return [order[column] for column in linear_sum_assignment(dice, maximize=True)[1]]


def _values(part: LabelMap) -> list[int]:
    if part.max() < 1 << 16:  # much quicker than a sort
        return np.flatnonzero(np.bincount(part.ravel())).tolist()
    return np.unique(part).tolist()


def _orders(labels: Sequence[int] | Sequence[Sequence[int]], n_slices: int, distinct: bool) -> Sequence[Sequence[int]]:
    """The order of each slice."""
    orders = [labels] * n_slices if all(isinstance(value, (int, np.integer)) for value in labels) else list(labels)
    for order in orders:
        values = list(order) if isinstance(order, Sequence) else []
        whole = all(isinstance(value, (int, np.integer)) and 0 <= value < 1 << 31 for value in values)
        if not values or not whole or (distinct and len(set(values)) < len(values)) or len(orders) != n_slices:
            what, fix = "the setting labels has no such value", "name the labels' values from the darkest on"
            each = "different whole numbers" if distinct else "whole numbers"
            expected = f"{each} from 0, one order for all or one for each of {n_slices} slices"
            raise UsageError(Fault("E903", what, fix, expected, repr(labels)))
    return orders  # type: ignore[return-value]


def _reference(reference: LabelMap, components: Components, axis: int | None) -> LabelMap:
    if reference.shape != components.shape:
        what, fix = "the reference has another shape than the components", "give it on the image's grid"
        raise DataError(Fault("E201", what, fix, str(components.shape), str(reference.shape)))
    return slices_of(as_label_map(reference), axis)


def _refuse_posteriors(posteriors: Image) -> None:
    if posteriors.ndim not in (3, 4) or posteriors.size == 0:
        fix = "give one picture (K, X, Y) or volume (K, X, Y, Z)"
        raise DataError(Fault("E204", "not one picture or volume", fix, "3 or 4 axes", str(posteriors.shape)))
    if not posteriors.min() >= 0:  # NaN is refused too
        fix = "give what medseg.classical.em.posteriors returns"
        raise DataError(Fault("E404", "no posteriors", fix, "0 to 1", f"a least value of {posteriors.min():g}"))
