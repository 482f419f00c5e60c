import itertools

import numpy as np
import pytest

from medseg.classical.component_labels import label_components, label_partition, smooth
from medseg.errors import DataError, UsageError


def mean_dice(found, truth, labels):
    """Over labels, 0 for one that is in neither."""
    pairs = [(found == label, truth == label) for label in labels]
    return np.mean([2 * (a & b).sum() / max(1, a.sum() + b.sum()) for a, b in pairs])


def test_a_partition_by_hand():
    label_map = np.zeros((4, 5, 6), np.uint8)
    label_map[1:3, 1, 2] = 1
    label_map[0, 0, 3:5] = 2
    label_map[3, 3, 3] = 1
    label_map[..., 5] = 1
    found = label_partition(label_map, axis=2)
    assert found.labels == ((0,), (0,), (0, 1), (0, 1, 2), (0, 2), (1,))
    assert list(found.n_labels) == [1, 1, 2, 3, 2, 1]
    assert found.counts == {1: 3, 2: 2, 3: 1}
    assert label_partition(label_map, axis=0).counts == {1: 0, 2: 3, 3: 1}
    assert label_partition(label_map.astype(np.float32), axis=-1) == found


def test_the_counts_sum_to_the_slices_and_large_values_cost_no_memory():
    label_map = np.random.default_rng(0).choice([0, 3, 2_000_000_000], (3, 3, 50), p=[0.8, 0.1, 0.1])
    found = label_partition(label_map, axis=2)
    assert sum(found.counts.values()) == 50 and set(found.counts) == {1, 2, 3}
    assert found.labels == tuple(tuple(np.unique(label_map[..., z]).tolist()) for z in range(50))


def test_sorted_means_names_components_in_order():
    components = np.array([[0, 1, 2], [2, 1, 1]], np.uint8)
    found = label_components(components, [0, 2, 1])
    assert np.array_equal(found, [[0, 2, 1], [1, 2, 2]]) and found.dtype == np.uint8
    by_slice = label_components(components, [(0, 5, 700), (3, 0, 0)], axis=0)
    assert np.array_equal(by_slice, [[0, 5, 700], [0, 0, 0]]) and by_slice.dtype == np.uint16
    inside = np.array([[1, 1, 0], [1, 0, 1]], bool)
    assert np.array_equal(label_components(components, [4, 5, 6], inside=inside), [[4, 5, 0], [6, 0, 5]])
    components[~inside] = 200
    assert np.array_equal(label_components(components, [4, 5, 6], inside=inside), [[4, 5, 0], [6, 0, 5]])


def test_the_oracle_by_hand():
    """Component 0 is mostly label 2, component 1 label 0, component 2 label 1."""
    components = np.array([[0, 0, 0, 1, 1, 1, 2, 2, 2]], np.uint8)
    truth = np.array([[2, 2, 0, 0, 0, 1, 1, 1, 1]], np.int16)
    found = label_components(components, [0, 1, 2], "best_permutation", truth)
    assert np.array_equal(found, [[2, 2, 2, 0, 0, 0, 1, 1, 1]])


@pytest.mark.parametrize("axis", [None, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_the_oracle_has_the_greatest_mean_dice_of_all_permutations(axis, masked):
    draw = np.random.default_rng(0)
    labels, better = [0, 1, 4], 0
    for _ in range(20):
        components, truth = draw.integers(0, 3, (4, 5, 3), np.uint8), draw.choice(labels, (4, 5, 3))
        inside = draw.random(truth.shape) < 0.6 if masked else np.ones(truth.shape, bool)
        mask = inside if masked else None
        oracle = label_components(components, labels, "best_permutation", truth, axis, mask)
        honest = label_components(components, labels, axis=axis, inside=mask)
        assert not oracle[~inside].any()
        for z in range(3) if axis == 2 else [slice(None)]:
            here = inside[..., z]
            every = [
                mean_dice(np.array(order)[components[..., z]][here], truth[..., z][here], labels[1:])
                for order in itertools.permutations(labels)
            ]
            assert mean_dice(oracle[..., z][here], truth[..., z][here], labels[1:]) == pytest.approx(max(every))
            better += max(every) > mean_dice(honest[..., z][here], truth[..., z][here], labels[1:])
    assert better > 5


def test_the_background_decides_nothing_but_ties():
    """Component 1 holds all of the label among much else: as background it would have the greater sum of Dice."""
    components = np.array([0] * 3 + [1] * 7, np.uint8)
    truth = np.array([0] * 9 + [1])
    assert np.array_equal(label_components(components, [0, 1], "best_permutation", truth), components)
    assert np.array_equal(label_components(components, [0, 1], "best_permutation", truth * 0), 1 - components)


def test_the_oracle_leaves_labels_over_where_components_are_fewer():
    components = np.array([0, 0, 1, 1], np.uint8)
    truth = np.array([0, 0, 7, 7])
    assert np.array_equal(label_components(components, [0, 3, 7], "best_permutation", truth), truth)


def posteriors_of(likely, certainty, k):
    """(k, *shape) with `certainty` for the likely component and the rest shared."""
    shares = np.full((k, *likely.shape), (1 - certainty) / (k - 1), np.float32)
    np.put_along_axis(shares, likely[None].astype(np.int64), certainty, axis=0)
    return shares


@pytest.mark.parametrize("shape", [(40, 40), (20, 20, 12)])
def test_salt_and_pepper_go(shape):
    draw = np.random.default_rng(0)
    truth = np.zeros(shape, int)
    truth[shape[0] // 2 :] = 1
    truth[shape[0] // 4 : shape[0] // 2, shape[1] // 2 :] = 2
    noisy = np.where(draw.random(shape) < 0.1, draw.integers(0, 3, shape), truth)
    found = smooth(posteriors_of(noisy, 0.8, 3), beta=1.0)
    assert found.dtype == np.uint8
    assert (noisy != truth).mean() > 0.05
    assert (found != truth).mean() < 0.02


def test_beta_0_changes_nothing():
    shares = np.random.default_rng(0).dirichlet([1, 1, 1], (6, 7, 5)).transpose(3, 0, 1, 2)
    assert np.array_equal(smooth(shares, beta=0), shares.argmax(axis=0))


@pytest.mark.parametrize(("beta", "found"), [(0.21, 0), (0.22, 1)])
def test_four_neighbours_outvote_odds_of_7_to_3(beta, found):
    """From beta = log(7 / 3) / 4 = 0.2118 on."""
    shares = np.zeros((2, 3, 3))
    shares[1] = 1
    shares[:, 1, 1] = 0.7, 0.3
    assert smooth(shares, beta)[1, 1] == found


def test_of_equals_the_darker_one():
    neighbours = np.array([[0, 0, 0], [1, 0, 1], [0, 0, 0]])
    shares = posteriors_of(neighbours, 1.0, 2)
    shares[:, 1, 1] = 0.5
    assert smooth(shares, 0.3)[1, 1] == 0
    assert smooth(shares, 0.3, axis=0)[1, 1] == 1


def score(logs, components, beta, axes):
    """What iterated conditional modes raise: posteriors and like pairs, written down."""
    alike = sum((np.diff(components.astype(int), axis=axis) == 0).sum() for axis in axes)
    return np.take_along_axis(logs, components[None].astype(int), axis=0).sum() + beta * alike


@pytest.mark.parametrize(("shape", "axis"), [((5, 6), None), ((4, 3, 3), None), ((4, 3, 3), 1)])
def test_it_rises_to_where_no_voxel_alone_can_better_it(shape, axis):
    shares = np.random.default_rng(1).dirichlet([1, 1, 1], shape).transpose(len(shape), *range(len(shape)))
    logs, beta, axes = np.log(shares), 0.6, [a for a in range(len(shape)) if a != axis]
    scores = [score(logs, smooth(shares, beta, axis, max_iter=n), beta, axes) for n in range(1, 6)]
    assert scores[0] > score(logs, shares.argmax(axis=0), beta, axes) and np.all(np.diff(scores) >= 0)
    end = smooth(shares, beta, axis, max_iter=50)
    best = score(logs, end, beta, axes)
    for voxel in np.ndindex(shape):
        for k in range(3):
            other = end.copy()
            other[voxel] = k
            assert score(logs, other, beta, axes) <= best + 1e-9


def test_slices_that_stay_by_themselves_are_each_alone():
    shares = np.random.default_rng(2).dirichlet([1, 1], (9, 5, 8)).transpose(3, 0, 1, 2)
    found = smooth(shares, 0.8, axis=-2)
    alone = np.stack([smooth(shares[:, :, y], 0.8) for y in range(5)], axis=1)
    assert np.array_equal(found, alone)
    assert not np.array_equal(found, smooth(shares, 0.8))


def test_voxels_outside_are_nobodys_neighbours():
    shares = np.random.default_rng(3).dirichlet([1, 1], (12, 10)).transpose(2, 0, 1)
    inside = np.zeros((12, 10), bool)
    inside[:6] = True
    found = smooth(shares, 0.9, inside=inside)
    assert np.array_equal(found[:6], smooth(shares[:, :6], 0.9)) and not found[6:].any()


COMPONENTS = np.array([[0, 1], [1, 2]], np.uint8)


@pytest.mark.parametrize(
    ("error", "code", "call"),
    [
        (UsageError, "E903", lambda: label_components(COMPONENTS, [0, 1])),
        (UsageError, "E903", lambda: label_components(COMPONENTS, [0, 1, -1])),
        (UsageError, "E903", lambda: label_components(COMPONENTS, [[0, 1, 2]] * 3, axis=0)),
        (UsageError, "E903", lambda: label_components(COMPONENTS, [])),
        (UsageError, "E903", lambda: label_components(COMPONENTS, [0, 1, 2], "best")),
        (UsageError, "E903", lambda: label_components(COMPONENTS, [0, 1, 2], "best_permutation")),
        (UsageError, "E903", lambda: label_components(COMPONENTS, [0, 1, 2], reference=COMPONENTS)),
        (UsageError, "E903", lambda: label_components(COMPONENTS, [0, 1, 1], "best_permutation", COMPONENTS)),
        (DataError, "E201", lambda: label_components(COMPONENTS, [0, 1, 2], "best_permutation", COMPONENTS[:1])),
        (DataError, "E201", lambda: label_components(COMPONENTS, [0, 1, 2], inside=np.ones(4, bool))),
        (DataError, "E303", lambda: label_partition(np.array([[0.5, 1]]), 0)),
        (UsageError, "E903", lambda: label_partition(COMPONENTS, 2)),
        (UsageError, "E903", lambda: smooth(np.full((2, 3, 3), 0.5), -1)),
        (UsageError, "E903", lambda: smooth(np.full((2, 3, 3), 0.5), 1, axis=2)),
        (UsageError, "E903", lambda: smooth(np.full((2, 3, 3), 0.5), 1, max_iter=0)),
        (DataError, "E201", lambda: smooth(np.full((2, 3, 3), 0.5), 1, inside=np.ones((2, 3), bool))),
        (DataError, "E204", lambda: smooth(np.full((2, 3), 0.5), 1)),
        (DataError, "E404", lambda: smooth(np.full((2, 3, 3), np.nan), 1)),
    ],
)
def test_what_makes_no_sense_is_refused(error, code, call):
    with pytest.raises(error, match=code):
        call()
