import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

from medseg.metrics.surface import surface_distances

SHAPE = (20, 16, 12)


def blob(rng, touching=False):
    """A few boxes; with `touching` one of them lies at the volume's border."""
    mask = np.zeros(SHAPE, bool)
    for number in range(3):
        low = [0 if touching and number == 0 else int(rng.integers(1, n - 5)) for n in SHAPE]
        mask[tuple(slice(start, start + int(rng.integers(1, 5))) for start in low)] = True
    return mask


def voxel(*place):
    mask = np.zeros(SHAPE, bool)
    mask[place] = True
    return mask


def pairs():
    rng = np.random.default_rng(0)
    yield from ((blob(rng), blob(rng)) for _ in range(4))
    yield from ((blob(rng, True), blob(rng, True)) for _ in range(2))
    yield from ((rng.random(SHAPE) < 0.05, rng.random(SHAPE) < 0.5) for _ in range(2))
    yield voxel(2, 3, 4), voxel(17, 3, 11)
    yield voxel(0, 0, 0), blob(rng)
    yield np.ones(SHAPE, bool), voxel(10, 8, 6)
    same = blob(rng)
    yield same, same


PAIRS = list(pairs())


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.8, 3.0)])
@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_as_monai_defines_them(number, spacing):
    """MONAI's symmetric average too is the mean over the voxels of both surfaces together."""
    found = surface_distances(*PAIRS[number], spacing)
    tensors = [torch.from_numpy(mask)[None, None] for mask in PAIRS[number]]
    for percentile in (95, 100):
        expected = compute_hausdorff_distance(*tensors, include_background=True, percentile=percentile, spacing=spacing)
        assert found.hausdorff_mm(percentile) == pytest.approx(expected.item(), abs=1e-5)
    expected = compute_average_surface_distance(*tensors, include_background=True, symmetric=True, spacing=spacing)
    assert found.assd_mm() == pytest.approx(expected.item(), abs=1e-5)


def test_thirty_voxels_of_half_a_millimetre():
    prediction, reference = np.zeros((2, 50, 8, 8), bool)
    prediction[2:12, 2:6, 2:6] = reference[32:42, 2:6, 2:6] = True
    assert surface_distances(prediction, reference, (0.5, 1, 1)).hausdorff_mm() == pytest.approx(15.0)
    assert surface_distances(reference, prediction, (0.5, 1, 1)).hausdorff_mm() == pytest.approx(15.0)


def test_average_by_hand():
    """A voxel against a rod of three that begins beside it: 1 | 1, 2, 3 mm away, four surface voxels in all."""
    distances = surface_distances(voxel(4, 4, 4), voxel(slice(5, 8), 4, 4), (1, 1, 1))
    assert distances.assd_mm() == pytest.approx((1 + 1 + 2 + 3) / 4)
    assert distances.hausdorff_mm() == pytest.approx(3)


def test_no_surface_no_distance():
    for masks in ((np.zeros(SHAPE, bool), voxel(1, 1, 1)), (voxel(1, 1, 1), np.zeros(SHAPE, bool))):
        distances = surface_distances(*masks, (1, 1, 1))
        assert math.isnan(distances.hausdorff_mm()) and math.isnan(distances.assd_mm())
