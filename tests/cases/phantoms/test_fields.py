"""The shared drawing of the picture phantoms, against areas, moments and positions worked out by hand."""

import numpy as np
import pytest

from medseg.cases.phantoms._fields import Canvas, Pose, cloud, field, one_piece, pebble, speckle, through


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("length", [3.0, 20.0, 60.0])
def test_a_field_is_as_smooth_as_it_is_said(length):
    values = np.stack([field(rng(seed), (90, 70), length) for seed in range(8)])
    assert values.shape == (8, 90, 70) and values.dtype == np.float32
    np.testing.assert_allclose(values.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(values.std((1, 2)), 1, atol=1e-5)
    slope = np.sqrt(np.mean(np.diff(values, axis=1) ** 2))
    # a wave of unit deviation and three lengths has the slope 2 pi / (3 length)
    assert 0.4 * 2 * np.pi / (3 * length) < slope < 3 * 2 * np.pi / (3 * length)
    assert not np.array_equal(values[0], values[1])


def test_a_field_does_not_favour_an_axis():
    values = np.stack([field(rng(seed), (80, 80), 10) for seed in range(20)])
    across, down = (np.mean(np.diff(values, axis=axis) ** 2) for axis in (1, 2))
    assert across == pytest.approx(down, rel=0.2)


def test_a_cloud_has_large_and_small_features():
    values = cloud(rng(), (120, 120), (4, 40))
    assert values.mean() == pytest.approx(0, abs=1e-4) and values.std() == pytest.approx(1, abs=1e-4)
    rough, smooth = (np.diff(each, axis=0).std() for each in (values, field(rng(), (120, 120), 40)))
    assert rough > 1.5 * smooth


def test_speckle_has_its_deviation():
    assert speckle(rng(), (200, 200), 0.05).std() == pytest.approx(0.05, rel=0.02)


def test_areas_on_a_canvas():
    canvas = Canvas((60, 40))
    canvas.disc(np.array([20.0, 20.0]), 10.0)
    assert canvas.pixels().shape == (60, 40)
    assert canvas.pixels().sum() == pytest.approx(np.pi * 100, rel=0.03)
    canvas.area(np.array([(40.0, 5.0), (50.0, 5.0), (50.0, 35.0), (40.0, 35.0)]), 0.5)
    assert canvas.pixels()[40:51].sum() == pytest.approx(0.5 * 300, rel=0.06)
    x, y = np.indices((60, 40)) + 0.5
    inside = np.hypot(x - 20, y - 20) < 9
    assert (canvas.pixels()[inside] > 0.99).all()


def test_a_stroke_is_as_wide_as_it_is_said_at_each_point():
    canvas, points = Canvas((100, 60)), np.stack([np.linspace(10, 90, 30), np.full(30, 30.0)], 1)
    canvas.stroke(points, np.linspace(4, 12, 30))
    widths = canvas.pixels().sum(1)
    np.testing.assert_allclose(widths[[15, 50, 85]], [4.5, 8.0, 11.5], atol=0.4)
    assert not widths[:7].any() and not widths[98:].any()


def test_later_strokes_lie_over_earlier_ones():
    canvas, line = Canvas((30, 30)), np.array([(2.0, 15.0), (28.0, 15.0)])
    canvas.stroke(line, 8, 1.0)
    canvas.stroke(line, 2, 0.4)
    assert canvas.pixels()[15, 15] == pytest.approx(0.4, abs=0.01)
    assert canvas.pixels()[15, 12] == 1


def test_a_pose_turns_clockwise_on_the_screen():
    pose = Pose(np.array([50.0, 40.0]), 10.0, 90.0, (-1.0, 2.0))
    # x is mirrored, then to the right becomes downwards; y is stretched, then downwards becomes to the left
    np.testing.assert_allclose(pose([(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]), [(50, 30), (30, 40), (50, 40)], atol=1e-9)


def test_a_curve_goes_through_its_points():
    corners = [(0.0, 0.0), (3.0, 4.0), (9.0, 12.0)]
    curve = through(corners, 16)
    np.testing.assert_allclose(curve[[0, 5, 15]], corners, atol=1e-9)
    ring = through([(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)], 40, closed=True)
    np.testing.assert_allclose(np.hypot(*ring.T), 1, atol=0.07)
    np.testing.assert_allclose(np.hypot(*(ring[0] - ring[-1])), np.hypot(*(ring[1] - ring[0])), rtol=0.2)


def test_a_pebble_is_of_about_its_radius():
    reach = np.hypot(*np.concatenate([pebble(rng(seed), 4.0) for seed in range(30)]).T)
    assert reach.min() > 0.4 * 4 and reach.max() < 1.6 * 4
    assert reach.mean() == pytest.approx(0.95 * 4, rel=0.1)


def test_one_piece_is_the_largest_and_has_no_holes():
    mask = np.zeros((20, 20), bool)
    mask[1:4, 1:4] = mask[8:16, 8:16] = True
    mask[11, 11] = False
    expected = np.zeros((20, 20), bool)
    expected[8:16, 8:16] = True
    np.testing.assert_array_equal(one_piece(mask), expected)
