import itertools

import numpy as np
import pytest
from scipy import ndimage

from medseg.classical import crf
from medseg.classical.crf import Parameters, refine, window_reach
from medseg.errors import DataError, UsageError

UNLIKE_THE_DEFAULTS = {"w1": 4.0, "theta_alpha": 3.5, "theta_beta": 0.3, "w2": 1.5, "theta_gamma": 1.2, "iterations": 4}


def drawn(shape, labels=3, channels=2, seed=0):
    """Probabilities (labels, *shape), all above 0.003, and an image (channels, *shape), of float64."""
    draw = np.random.default_rng(seed)
    scores = np.exp(draw.uniform(-2, 2, (labels, *shape)))
    return scores / scores.sum(axis=0), draw.random((channels, *shape))


def all_pairs(probabilities, image, spacing, reach, p):
    """The mean field written down with a matrix of all pairs of voxels, cut to those within the window."""
    shape = image.shape[1:]
    index = np.array(list(np.ndindex(shape)))
    apart = index[:, None] - index[None]
    window = (np.abs(apart) <= reach).all(axis=-1)
    away = ((apart * np.asarray(spacing)) ** 2).sum(axis=-1)
    values = image.reshape(len(image), -1).T
    unlike = ((values[:, None] - values[None]) ** 2).sum(axis=-1)
    appearance = np.exp(-away / (2 * p.theta_alpha**2) - unlike / (2 * p.theta_beta**2)) * window
    smoothness = np.exp(-away / (2 * p.theta_gamma**2)) * window
    pull = np.zeros_like(away, dtype=float)
    for weight, kernel in ((p.w1, appearance), (p.w2, smoothness)):
        n = kernel.sum(axis=1)
        pull += weight * kernel / np.sqrt(n[:, None] * n[None])
    np.fill_diagonal(pull, 0)  # j other than i
    start = probabilities.reshape(len(probabilities), -1).T
    q = start
    for _ in range(p.iterations):
        q = start * np.exp(pull @ q)
        q /= q.sum(axis=1, keepdims=True)
    return q.T.reshape(probabilities.shape)


GRIDS = {  # shape, spacing, radius, and the window's reach along each axis, worked out by hand
    "2D": ((7, 6), None, 2, (2, 2)),
    "2D in mm": ((7, 6), (0.5, 1.1), 3, (3, 1)),
    "3D": ((4, 5, 3), None, 2, (2, 2, 2)),
    "3D in mm": ((4, 5, 3), (2.0, 0.8, 1.5), 2, (0, 2, 1)),
    "one slice": ((6, 5, 1), (0.9, 0.9, 0.1), 2, (2, 2, 0)),
    "a window beyond the image": ((4, 3, 3), None, 9, (3, 2, 2)),
}


@pytest.mark.parametrize("at_once", [7, 1 << 15])
@pytest.mark.parametrize("grid", GRIDS)
def test_it_is_the_mean_field_of_all_pairs_in_the_window(monkeypatch, grid, at_once):
    monkeypatch.setattr(crf, "AT_ONCE", at_once)
    shape, spacing, radius, reach = GRIDS[grid]
    probabilities, image = drawn(shape)
    parameters = Parameters(**UNLIKE_THE_DEFAULTS, radius=radius)
    expected = all_pairs(probabilities, image, spacing or np.ones(len(shape)), reach, parameters)
    assert np.abs(expected - probabilities).max() > 0.2
    found = refine(probabilities, image, spacing, parameters)
    assert np.abs(found - expected).max() < 1e-12
    single = refine(probabilities.astype(np.float32), image.astype(np.float32), spacing, parameters)
    assert single.dtype == np.float32
    assert np.abs(single - expected).max() < 1e-5


@pytest.mark.parametrize("weights", [{"w1": 0.0}, {"w2": 0.0}, {"iterations": 1}])
def test_either_kernel_alone_and_a_single_iteration(weights):
    probabilities, image = drawn((6, 5), labels=2, channels=1)
    parameters = Parameters(**(UNLIKE_THE_DEFAULTS | weights), radius=2)
    expected = all_pairs(probabilities, image, (1, 1), (2, 2), parameters)
    assert np.abs(refine(probabilities, image, None, parameters) - expected).max() < 1e-12


def test_two_pixels_worked_out_by_hand():
    """Both kernels are k = exp(-1/2) between the two, n = 1 + k: 2 k / (1 + k) = 0.75508 of the other's Q."""
    probabilities = np.array([[[0.9], [0.4]], [[0.1], [0.6]]])
    parameters = Parameters(w1=1, w2=1, theta_alpha=1, theta_gamma=1, iterations=1)
    found = refine(probabilities, np.zeros((1, 2, 1)), None, parameters)
    odds = [9 * np.exp(0.75508 * (0.4 - 0.6)), 2 / 3 * np.exp(0.75508 * (0.9 - 0.1))]
    assert found[0, :, 0] == pytest.approx([odds[0] / (1 + odds[0]), odds[1] / (1 + odds[1])], abs=1e-5)


def step(shape=(40, 40), at=20, noise=0.03, seed=0):
    """A mask that begins at a column, and its image, bright within, with noise."""
    mask = np.zeros(shape, bool)
    mask[:, at:] = True
    return mask, (0.3 + 0.4 * mask + np.random.default_rng(seed).normal(0, noise, shape))[None]


def two(foreground):
    return np.stack([1 - foreground, foreground])


def test_speckle_goes():
    mask, image = step()
    flipped = np.random.default_rng(1).random(mask.shape) < 0.1
    probabilities = two(np.where(mask ^ flipped, 0.8, 0.2))
    wrong = ((probabilities.argmax(axis=0) == 1) != mask).sum()
    assert wrong > 120
    found = refine(probabilities, image)
    assert ((found.argmax(axis=0) == 1) != mask).sum() == 0


def test_the_border_goes_to_the_edge_of_the_image_and_stays_there():
    """The network is unsure of the border and three columns off; where the image has no edge it stays off."""
    mask, image = step()
    unsure = 1 / (1 + np.exp(-(np.arange(40) - 16.5) / 2.0)) * np.ones((40, 1))
    assert (unsure > 0.5).sum() == mask.sum() + 3 * 40
    found = refine(two(unsure), image).argmax(axis=0)
    assert np.array_equal(found == 1, mask)
    again = refine(two(np.clip(found, 0.2, 0.8)), image).argmax(axis=0)
    assert np.array_equal(again, found)
    flat = refine(two(unsure), np.zeros_like(image)).argmax(axis=0)
    assert (flat == 1).sum() > mask.sum() + 2 * 40


def test_smoothing_alone_knows_no_edge():
    """A bright square of 3 × 3 pixels that the network saw faintly: the image keeps it, smoothness alone does not."""
    mask = np.zeros((21, 21), bool)
    mask[9:12, 9:12] = True
    probabilities, image = two(np.where(mask, 0.7, 0.05)), mask[None].astype(float)
    assert np.array_equal(refine(probabilities, image).argmax(axis=0) == 1, mask)
    assert not refine(probabilities, image, None, Parameters(w1=0.0)).argmax(axis=0).any()


def test_without_weights_the_probabilities_stay():
    probabilities, image = drawn((9, 8, 4))
    found = refine(probabilities, image, None, Parameters(w1=0.0, w2=0.0))
    assert np.abs(found - probabilities).max() < 1e-12
    certain = np.eye(3)[probabilities.argmax(axis=0)].transpose(3, 0, 1, 2)
    found = refine(certain, image, None, Parameters(w1=0.0, w2=0.0))
    assert np.array_equal(found.argmax(axis=0), certain.argmax(axis=0))
    assert np.abs(found - certain).max() < 3e-5


def test_what_a_network_is_sure_of_can_still_change():
    """Ones and zeros have no odds; with the least probability one of them gives way to all of its neighbours."""
    mask, image = step(noise=0.0)
    wrong = mask.copy()
    wrong[10, 10] = True
    assert np.array_equal(refine(two(wrong.astype(float)), image).argmax(axis=0) == 1, mask)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_sum_over_the_labels_is_one(dtype):
    probabilities, image = drawn((12, 11), labels=4)
    found = refine(probabilities.astype(dtype), image)
    assert found.dtype == (np.float64 if dtype == np.float64 else np.float32)
    assert np.abs(found.sum(axis=0) - 1).max() < 1e-6
    assert found.min() >= 0


def test_the_inputs_stay_as_they_are():
    probabilities, image = drawn((8, 7))
    before = probabilities.copy(), image.copy()
    refine(probabilities, image)
    assert np.array_equal(probabilities, before[0]) and np.array_equal(image, before[1])


def test_lengths_are_in_the_unit_of_the_spacing():
    probabilities, image = drawn((9, 8))
    weak = {"w1": 2.0, "w2": 2.0, "theta_beta": 0.4, "iterations": 2}
    pixels = Parameters(theta_alpha=4.0, theta_gamma=1.5, **weak)
    millimetres = Parameters(theta_alpha=2.0, theta_gamma=0.75, **weak)
    expected = refine(probabilities, image, None, pixels)
    assert np.allclose(refine(probabilities, image, (0.5, 0.5), millimetres), expected, atol=1e-12)
    assert not np.allclose(refine(probabilities, image, (0.5, 0.5), pixels), expected, atol=1e-2)


def test_thick_slices_are_refined_one_by_one():
    probabilities, image = drawn((7, 6, 3))
    weak = Parameters(w1=2.0, w2=2.0, theta_beta=0.4, iterations=2)
    found = refine(probabilities, image, (0.8, 0.8, 5.0), weak)
    for z in range(3):
        single = refine(probabilities[..., z], image[..., z], (0.8, 0.8), weak)
        assert np.allclose(found[..., z], single, atol=1e-12)
    assert not np.allclose(found, refine(probabilities, image, (0.8, 0.8, 2.0), weak), atol=1e-2)


@pytest.mark.parametrize(
    ("spacing", "reach"),
    [((1, 1, 1), (5, 5, 5)), ((0.7, 0.7, 5.0), (5, 5, 0)), ((0.7, 0.7, 2.5), (5, 5, 1)), ((3.0, 1.0, 1.0), (1, 5, 5))],
)
def test_the_window_reaches_equally_far_along_all_axes(spacing, reach):
    assert window_reach((64, 64, 30), spacing, 5) == reach


def test_turned_and_mirrored_images_give_turned_and_mirrored_probabilities():
    probabilities, image = drawn((6, 5, 4), seed=3)
    weak = Parameters(w1=2.0, w2=2.0, theta_beta=0.4, iterations=2)
    expected = refine(probabilities, image, (1.0, 1.2, 0.7), weak)
    for order in itertools.permutations(range(3)):
        axes = [0, *(axis + 1 for axis in order)]
        spacing = [(1.0, 1.2, 0.7)[axis] for axis in order]
        turned = refine(np.flip(probabilities.transpose(axes), 1), np.flip(image.transpose(axes), 1), spacing, weak)
        assert np.allclose(np.flip(turned, 1), expected.transpose(axes), atol=1e-12)


def test_a_blurred_ball_gets_its_border_back():
    grid = np.stack(np.meshgrid(*(np.arange(n) * mm for n, mm in ((22, 1.0), (22, 1.0), (9, 2.5))), indexing="ij"))
    ball = np.linalg.norm(grid - np.array([10.4, 10.7, 10.0]).reshape(3, 1, 1, 1), axis=0) < 7
    draw = np.random.default_rng(0)
    image = (0.25 + 0.5 * ball + draw.normal(0, 0.04, ball.shape))[None]
    scores = ndimage.gaussian_filter(8 * (ball - 0.5), (1.5, 1.5, 0.6)) + draw.normal(0.6, 1.2, ball.shape)
    before = 1 / (1 + np.exp(-scores))
    after = refine(two(before), image, (1.0, 1.0, 2.5))[1]
    wrong = [int(((foreground > 0.5) != ball).sum()) for foreground in (before, after)]
    assert wrong[0] > 100 and wrong[1] < wrong[0] / 10


@pytest.mark.parametrize(
    ("probabilities", "image", "code"),
    [
        (np.full((2, 6), 0.5), np.zeros((1, 6)), "E204"),
        (np.full((2, 6, 5, 4, 3), 0.5), np.zeros((1, 6, 5, 4, 3)), "E204"),
        (np.ones((1, 6, 5)), np.zeros((1, 6, 5)), "E404"),
        (np.full((2, 6, 5), 0.4), np.zeros((1, 6, 5)), "E404"),
        (np.stack([np.full((6, 5), 1.5), np.full((6, 5), -0.5)]), np.zeros((1, 6, 5)), "E404"),
        (np.full((2, 6, 5), np.nan), np.zeros((1, 6, 5)), "E404"),
        (np.full((2, 6, 5), 0.5), np.zeros((1, 5, 6)), "E201"),
        (np.full((2, 6, 5), 0.5), np.zeros((6, 5)), "E201"),
        (np.full((2, 6, 5), 0.5), np.zeros((0, 6, 5)), "E201"),
        (np.full((2, 6, 5), 0.5), np.full((1, 6, 5), np.inf), "E401"),
    ],
)
def test_other_arrays_are_refused(probabilities, image, code):
    with pytest.raises(DataError, match=code):
        refine(probabilities, image)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 1.0, 1.0), (1.0, 0.0), (1.0, -1.0), (1.0, float("nan"))])
def test_a_spacing_that_is_none_is_refused(spacing):
    with pytest.raises(UsageError, match=r"E903.*spacing_mm"):
        refine(*drawn((6, 5)), spacing)


@pytest.mark.parametrize(
    "wrong",
    [{"w1": -1.0}, {"w2": float("nan")}, {"w1": "10"}, {"theta_alpha": 0}, {"theta_beta": -0.1}, {"theta_gamma": None},
     {"iterations": 0}, {"iterations": 2.5}, {"radius": 0}, {"w2": True}],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError, match=f"E903.*{next(iter(wrong))}"):
        Parameters(**wrong)
