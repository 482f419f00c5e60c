import math
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from medseg.classical import em, histograms
from medseg.classical.em import fit, posteriors, predict
from medseg.errors import DataError, UsageError


def tissues(shape=(40, 36, 5), seed=0):
    """A CT of air (much of it exactly -1024), fat, soft tissue and a little bone, mixed differently in each slice."""
    draw = np.random.default_rng(seed)
    image = np.empty(shape)
    for z in range(shape[2]):
        kind = draw.choice(4, shape[:2], p=draw.dirichlet([20, 10, 20, 3]))
        image[..., z] = np.array([-1000, -90, 50, 400])[kind] + np.array([30, 30, 40, 150])[kind] * draw.normal(
            size=shape[:2]
        )
    return np.maximum(np.rint(image), -1024).astype(np.int16)


def start(k, means=None):
    return {
        "weights_init": np.arange(1, k + 1) / (k * (k + 1) / 2),
        "means_init": np.linspace(-300, 350, k) if means is None else np.array(means, float),
        "precisions_init": 1 / np.linspace(50, 150, k) ** 2,
    }


def sklearns(values, k, initial, **settings):
    """scikit-learn's mixture of the voxels one by one, and its components' order by mean."""
    model = GaussianMixture(
        k,
        weights_init=initial["weights_init"],
        means_init=initial["means_init"][:, None],
        precisions_init=initial["precisions_init"][:, None, None],
        **{"tol": 1e-5, **settings},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(np.asarray(values, float).reshape(-1, 1))
    return model, np.argsort(model.means_[:, 0])


def assert_it_is_sklearns(found, row, model, order, atol=1e-6):
    assert np.allclose(found.means[row], model.means_[order, 0], rtol=0, atol=atol)
    assert np.allclose(found.weights[row], model.weights_[order], rtol=0, atol=atol)
    assert np.allclose(found.variances[row], model.covariances_[order, 0, 0], rtol=1e-7, atol=atol)
    assert found.n_iter[row] == model.n_iter_
    assert found.converged[row] == model.converged_
    assert np.allclose(found.lower_bounds[row], model.lower_bounds_, rtol=0, atol=1e-9)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_from_one_start_it_is_scikit_learn_in_every_slice(k):
    image = tissues()
    found = fit(image, k, axis=2, **start(k))
    components, shares = predict(image, found, axis=2), posteriors(image, found, axis=2)
    steps = []
    for z in range(image.shape[2]):
        model, order = sklearns(image[..., z], k, start(k))
        assert_it_is_sklearns(found, z, model, order)
        voxels = image[..., z].reshape(-1, 1).astype(float)
        assert np.array_equal(components[..., z].ravel(), np.argsort(order)[model.predict(voxels)])
        assert np.allclose(shares[..., z].reshape(k, -1).T, model.predict_proba(voxels)[:, order], atol=1e-6)
        steps.append(model.n_iter_)
    assert len(set(steps)) > 1 and max(steps) < 100  # slices end by themselves, not together


def test_pooled_with_an_unsorted_start_and_before_it_is_done():
    image = tissues()
    initial = start(3, means=[50, 300, -900])
    found = fit(image, 3, max_iter=4, **initial)
    model, order = sklearns(image, 3, initial, max_iter=4)
    assert list(order) != [0, 1, 2] and not model.converged_
    assert_it_is_sklearns(found, 0, model, order)


def test_a_component_of_one_intensity_is_as_exact():
    """Padding of -2000 has a variance of reg_covar: squares about anything but its mean would drown that."""
    image = tissues((40, 36, 1))
    image[:12] = -2000
    initial = {**start(3, means=[-1900, -900, 60]), "precisions_init": np.array([1e-4, 1e-4, 1e-4])}
    found = fit(image, 3, **initial)
    model, order = sklearns(image, 3, initial)
    assert model.covariances_.min() < 2e-6
    assert_it_is_sklearns(found, 0, model, order)


@pytest.mark.parametrize("setting", [{"tol": 1e-3}, {"reg_covar": 50.0}, {"max_iter": 7}])
def test_settings_mean_what_scikit_learns_do(setting):
    image = tissues((40, 36, 1))
    found, plain = fit(image, 3, **start(3), **setting), fit(image, 3, **start(3))
    model, order = sklearns(image, 3, start(3), **setting)
    assert_it_is_sklearns(found, 0, model, order)
    assert np.abs(found.variances - plain.variances).max() > 1e-2


def test_one_step_worked_out_by_hand():
    """Of 0, 2 and 4 the 2 lies midway: each component has one voxel and a half. Means (0 + 1) / 1.5 and 4 less that."""
    found = fit(np.array([[4, 0, 2]]), 2, max_iter=1, reg_covar=1e-3, weights_init=[0.5, 0.5], means_init=[0, 4],
                precisions_init=[100, 100])  # fmt: skip
    assert np.allclose(found.weights, [[1 / 2, 1 / 2]], rtol=1e-12)
    assert np.allclose(found.means, [[2 / 3, 10 / 3]], rtol=1e-12)
    assert np.allclose(found.variances, [[8 / 9 + 1e-3] * 2], rtol=1e-12)
    peak = -math.log(math.sqrt(2 * math.pi * 0.01))
    assert found.lower_bounds[0] == pytest.approx([peak + (2 * math.log(0.5) - 2**2 / (2 * 0.01)) / 3])
    assert list(found.n_iter) == [1] and not found.converged[0]


def test_three_normal_distributions_are_recovered():
    draw = np.random.default_rng(0)
    y, x = np.ogrid[:128, :128]
    truth = ((x - 64) ** 2 + (y - 64) ** 2 < 50**2).astype(int) + ((x - 70) ** 2 + (y - 60) ** 2 < 25**2)
    image = draw.normal(6.0 * truth, 1).astype(np.float32)
    found = fit(image, 3)
    assert np.allclose(found.means, [[0, 6, 12]], atol=0.1)
    assert np.allclose(found.variances, 1, atol=0.1)
    assert np.allclose(found.weights, np.bincount(truth.ravel())[None] / truth.size, atol=0.01)
    components = predict(image, found)
    for k in range(3):
        a, b = components == k, truth == k
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.99


@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_log_likelihood_never_falls(k):
    found = fit(tissues(seed=k), k, axis=2, tol=1e-12, **start(k))
    for bounds in found.lower_bounds:
        assert len(bounds) > 3 and np.isfinite(bounds).all()
        assert np.diff(bounds).min() > -1e-9
        assert bounds[-1] > bounds[0] + 1e-3


@pytest.mark.parametrize("in_cache", [1, 9000, 1 << 30])
def test_slices_together_are_each_alone(monkeypatch, in_cache):
    image = tissues((30, 28, 7))
    alone = [fit(image[..., z], 3) for z in range(7)]
    monkeypatch.setattr(em, "IN_CACHE", in_cache)
    together = fit(image, 3, axis=-1)
    assert len({one.n_iter[0] for one in alone}) > 2
    for z, one in enumerate(alone):
        assert_equal(one, together, z)


def assert_equal(one, several, row):
    k = one.weights.shape[1]
    for name in ("weights", "means", "variances"):
        assert np.allclose(getattr(one, name)[0], getattr(several, name)[row, :k], rtol=1e-8, atol=1e-9)
    assert one.n_iter[0] == several.n_iter[row]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("at_once", [100, 1 << 20])
def test_neither_axis_nor_layout_nor_parts_matter(monkeypatch, axis, at_once):
    image = tissues((12, 11, 10))
    expected = fit(np.ascontiguousarray(np.moveaxis(image, axis, 0)), 2, axis=0)
    components = predict(image, expected, axis=axis)
    monkeypatch.setattr(histograms, "AT_ONCE", at_once)
    for laid_out in (image, np.asfortranarray(image), np.repeat(image, 2, axis=1)[:, ::2], image.T.copy().T):
        found = fit(laid_out, 2, axis=axis)
        assert np.array_equal(found.means, expected.means)
        assert np.array_equal(predict(laid_out, found, axis=axis), components)
        assert np.array_equal(posteriors(laid_out, found, axis=axis).argmax(axis=0), components)
    assert np.array_equal(fit(image, 2).means, fit(np.asfortranarray(image), 2).means)


def test_only_voxels_inside_count():
    image = tissues()
    inside = np.random.default_rng(1).random(image.shape) < 0.4
    found = fit(image, 3, axis=2, inside=inside)
    pooled = fit(image, 3, inside=inside)
    assert_equal(fit(image[inside], 3), pooled, 0)
    for z in range(image.shape[2]):
        assert_equal(fit(image[..., z][inside[..., z]], 3), found, z)
    image[~inside] = 3000
    assert np.array_equal(fit(image, 3, axis=2, inside=inside).means, found.means)


def test_each_slice_has_its_number_of_components():
    image = tissues()
    numbers = [3, 1, 2, 3, 2]
    found = fit(image, numbers, axis=2)
    assert found.weights.shape == (5, 3) and len(found) == 5
    assert list(found.n_live) == numbers
    for z, k in enumerate(numbers):
        assert_equal(fit(image[..., z], k), found, z)
        assert np.all(found.weights[z, k:] == 0)
    components = predict(image, found, axis=2)
    assert [np.unique(components[..., z]).tolist() for z in range(5)] == [list(range(k)) for k in numbers]
    assert np.allclose(found.means[1, 0], image[..., 1].mean()) and np.allclose(
        found.variances[1, 0], image[..., 1].var()
    )


def test_slices_with_fewer_intensities_than_components():
    """One of a constant, one of two values, one outside the mask, and an ordinary one."""
    image = np.stack([np.full((6, 6), 7), np.repeat([[-3], [20]], [2, 4], axis=0) * np.ones((6, 6), int),
                      np.arange(36).reshape(6, 6), np.arange(36).reshape(6, 6)]).astype(np.int16)  # fmt: skip
    inside = np.ones(image.shape, bool)
    inside[2] = False
    found = fit(image, 3, axis=0, inside=inside)
    assert list(found.n_live) == [1, 2, 0, 3]
    for values in (found.weights, found.means, found.variances, *found.lower_bounds):
        assert np.isfinite(values).all()
    assert np.allclose(found.weights[:3], [[1, 0, 0], [1 / 3, 2 / 3, 0], [0, 0, 0]])
    assert np.allclose(found.means[:3], [[7, 7, 7], [-3, 20, 20], [0, 0, 0]])
    assert np.allclose(found.variances[:3], 1e-6, atol=1e-8)
    assert list(found.n_iter[:3] > 0) == [True, True, False] and found.converged[:3].all()
    components, shares = predict(image, found, axis=0), posteriors(image, found, axis=0)
    assert np.array_equal(components[1], image[1] > 0) and not components[[0, 2]].any()
    assert np.allclose(shares.sum(axis=0), inside)


@pytest.mark.parametrize("value", [0.3, -1e-30, 1e30])
def test_a_constant_of_floats(value):
    image = np.full((3, 4), value)
    found = fit(image, 2)
    assert np.allclose(found.means, value, rtol=1e-12) and found.n_live == 1
    assert not predict(image, found).any()
    assert np.allclose(posteriors(image, found)[0], 1)


def test_whole_numbers_are_counted_as_they_are_in_every_type():
    image = np.random.default_rng(0).integers(0, 200, (9, 8))
    expected = fit(image, 3)
    for dtype in (np.uint8, np.int16, np.uint16, np.int32, np.float16, np.float32, np.float64):
        found = fit(image.astype(dtype), 3, n_bins=5)
        assert np.array_equal(found.means, expected.means)
        assert np.array_equal(predict(image.astype(dtype), found, n_bins=5), predict(image, expected))
    assert np.allclose(fit(image > 99, 2).means, [[0, 1]], atol=1e-6)
    extremes = np.array([-32768, -32768, 32767], np.int16)
    assert np.allclose(fit(extremes, 2).means, [[-32768, 32767]])


def test_floats_of_few_values_are_exact_and_others_nearly():
    draw = np.random.default_rng(0)
    few = (draw.integers(0, 60, (50, 40)) ** 2 / 1700).astype(np.float32)
    initial = {"weights_init": np.full(2, 0.5), "means_init": np.array([0.4, 1.5]), "precisions_init": np.full(2, 4.0)}
    assert_it_is_sklearns(fit(few, 2, **initial), 0, *sklearns(few, 2, initial))
    half = few.astype(np.float16)
    assert np.array_equal(fit(half, 2, n_bins=1 << 17).means, fit(half.astype(np.float32), 2, n_bins=1 << 17).means)
    many = np.concatenate([draw.normal(0.3, 0.2, 1200), draw.normal(1.4, 0.3, 800)])
    model, order = sklearns(many, 2, initial)
    errors = [np.abs(fit(many, 2, n_bins=n, **initial).means[0] - model.means_[order, 0]).max() for n in (32, 4096)]
    assert errors[1] < 1e-5 < errors[0]
    found = fit(many, 2, **initial)
    differ = predict(many, found) != np.argsort(order)[model.predict(many[:, None])]
    assert differ.sum() <= 1  # a voxel within a bin's width of the border
    assert np.allclose(posteriors(many, found).sum(axis=0), 1)


def test_it_starts_from_k_means():
    """Of two clusters the best cut of all; of more, each intensity with its nearest mean; moments as NumPy's."""
    draw = np.random.default_rng(3)
    for k in (2, 3, 4):
        h, x = draw.integers(0, 9, (60, 30)).astype(float), np.sort(draw.choice(500, 30, replace=False)).astype(float)
        weights, means, variances = em._start(h, x, k, 1e-6)
        for row in range(60):
            voxels = np.repeat(x, h[row].astype(int))
            nearest = np.abs(voxels[:, None] - means[row]).argmin(axis=1)
            clusters = [voxels[nearest == c] for c in range(k)]
            assert np.allclose(means[row], [c.mean() for c in clusters])
            assert np.allclose(variances[row], [c.var() + 1e-6 for c in clusters])
            assert np.allclose(weights[row], [len(c) / len(voxels) for c in clusters])
            if k == 2:
                cuts = [(voxels[:i], voxels[i:]) for i in range(1, len(voxels))]
                best = min(a.var() * len(a) + b.var() * len(b) for a, b in cuts)
                assert sum(c.var() * len(c) for c in clusters) == pytest.approx(best)


def test_k_means_keeps_a_cluster_whose_values_are_all_nearer_to_others():
    """0 and 10 have the mean 5; the neighbours' means are -1 and 11."""
    h, x, edges = np.array([[90.0, 1, 1, 90]]), np.array([-1.0, 0, 10, 11]), np.array([[0, 1, 3, 4]])
    sums = np.zeros((3, 1, 5))
    sums[..., 1:] = np.cumsum([h, h * x, h * x**2], axis=2)
    assert np.array_equal(em._settle(sums, edges, x), edges)


def test_k_means_finds_clusters_that_lie_apart():
    x = np.concatenate([np.arange(10.0), np.arange(100.0, 110), np.arange(130.0, 140), np.arange(900.0, 910)])
    means = em._start(np.ones((1, 40)), x, 4, 1e-6)[1]
    assert np.allclose(means, [[4.5, 104.5, 134.5, 904.5]])


def test_what_is_given_of_a_start_is_taken_and_the_rest_is_k_means():
    image = tissues()
    given = fit(image, 2, axis=2, max_iter=1, means_init=[[-500, 0]] * 4 + [[-900, 60]])
    h, x = histograms.histograms(np.moveaxis(image, 2, 0), None, 9)
    weights, _, variances = em._start(h.astype(float), x, 2, 1e-6)
    for z, means in ((0, [-500, 0]), (4, [-900, 60])):
        whole = fit(image[..., z], 2, max_iter=1, means_init=means, weights_init=weights[z],
                    precisions_init=1 / variances[z])  # fmt: skip
        assert_equal(whole, given, z)


GRID = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("error", "code", "image", "settings"),
    [
        (DataError, "E204", np.zeros((0, 3)), {}),
        (DataError, "E204", np.array(3), {}),
        (DataError, "E401", np.array([1.0, np.nan]), {}),
        (DataError, "E401", np.array([1.0, -np.inf]), {}),
        (DataError, "E201", GRID, {"inside": np.ones((2, 3), bool)}),
        (UsageError, "E903", GRID, {"axis": 3}),
        (UsageError, "E903", GRID, {"n_components": 0}),
        (UsageError, "E903", GRID, {"n_components": 2.0}),
        (UsageError, "E903", GRID, {"n_components": [2, 2, 2], "axis": 0}),
        (UsageError, "E903", GRID, {"tol": 0.0}),
        (UsageError, "E903", GRID, {"reg_covar": -1.0}),
        (UsageError, "E903", GRID, {"max_iter": 0}),
        (UsageError, "E903", GRID, {"n_bins": 0}),
        (UsageError, "E903", GRID, {"weights_init": [0.5, 0.6]}),
        (UsageError, "E903", GRID, {"precisions_init": [1, 0]}),
        (UsageError, "E903", GRID, {"means_init": [1, 2, 3]}),
        (UsageError, "E903", GRID, {"means_init": [1, np.nan]}),
        (UsageError, "E903", GRID, {"means_init": [1, 2], "n_components": [1, 2], "axis": 0}),
    ],
)
def test_what_makes_no_sense_is_refused(error, code, image, settings):
    with pytest.raises(error, match=code):
        fit(image, **{"n_components": 2, **settings})


def test_mixtures_of_other_slices_are_refused():
    mixtures = fit(GRID, 2, axis=0)
    for look in (predict, posteriors):
        with pytest.raises(DataError, match=r"E201.*expected 2 slices; found 1;"):
            look(GRID, mixtures)
