import math

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, compute_iou

from medseg.metrics.overlap import dice, iou


def masks(seed, density=0.3):
    rng = np.random.default_rng(seed)
    return rng.random((2, 6, 7, 8)) < density


@pytest.mark.parametrize("seed", range(5))
def test_as_monai_defines_them(seed):
    prediction, reference = masks(seed, 0.1 + 0.2 * seed)
    tensors = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference)]
    metric = DiceMetric(ignore_empty=False)
    metric(*tensors)
    assert dice(prediction, reference) == pytest.approx(metric.aggregate().item(), abs=1e-6)
    assert iou(prediction, reference) == pytest.approx(compute_iou(*tensors).item(), abs=1e-6)


def test_by_hand():
    prediction, reference = np.array([1, 1, 1, 0], bool), np.array([0, 1, 1, 1], bool)
    assert dice(prediction, reference) == pytest.approx(4 / 6)
    assert iou(prediction, reference) == pytest.approx(2 / 4)


def test_empties():
    full, empty = np.ones(3, bool), np.zeros(3, bool)
    assert dice(full, empty) == dice(empty, full) == iou(full, empty) == iou(empty, full) == 0
    assert math.isnan(dice(empty, empty)) and math.isnan(iou(empty, empty))
    assert dice(full, full) == iou(full, full) == 1
