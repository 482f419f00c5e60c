import itertools
import math

import numpy as np
import pytest

from medseg.metrics.shells import NEIGHBOURS, reach, shells


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.5), (3.0, 0.7, 0.7), (0.5, 0.5), (1.5,)])
def test_shells_are_the_nearest_neighbours_in_rising_order(spacing):
    around = shells(spacing, (1000,) * len(spacing))
    lengths = [mm for mm, _ in around]
    assert lengths == sorted(set(lengths))
    found = {tuple(step): mm for mm, steps in around for step in steps.tolist()}
    assert len(found) == sum(len(steps) for _, steps in around) >= NEIGHBOURS
    extent = [int(lengths[-1] / mm) + 2 for mm in spacing]
    nearest = {
        step: math.dist(np.multiply(step, spacing), (0,) * len(spacing))
        for step in itertools.product(*(range(-n, n + 1) for n in extent))
        if any(step)
    }
    for step, mm in found.items():
        assert mm == pytest.approx(nearest[step], rel=1e-12)
    missing = [mm for step, mm in nearest.items() if step not in found]
    assert min(missing) > lengths[-1]


def test_steps_that_leave_the_box_are_left_out():
    around = shells((1.0, 1.0, 4.0), (50, 3, 1))
    steps = np.concatenate([steps for _, steps in around])
    assert np.abs(steps).max(axis=0)[1:].tolist() == [2, 0]
    assert reach(around, 3)[1:] == (2, 1)
    assert shells((1.0, 1.0), (1, 1)) == [] and reach([], 2) == (1, 1)
