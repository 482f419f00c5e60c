import math
import os
import subprocess
import sys

import numpy as np
import pytest

from medseg.metrics.distances import Distances

LENGTHS = [0.0, 0.7, 1.0, math.sqrt(2), 30.5]


@pytest.mark.parametrize("seed", range(20))
def test_percentiles_are_numpys_of_the_distances_listed(seed):
    rng = np.random.default_rng(seed)
    voxels = rng.integers(0, 1 + 4**seed % 50, len(LENGTHS))
    voxels[seed % len(LENGTHS)] += 1
    listed = np.repeat(LENGTHS, voxels)
    distances = Distances(np.array(LENGTHS), voxels)
    for percentile in (0, 5, 50, 94.9, 95, 99.5, 100):
        assert distances.percentile_mm(percentile) == np.percentile(listed, percentile)
    assert distances.n == listed.size
    assert distances.sum_mm == pytest.approx(listed.sum())


def test_of_no_voxels():
    distances = Distances(np.empty(0), np.empty(0, np.int64))
    assert distances.n == distances.n_within(1) == distances.sum_mm == 0
    assert math.isnan(distances.percentile_mm(95))


def test_a_tolerance_on_the_grid_is_reached_in_spite_of_rounding():
    """3 x 0.1 is 0.30000000000000004 and 3 x 0.7 is 2.0999999999999996 in float64."""
    assert 3 * 0.1 > 0.3 and 3 * 0.7 < 2.1
    for spacing, tolerance in ((0.1, 0.3), (0.7, 2.1)):
        distances = Distances(spacing * np.arange(5.0), np.array([1, 1, 1, 1, 1]))
        assert distances.n_within(tolerance) == 4
        assert distances.n_within(tolerance - 1e-6) == 3


def test_the_number_of_threads_changes_no_bit():
    """A threaded BLAS adds the parts of a long product in another order."""
    script = (
        "import numpy as np; from medseg.metrics.distances import Distances;"
        "mm = np.sort(np.random.default_rng(0).random(100_000));"
        "print(Distances(mm, np.ones(mm.size, int)).sum_mm.hex())"
    )
    sums = []
    for n_threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": n_threads, "OPENBLAS_NUM_THREADS": n_threads}
        sums.append(subprocess.check_output([sys.executable, "-c", script], env=environment))
    assert sums[0] == sums[1]
