import math

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from medseg.labels import Labels
from medseg.metrics.overlap import count
from medseg.metrics.surface import surface_distances

ONE = Labels({"background": 0, "organ": 1})
SHAPE = (20, 16, 12)
MAPS = st.sampled_from([(5, 4, 3), (7, 6, 1), (9, 5)]).flatmap(
    lambda shape: st.tuples(*[arrays.arrays(np.uint8, shape, elements=st.integers(0, 3), fill=st.just(0))] * 2)
)
SPACINGS = st.sampled_from([(1.0, 1.0, 1.0), (0.7, 1.3, 2.9), (3.0, 0.5, 0.8)])
some_examples = settings(max_examples=40, derandomize=True, deadline=None)


def box(*sides, shape=SHAPE, value=1):
    mask = np.zeros(shape, np.uint8)
    mask[sides] = value
    return mask


def organ(prediction, reference, spacing=(1, 1, 1)):
    return surface_distances(prediction, reference, spacing, ONE)["organ"]


def summary(distances, tolerance=1.0):
    return [*distances.directed_mm(), *distances.directed_mm(95), distances.assd_mm(), distances.nsd(tolerance)]


def assert_equal(found, expected):
    """All labels' summaries by name, NaN for NaN."""
    assert {name: summary(each) for name, each in found.items()} == {
        name: pytest.approx(summary(each), rel=1e-12, nan_ok=True) for name, each in expected.items()
    }


def test_a_square_shifted_by_thirty_pixels():
    """Outlines of 10 x 10 pixels, 36 each. Of the shifted one, 10 pixels lie 21 away from the other's right side, 2
    each 22 to 29, and 10 lie 30 away; and back by symmetry."""
    reference = box(slice(2, 12), slice(3, 13), shape=(50, 20, 1))
    prediction = np.roll(reference, 30, axis=0)
    distances = organ(prediction, reference)
    assert distances.hausdorff_mm() == distances.hausdorff_mm(95) == 30
    assert distances.hausdorff_mm(0) == 21
    assert distances.hausdorff_mm(50) == 25.5  # between the 18th of 36, 25, and the 19th, 26
    assert distances.assd_mm() == pytest.approx((10 * 21 + 2 * sum(range(22, 30)) + 10 * 30) / 36)
    assert (distances.nsd(20.9), distances.nsd(21), distances.nsd(30)) == (0, 10 / 36, 1)


def test_thirty_voxels_of_half_a_millimetre():
    reference = box(slice(2, 12), slice(2, 6), slice(2, 6), shape=(50, 8, 8))
    assert organ(np.roll(reference, 30, axis=0), reference, (0.5, 1, 1)).hausdorff_mm() == 15


def test_two_voxels_apart_in_three_directions():
    """3 voxels of 1 mm, 4 of 0.5 mm and 2 of 2.5 mm: the square root of 9 + 4 + 25."""
    distances = organ(box(2, 3, 4), box(5, 7, 6), (1, 0.5, 2.5))
    assert distances.hausdorff_mm() == distances.assd_mm() == pytest.approx(math.sqrt(38), rel=1e-12)


def test_a_rod_beside_a_voxel():
    """A voxel, and a rod of three that begins beside it: 1 | 1, 2, 3 mm away, four surface voxels in all."""
    distances = organ(box(4, 4, 4), box(slice(5, 8), 4, 4))
    assert distances.directed_mm() == (1, 3)
    assert distances.directed_mm(50) == (1, 2)
    assert distances.assd_mm() == pytest.approx((1 + 1 + 2 + 3) / 4)
    assert distances.nsd(1) == 2 / 4


def test_the_surface_of_a_cube_is_a_voxel_thick():
    """A cube of 5 inside one of 9, centred: 5³ - 3³ = 98 and 9³ - 7³ = 386 surface voxels. Each of the inner ones lies
    2 mm from the outer face before it; an outer one lies as far as it is beyond the inner cube along each axis."""
    inner, outer = box(*[slice(5, 10)] * 3, shape=(15,) * 3), box(*[slice(3, 12)] * 3, shape=(15,) * 3)
    distances = organ(inner, outer)
    assert distances.directed_mm() == (2, pytest.approx(math.sqrt(12)))
    beyond = [max(0, abs(x) - 2) for x in range(-4, 5)]
    listed = [
        math.hypot(beyond[x], beyond[y], beyond[z])
        for x in range(9)
        for y in range(9)
        for z in range(9)
        if {x, y, z} & {0, 8}
    ]
    assert len(listed) == 386
    assert distances.assd_mm() == pytest.approx((98 * 2 + sum(listed)) / (98 + 386))
    assert distances.reference_to_prediction.n == 386 and distances.prediction_to_reference.n == 98


def test_the_border_of_the_image_is_surface():
    """A full image of 4 x 4 x 4 and its inner 2 x 2 x 2: each of 8 has a face neighbour on the border."""
    full, inner = np.ones((4, 4, 4), np.uint8), box(*[slice(1, 3)] * 3, shape=(4, 4, 4))
    assert organ(inner, full).directed_mm() == (1, pytest.approx(math.sqrt(3)))


def test_far_errors_are_found_beyond_the_shells():
    """A blob 60 mm off among voxels that coincide, of an anisotropic image."""
    reference = box(slice(2, 10), slice(2, 10), slice(2, 6), shape=(100, 12, 8))
    prediction = reference.copy()
    prediction[99, 9, 5] = 1
    distances = organ(prediction, reference, (0.7, 0.8, 3))
    assert distances.directed_mm() == (pytest.approx(90 * 0.7), 0)
    n_voxels = distances.prediction_to_reference.n + distances.reference_to_prediction.n
    assert distances.assd_mm() == pytest.approx(63 / n_voxels)


def test_a_missing_mask_has_no_distance():
    """In neither direction; MONAI says infinity, NaN or 0, as the metric has it (test_against_monai.py)."""
    for pair in ((box(), box(1, 1, 1)), (box(1, 1, 1), box(value=0)), (box(value=0), box(value=0))):
        masks = [np.where(mask.all(), 0, mask).astype(np.uint8) for mask in pair]
        assert all(math.isnan(value) for value in summary(organ(*masks)))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int32, np.int64])
def test_any_type_and_order_in_memory(dtype):
    prediction, reference = (np.random.default_rng(seed).random(SHAPE) < 0.05 for seed in (1, 2))
    expected = {"organ": organ(prediction.astype(np.uint8), reference.astype(np.uint8), (0.7, 1, 3))}
    for order in (np.ascontiguousarray, np.asfortranarray, lambda each: each[:, ::-1]):
        pair = [order(each.astype(dtype)) for each in (prediction, reference)]
        assert_equal({"organ": organ(*pair, (0.7, 1, 3))}, expected)


def test_values_without_a_name_are_background():
    reference = box(slice(3, 9), slice(3, 9), slice(3, 9))
    prediction = np.roll(reference, 1, axis=0)
    with_others = np.where(prediction == 0, 3, prediction)
    assert_equal({"organ": organ(with_others, reference)}, {"organ": organ(prediction, reference)})


def test_a_name_may_hold_the_background():
    """Its surface lies around the hole as well as at the image's border."""
    labels = Labels({"outside": [0, 2], "hole": 1})
    prediction, reference = box(4, 4, 4), box(8, 4, 4)
    found = surface_distances(prediction, reference, (1, 1, 1), labels)["outside"]
    expected = organ((prediction == 0).astype(np.uint8), (reference == 0).astype(np.uint8))
    assert_equal({"outside": found}, {"outside": expected})
    assert found.prediction_to_reference.n > 1000


def test_simpleitk_measures_from_the_inside_too():
    """A cube of 10 whose reference has a hole of 2 x 2 x 2 in the middle. SimpleITK: the hole's 8 voxels lie 1 mm from
    the reference, of 1000. Ours: the hole's walls lie 3 to 4 mm from the cube's surface."""
    cube = box(*[slice(5, 15)] * 3, shape=(20,) * 3)
    hollow = cube.copy()
    hollow[9:11, 9:11, 9:11] = 0
    theirs = sitk.HausdorffDistanceImageFilter()
    theirs.Execute(sitk.GetImageFromArray(cube), sitk.GetImageFromArray(hollow))
    assert theirs.GetHausdorffDistance() == pytest.approx(1)
    assert theirs.GetAverageHausdorffDistance() == pytest.approx((8 / 1000 + 0) / 2)
    assert organ(cube, hollow).directed_mm() == (0, 3)


@pytest.mark.parametrize(
    "spacing", [(1, 1), (1, 1, 0), (1, -1, 1), (1, math.nan, 1), (math.inf, 1, 1)], ids=lambda spacing: str(spacing)
)
def test_spacings_are_positive_and_one_an_axis(spacing):
    with pytest.raises(ValueError, match="expected a positive spacing for each of 3 axes"):
        organ(box(1, 1, 1), box(1, 1, 1), spacing)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes differ"):
        organ(box(1, 1, 1), box(1, 1, 1)[:-1])


LABELS = Labels({"background": 0, "a": 1, "b": 2, "c": 3, "a or b": [1, 2], "b or c": [2, 3]})


@some_examples
@given(MAPS, SPACINGS)
def test_properties_of_every_pair(pair, spacing):
    """Symmetric; HD95 <= HD; NSD rises with the tolerance to 1; Dice = 2 IoU / (1 + IoU)."""
    spacing = spacing[: pair[0].ndim]
    forth, back = (surface_distances(*each, spacing, LABELS) for each in (pair, pair[::-1]))
    counts = count(*pair, LABELS)
    for name in LABELS.foreground:
        one, other, overlap = forth[name], back[name], counts[name]
        assert one.directed_mm() == pytest.approx(other.directed_mm()[::-1], nan_ok=True)
        assert summary(one)[4:] == pytest.approx(summary(other)[4:], nan_ok=True)
        if math.isnan(one.hausdorff_mm()):
            assert overlap.tp == 0
            continue
        assert 0 <= one.hausdorff_mm(95) <= one.hausdorff_mm()
        assert one.assd_mm() <= one.hausdorff_mm()
        shares = [one.nsd(tolerance) for tolerance in (0, 0.7, 1.3, 4, one.hausdorff_mm())]
        assert shares == sorted(shares) and shares[-1] == 1
        assert overlap.dice == pytest.approx(2 * overlap.iou / (1 + overlap.iou))


@some_examples
@given(MAPS, SPACINGS, st.permutations(LABELS.foreground))
def test_the_order_of_names_does_not_matter_and_a_union_is_a_label(pair, spacing, order):
    spacing = spacing[: pair[0].ndim]
    found = surface_distances(*pair, spacing, LABELS)
    shuffled = Labels({"background": 0} | {name: LABELS.values[name] for name in order})
    assert list(surface_distances(*pair, spacing, shuffled)) == list(order)
    assert_equal(surface_distances(*pair, spacing, shuffled), found)
    united = [np.isin(label_map, [1, 2]) for label_map in pair]
    alone = surface_distances(*united, spacing, Labels({"background": 0, "a or b": 1}))
    assert_equal(alone, {"a or b": found["a or b"]})
    assert count(*united, Labels({"background": 0, "a or b": 1}))["a or b"] == count(*pair, LABELS)["a or b"]


@some_examples
@given(MAPS, SPACINGS)
def test_a_turned_enlarged_or_embedded_image_has_the_same_surfaces(pair, spacing):
    spacing = np.array(spacing[: pair[0].ndim])
    found = surface_distances(*pair, spacing, LABELS)
    turned = surface_distances(*(each.transpose() for each in pair), spacing[::-1], LABELS)
    assert_equal(turned, found)
    padded = surface_distances(*(np.pad(each, [(1, 4)] * (each.ndim - 1) + [(0, 0)]) for each in pair), spacing, LABELS)
    assert_equal(padded, found)
    doubled = surface_distances(*pair, 2 * spacing, LABELS)
    for name, each in found.items():
        expected = [2 * value for value in summary(each)[:5]]
        assert summary(doubled[name])[:5] == pytest.approx(expected, nan_ok=True)
