"""Gaussian mixtures of intensities, fitted by expectation maximisation on histograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medseg.classical.histograms import (
    Bins,
    Floats,
    Image,
    Mask,
    Whole,
    find_bins,
    histograms,
    look_up,
    mask_of,
    slices_of,
)
from medseg.errors import DataError, Fault, UsageError
from medseg.settings import number, whole_number

IN_CACHE = 1 << 15  # numbers: what EM works on at a time stays within a core's cache
LLOYD = 300  # steps at most of k-means
NEVER_EMPTY = 10 * np.finfo(np.float64).eps  # scikit-learn's: a component without voxels divides by no zero

Parameters = tuple[Floats, Floats, Floats]  # weights, means, variances


@dataclass(frozen=True, eq=False)
class Mixtures:
    """Mixtures of up to K Gaussians, one for each of S slices; S is 1 for an image that was fitted whole.

    The components of each are sorted by their means. A slice with fewer distinct intensities than components has one
    component for each of them, and one without voxels has none; what is missing stands last, with a weight of 0, the
    mean of the brightest component (0 where there is none) and a variance of `reg_covar`. Nothing is ever NaN.

    Attributes:
        weights: (S, K) shares of the voxels, with a sum of 1 over the components (0 for a slice without voxels).
        means: (S, K) in the image's unit.
        variances: (S, K) in its square.
        n_iter: (S,) steps taken; 0 for a slice without voxels.
        converged: (S,) whether the last step changed the bound by less than `tol`.
        lower_bounds: for each slice the mean log-likelihood of a voxel before each step, as scikit-learn's.
    """

    weights: Floats
    means: Floats
    variances: Floats
    n_iter: Whole
    converged: Mask
    lower_bounds: tuple[Floats, ...]

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def n_live(self) -> Whole:
        """(S,) components with a weight."""
        return (self.weights > 0).sum(axis=1)


def fit(
    images: Image,
    n_components: int | Sequence[int] | Whole,
    axis: int | None = None,
    inside: Mask | None = None,
    *,
    tol: float = 1e-5,
    reg_covar: float = 1e-6,
    max_iter: int = 100,
    weights_init: npt.ArrayLike | None = None,
    means_init: npt.ArrayLike | None = None,
    precisions_init: npt.ArrayLike | None = None,
    n_bins: int = 4096,
) -> Mixtures:
    """The Gaussian mixtures of an image's intensities, slice by slice or whole.

    A. P. Dempster, N. M. Laird and D. B. Rubin, "Maximum likelihood from incomplete data via the EM algorithm", J. R.
    Stat. Soc. B 39 (1977), https://doi.org/10.1111/j.2517-6161.1977.tb01600.x. One step is, over voxels x_i::

        E: r_ik = w_k N(x_i | m_k, v_k) / sum_j w_j N(x_i | m_j, v_j)
        M: n_k = sum_i r_ik,  w_k = n_k / n,  m_k = sum_i r_ik x_i / n_k,
           v_k = sum_i r_ik (x_i - m_k)² / n_k + reg_covar

    Voxels of one intensity are alike to it, so that each distinct intensity is looked at once: from one start it takes
    the steps of scikit-learn's ``GaussianMixture``, whose names the arguments have, and comes to the same numbers. The
    log-likelihood never falls, but for what `reg_covar` adds to a variance about as small as itself.

    Whole numbers that span up to 65536 values, of integer or floating type, are counted as they are: fit before the
    image is resampled. Others are counted in `n_bins` of equal width from the least to the greatest, each of which
    stands for the mean of its voxels: exact where a bin holds one intensity, and short of the spread within it, of
    about width²/12 in the variances, where it holds several.

    The start, where none is given, is k-means on the histogram: clusters are cut in two where that lowers the sum of
    squares most, until there are enough, and each cut is followed by Lloyd's steps. No chance is in it.

    Args:
        images: a picture or volume of any shape.
        n_components: of all slices, or one number a slice. Where it is the number of labels that a reference has in a
            slice (`medseg.classical.component_labels.label_partition`), say so: the reference then helps.
        axis: the axis along which slices lie, each with a mixture of its own; None for one mixture of all voxels.
        inside: the shape of `images`; voxels outside count nowhere.
        tol: the change of the mean log-likelihood below which a slice is done.
        reg_covar: what is added to each variance, in the square of the image's unit.
        max_iter: steps at most.
        weights_init, means_init, precisions_init: (K,) or (S, K) where to start, precisions being 1 / variances; what
            is not given comes from k-means, whose components are sorted by mean. A slice with fewer distinct
            intensities than components does without.
        n_bins: for intensities that are no whole numbers.

    Raises:
        DataError: E204, no voxels; E201, a mask of another shape; E401, intensities that are not finite.
        UsageError: E903, a setting that makes no sense.
    """
    number("tol", tol, 0, float("inf"))
    number("reg_covar", reg_covar, 0, float("inf"))
    whole_number("max_iter", max_iter)
    rule = _Rule(tol, reg_covar, max_iter)
    slices = slices_of(images, axis)
    n = _numbers_of_components(n_components, len(slices))
    given = [
        _initial("weights_init", weights_init, n),
        _initial("means_init", means_init, n),
        _initial("precisions_init", precisions_init, n),
    ]
    if given[2] is not None:
        given[2] = 1 / given[2]
    counts, x = histograms(slices, None if inside is None else mask_of(inside, images, axis), n_bins)
    return _fit_histograms(counts, x, n, given, rule)


def predict(images: Image, mixtures: Mixtures, axis: int | None = None, n_bins: int = 4096) -> npt.NDArray[np.uint8]:
    """The most likely component of each voxel: 0 for that of the lowest mean, and so on; the shape of `images`.

    It is looked up by intensity. Intensities that are no whole numbers are looked up by their bin's centre.

    Args:
        images, axis, n_bins: as for `fit`.
        mixtures: of these slices. A slice without any component gets 0.

    Raises:
        DataError: E204, no voxels; E201, another number of slices; E401, intensities that are not finite.
    """
    found = np.empty_like(images, dtype=np.uint8, subok=False)
    slices = slices_of(images, axis)
    _refuse_other_slices(slices, mixtures)
    bins = find_bins(slices, None, n_bins)
    for row, image in enumerate(slices):
        table = _log_densities(bins.values(), mixtures, row).argmax(axis=0).astype(np.uint8)
        look_up(table, bins, image, slices_of(found, axis)[row])
    return found


def posteriors(
    images: Image, mixtures: Mixtures, axis: int | None = None, n_bins: int = 4096, bins: Bins | None = None
) -> npt.NDArray[np.float32]:
    """(K, *images.shape) the probability of each component at each voxel, looked up as by `predict`.

    They sum to 1, but are 0 throughout a slice without any component. Arguments and errors as for `predict`; `bins` are
    those of the whole image, where `images` are a part of it.
    """
    slices = slices_of(images, axis)
    _refuse_other_slices(slices, mixtures)
    found = np.empty((mixtures.weights.shape[1], *images.shape), np.float32)
    bins = find_bins(slices, None, n_bins) if bins is None else bins
    for row, image in enumerate(slices):
        logs = _log_densities(bins.values(), mixtures, row)
        top = logs.max(axis=0)
        shares = np.exp(logs - np.where(np.isfinite(top), top, 0))
        shares /= np.maximum(shares.sum(axis=0), np.finfo(np.float64).tiny)
        for table, out in zip(shares.astype(np.float32), found, strict=True):
            look_up(table, bins, image, slices_of(out, axis)[row])
    return found


@dataclass(frozen=True)
class _Rule:
    """When EM stops, and by how much it widens variances."""

    tol: float
    reg_covar: float
    max_iter: int


def _fit_histograms(counts: Whole, x: Floats, n: Whole, given: list[Floats | None], rule: _Rule) -> Mixtures:
    """Slices with as many components together, so many at a time that the cache holds them."""
    size = len(counts), int(n.max())
    weights, means, variances = np.zeros(size), np.zeros(size), np.full(size, rule.reg_covar)
    n_iter, converged = np.zeros(len(counts), np.int64), np.ones(len(counts), np.bool_)
    bounds = [np.zeros(0)] * len(counts)
    live = np.minimum(n, (counts > 0).sum(axis=1))
    for k in np.unique(live[live > 0]):
        same = np.flatnonzero(live == k)
        at_once = max(1, IN_CACHE // (k * len(x)))
        for rows in np.split(same, range(at_once, len(same), at_once)):
            used = counts[rows].any(axis=0)
            h = counts[rows][:, used].astype(np.float64)
            start = _start(h, x[used], k, rule.reg_covar)
            for values, initial in zip(start, given, strict=True):
                if initial is not None and k == initial.shape[1]:
                    values[:] = initial[rows]
            history, n_iter[rows], converged[rows] = _em(h, x[used], start, rule)
            order = np.argsort(start[1], axis=1, kind="stable")
            for whole, part in zip((weights, means, variances), start, strict=True):
                whole[rows, :k] = np.take_along_axis(part, order, axis=1)
            means[rows, k:] = means[rows, k - 1, None]
            for row, bound in zip(rows, history.T, strict=True):
                bounds[row] = bound[: n_iter[row]]
    return Mixtures(weights, means, variances, n_iter, converged, tuple(bounds))


def _em(h: Floats, x: Floats, start: Parameters, rule: _Rule) -> tuple[Floats, Whole, Mask]:
    """Steps from `start`, which is altered in place; the bounds (max_iter, s), how many there are, and whether done."""
    bounds = np.zeros((rule.max_iter, len(h)))
    n_iter, converged = np.zeros(len(h), np.int64), np.zeros(len(h), np.bool_)
    before, active = np.full(len(h), -np.inf), np.arange(len(h))
    squares = (x - start[1][..., None]) ** 2
    for step in range(rule.max_iter):
        weights, _, variances = (values[active] for values in start)
        now, bound = _step(h, x, squares, weights, variances, rule.reg_covar)
        for values, new in zip(start, now, strict=True):
            values[active] = new
        bounds[step, active] = bound
        n_iter[active] = step + 1
        done = np.abs(bound - before) < rule.tol
        converged[active] = done
        before = bound
        if done.any():
            h, squares, before, active = h[~done], squares[~done], before[~done], active[~done]
            if not len(active):
                break
    return bounds, n_iter, converged


def _step(
    h: Floats, x: Floats, squares: Floats, weights: Floats, variances: Floats, reg_covar: float
) -> tuple[Parameters, Floats]:
    """One E and M step of `h` (s, B) voxels with the intensities `x` (B,), and the mean log-likelihood before it.

    `squares` (s, K, B) of the distances to the means become, in place, those to the new means.
    """
    shares = squares * (-0.5 / variances)[..., None]
    shares += (np.log(weights) - 0.5 * np.log(2 * np.pi * variances))[..., None]
    top = shares.max(axis=1)
    shares -= top[:, None]
    np.exp(shares, out=shares)
    total = shares.sum(axis=1)
    shares *= (h / total)[:, None]  # voxels, not densities, from here
    np.log(total, out=total)
    total += top
    bound = np.einsum("sb,sb->s", total, h) / h.sum(axis=1)
    mass = shares.sum(axis=2) + NEVER_EMPTY
    means = shares @ x / mass
    np.subtract(x, means[..., None], out=squares)
    np.multiply(squares, squares, out=squares)
    new_variances = np.einsum("skb,skb->sk", shares, squares) / mass + reg_covar
    return (mass / mass.sum(axis=1, keepdims=True), means, new_variances), bound


def _start(h: Floats, x: Floats, k: int, reg_covar: float) -> Parameters:
    """k-means of each row of `h` (s, B): the shares, means and variances of its clusters, sorted by mean.

    A cluster is a stretch of the intensities, which sums from the first intensity on give the moments of at once.
    """
    middle = x.mean()
    x = x - middle  # so that sums of squares cancel little
    sums = np.zeros((3, len(h), len(x) + 1))
    np.cumsum([h, h * x, h * x**2], axis=2, out=sums[..., 1:])
    edges = np.tile([0, len(x)], (len(h), 1))
    for _ in range(k - 1):
        edges = np.sort(np.column_stack([edges, _best_cut(sums, edges)]), axis=1)
        edges = _settle(sums, edges, x)
    mass, first, second = np.diff(np.take_along_axis(sums, edges[None], axis=2), axis=2)
    means = first / mass
    variances = np.maximum(second / mass - means**2, 0) + reg_covar
    return mass / mass.sum(axis=1, keepdims=True), means + middle, variances


def _best_cut(sums: Floats, edges: Whole) -> Whole:
    """(s,) before which intensity a cut lowers the sum of squares most, whichever cluster it cuts in two."""
    at = np.zeros(sums.shape[1:], np.int64)
    np.put_along_axis(at, edges[:, 1:-1], 1, axis=1)
    at = np.cumsum(at, axis=1)
    at[:, -1] = edges.shape[1] - 2
    left, right = (
        np.take_along_axis(sums[:2], np.take_along_axis(edges, at + i, axis=1)[None], axis=2) for i in (0, 1)
    )
    (n_below, below), (n_above, above) = sums[:2] - left, right - sums[:2]
    product = n_below * n_above
    lowered = np.where(product > 0, (below * n_above - above * n_below) ** 2, 0)
    return (lowered / np.maximum(product * (n_below + n_above), 1)).argmax(axis=1)


def _settle(sums: Floats, edges: Whole, x: Floats) -> Whole:
    """Lloyd's steps: each intensity to the nearest mean, until none moves or a cluster would be empty."""
    for _ in range(LLOYD):
        mass, first = np.diff(np.take_along_axis(sums[:2], edges[None], axis=2), axis=2)
        means = first / mass
        moved = edges.copy()
        moved[:, 1:-1] = np.searchsorted(x, (means[:, 1:] + means[:, :-1]) / 2)
        kept = np.diff(np.take_along_axis(sums[0], moved, axis=1), axis=1).min(axis=1) > 0
        moved = np.where(kept[:, None], moved, edges)
        if np.array_equal(moved, edges):
            break
        edges = moved
    return edges


def _log_densities(x: Floats, mixtures: Mixtures, row: int) -> Floats:
    """(K, B) the logarithm of each component's weighted density; minus infinity for those without a weight."""
    weights, means, variances = (a[row][:, None] for a in (mixtures.weights, mixtures.means, mixtures.variances))
    with np.errstate(divide="ignore"):
        return np.log(weights) - 0.5 * np.log(2 * np.pi * variances) - (x - means) ** 2 / (2 * variances)


def _refuse_other_slices(slices: Image, mixtures: Mixtures) -> None:
    if len(slices) != len(mixtures):
        what, fix = "the mixtures are of other slices", "predict with the axis that was fitted"
        raise DataError(Fault("E201", what, fix, f"{len(mixtures)} slices", f"{len(slices)}"))


def _numbers_of_components(n_components: int | Sequence[int] | Whole, n_slices: int) -> Whole:
    n = np.asarray(n_components)
    if n.dtype.kind not in "iu" or n.shape not in ((), (n_slices,)) or n.min() < 1 or n.max() >= 1 << 8:
        what, fix = "the setting n_components has no such value", "set n_components to 1 or more"
        expected = f"a whole number from 1 to 255, or one for each of {n_slices} slices"
        raise UsageError(Fault("E903", what, fix, expected, repr(n_components)))
    return np.broadcast_to(n, (n_slices,)).astype(np.int64)


def _initial(name: str, values: npt.ArrayLike | None, n: Whole) -> Floats | None:
    """(S, K) where to start; `means_init` alone may be 0 or less."""
    if values is None:
        return None
    given = np.asarray(values, np.float64)
    size = len(n), int(n.max())
    fits = n.min() == n.max() and given.shape in (size, size[1:]) and bool(np.isfinite(given).all())
    fits = fits and (name == "means_init" or given.min() > 0)
    if not fits or (name == "weights_init" and not np.allclose(given.sum(axis=-1), 1)):
        kinds = {"weights_init": "shares above 0 with a sum of 1", "precisions_init": "numbers above 0"}
        expected = f"{kinds.get(name, 'finite numbers')} of the shape {size[1:]} or {size}, as many in each slice"
        raise UsageError(
            Fault("E903", f"the setting {name} has no such value", f"correct {name}", expected, repr(values))
        )
    return np.broadcast_to(given, size)
