"""Raw scores are MONAI's, to 1e-5, wherever a label is in both masks; what MONAI makes of the others."""

import math
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.metrics import (
    ConfusionMatrixMetric,
    DiceMetric,
    HausdorffDistanceMetric,
    MeanIoU,
    SurfaceDiceMetric,
    SurfaceDistanceMetric,
)

from medseg.labels import Labels
from medseg.metrics.overlap import count
from medseg.metrics.surface import surface_distances
from medseg.volumes import read_volume

LABELS = Labels({"background": 0, "one": 1, "two": 2})
SHAPE = (20, 16, 12)
SPACINGS = [(1.0, 1.0, 1.0), (0.5, 0.8, 3.0), (0.7, 0.7, 0.7)]
CONFUSION = ("sensitivity", "specificity", "precision", "accuracy")
TOLERANCE_MM = 2.1  # three voxels of 0.7 mm


def blobs(rng, touching=False, shape=SHAPE):
    """Boxes of two labels; with `touching` the first lies in the corner of the image."""
    label_map = np.zeros(shape, np.uint8)
    for number in range(6):
        low = [0 if touching and number == 0 else int(rng.integers(1, max(2, n - 5))) for n in shape]
        label_map[tuple(slice(start, start + int(rng.integers(1, 6))) for start in low)] = 1 + number % 2
    return label_map


def noise(rng, density, shape=SHAPE):
    return np.where(rng.random(shape) < density, rng.integers(1, 3, shape), 0).astype(np.uint8)


def voxels(one, two):
    label_map = np.zeros(SHAPE, np.uint8)
    label_map[one], label_map[two] = 1, 2
    return label_map


def pairs():
    rng = np.random.default_rng(0)
    blob = blobs(rng)
    yield "blobs", blobs(rng), blobs(rng)
    yield "blobs again", blobs(rng), blobs(rng)
    yield "at the border", blobs(rng, True), blobs(rng, True)
    yield "noise", noise(rng, 0.5), noise(rng, 0.5)
    yield "sparse against dense", noise(rng, 0.02), noise(rng, 0.9)
    yield "single voxels", voxels((2, 3, 4), (19, 0, 0)), voxels((17, 3, 11), (0, 15, 11))
    yield "a corner against blobs", voxels((0, 0, 0), (19, 15, 11)), blob
    yield "all against voxels", np.repeat(np.uint8([[[1]], [[2]]]), 10, 0) * np.ones(SHAPE, np.uint8), blob
    yield "the same", blob, blob


PAIRS = {name: pair for name, *pair in pairs()}


def one_hot(label_map):
    """(1, 3, X, Y, Z) float32; MONAI's confusion matrix is wrong on booleans."""
    return torch.stack([torch.from_numpy(label_map == value) for value in range(3)])[None].float()


def monai(prediction, reference, spacing):
    """MONAI's values by name: (labels,) float32 each."""
    tensors, spaced = (one_hot(prediction), one_hot(reference)), {"spacing": spacing}
    confusion = ConfusionMatrixMetric(include_background=False, metric_name=CONFUSION, compute_sample=True)
    hausdorff = {
        "hd": HausdorffDistanceMetric(),
        "hd95": HausdorffDistanceMetric(percentile=95),
        "hd_prediction_to_reference": HausdorffDistanceMetric(directed=True),
        "hd95_prediction_to_reference": HausdorffDistanceMetric(directed=True, percentile=95),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels that are absent
        found = {
            "dice": DiceMetric(include_background=False, ignore_empty=False)(*tensors)[0],
            "iou": MeanIoU(include_background=False, ignore_empty=False)(*tensors)[0],
            "assd": SurfaceDistanceMetric(symmetric=True)(*tensors, **spaced)[0],
            "nsd": SurfaceDiceMetric([TOLERANCE_MM] * 2)(*tensors, **spaced)[0],
        }
        found |= {name: metric(*tensors, **spaced)[0] for name, metric in hausdorff.items()}
        confusion(*tensors)
        by_name = zip(CONFUSION, confusion.aggregate(reduction="none"), strict=True)
    return found | {name: value[0] for name, value in by_name}


def ours(prediction, reference, spacing, labels=LABELS):
    """The same of medseg: by name, one value a label."""
    counts = count(prediction, reference, labels)
    surfaces = surface_distances(prediction, reference, spacing, labels)
    found = {
        name: [getattr(counts[label], name) for label in labels.foreground] for name in ("dice", "iou", *CONFUSION)
    }
    return found | {
        "hd": [surfaces[label].hausdorff_mm() for label in labels.foreground],
        "hd95": [surfaces[label].hausdorff_mm(95) for label in labels.foreground],
        "hd_prediction_to_reference": [surfaces[label].directed_mm()[0] for label in labels.foreground],
        "hd95_prediction_to_reference": [surfaces[label].directed_mm(95)[0] for label in labels.foreground],
        "assd": [surfaces[label].assd_mm() for label in labels.foreground],
        "nsd": [surfaces[label].nsd(TOLERANCE_MM) for label in labels.foreground],
    }


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values.tolist(), abs=1e-5, nan_ok=True), name


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("name", PAIRS)
def test_volumes(name, spacing):
    assert_same(ours(*PAIRS[name], spacing), monai(*PAIRS[name], spacing))
    assert_same(ours(*PAIRS[name][::-1], spacing), monai(*PAIRS[name][::-1], spacing))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ["blobs", "at the border", "noise"])
def test_pictures(name, axis):
    """An axis of length 1 is none: MONAI is given the two others."""
    rng, shape = np.random.default_rng(7), (40, 30)
    draw = {"noise": lambda: noise(rng, 0.3, shape), "blobs": lambda: blobs(rng, shape=shape)}
    pair = [draw.get(name, lambda: blobs(rng, True, shape))() for _ in range(2)]
    spacing = [0.7, 1.4]
    flat = [np.expand_dims(label_map, axis) for label_map in pair]
    assert_same(ours(*flat, np.insert(spacing, axis, 5.0).tolist()), monai(*pair, spacing))


def test_one_edge_against_the_tolerance():
    """Planes three voxels of 0.7 or 0.1 mm apart, wherever they lie: within 2.1 or 0.3 mm, for MONAI too."""
    for spacing, tolerance in ((0.7, 2.1), (0.1, 0.3)):
        for start in range(1, 15):
            prediction, reference = np.zeros((2, 20, 4, 4), np.uint8)
            prediction[start], reference[start + 3] = 1, 1
            distances = surface_distances(prediction, reference, (spacing, 1, 1), LABELS)["one"]
            for limit in (tolerance, tolerance - 1e-6):
                metric = SurfaceDiceMetric([limit])
                expected = metric(one_hot(prediction)[:, :2], one_hot(reference)[:, :2], spacing=(spacing, 1.0, 1.0))
                assert distances.nsd(limit) == expected.item() == float(limit == tolerance)


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        (0, 1, {"dice": 0, "iou": 0, "hd": math.inf, "hd95": math.nan, "assd": math.inf, "nsd": 0}),
        (1, 0, {"dice": 0, "iou": 0, "hd": math.inf, "hd95": math.nan, "assd": math.inf, "nsd": 0}),
        (0, 0, {"dice": 1, "iou": 1, "hd": math.nan, "hd95": math.nan, "assd": math.nan, "nsd": math.nan}),
    ],
    ids=["missed", "invented", "absent"],
)
def test_what_monai_makes_of_empty_masks(prediction, reference, expected):
    """An absent label scores 1, and a missed one has no HD95: `mean` leaves it out, or is 0 of nothing.

    Hence raw surface scores are NaN here, and the catalogue's policy follows (test_scores.py).
    """
    masks = [
        np.where(np.arange(64).reshape(4, 4, 4) < 9, value, 0).astype(np.uint8) for value in (prediction, reference)
    ]
    found, theirs = ours(*masks, (1.0, 1.0, 1.0)), monai(*masks, (1.0, 1.0, 1.0))
    for name, value in expected.items():
        assert theirs[name][0].item() == pytest.approx(value, nan_ok=True), name
        if name in ("dice", "iou"):
            assert found[name][0] == pytest.approx(0 if prediction != reference else math.nan, nan_ok=True)
        else:
            assert math.isnan(found[name][0])


def test_a_missed_organ_makes_monais_mean_hd95_perfect():
    metric = HausdorffDistanceMetric(percentile=95)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric(one_hot(np.zeros(SHAPE, np.uint8)), one_hot(PAIRS["blobs"][0]))
    assert metric.aggregate().item() == 0.0


@pytest.mark.skipif("MEDSEG_REAL_DATA" not in os.environ, reason="MEDSEG_REAL_DATA names no folder of real data")
def test_hippocampi():
    """A drawn hippocampus against itself, two voxels on and its parts' border moved."""
    folder = Path(os.environ["MEDSEG_REAL_DATA"]) / "Task04_Hippocampus" / "labelsTr"
    volume = read_volume(sorted(folder.glob("hippocampus_*.nii.gz"))[0])
    moved = np.roll(volume.array, 2, axis=1)
    moved[:, : moved.shape[1] // 2][moved[:, : moved.shape[1] // 2] > 0] = 1
    spacing = volume.geometry.spacing_mm
    assert_same(ours(moved, volume.array, spacing), monai(moved, volume.array, spacing))
