import dataclasses
import itertools
import zipfile

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medseg.errors import DataError
from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.volumes import Volume, stack
from medseg.volumes.stack import FINE, Detail, Stack, make_stack, read_stack, reduce_stack, write_stack

LABELS = Labels({"background": 0, "organ": [1, 2], "tumour": 2})


def volume(array, affine=None, unit="mm"):
    return Volume(array, Geometry(np.eye(4) if affine is None else affine, array.shape[-3:], unit=unit))


def test_axes_run_to_the_right_anterior_and_superior_whatever_the_order_of_storage():
    """One patient, stored in all 48 orders, is one stack; the marked voxel stays where it was."""
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 200, (5, 6, 7)).astype(np.int16), np.zeros((5, 6, 7), np.uint8)
    mask[0, 1, 2] = 1
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = -20, 30, 40
    for letters in itertools.product("RL", "AP", "SI"):
        for order in itertools.permutations(letters):
            change = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"),
                                                     nib.orientations.axcodes2ornt(order))  # fmt: skip
            turned, turned_mask = (nib.orientations.apply_orientation(array, change) for array in (image, mask))
            stored = volume(turned, affine @ nib.orientations.inv_ornt_aff(change, image.shape))
            found = make_stack(stored, {"reference": turned_mask}, LABELS)
            assert np.array_equal(found.intensities(), image)
            assert np.array_equal(found.masks["reference"], mask)
            assert found.spacing_mm == (1.0, 2.0, 3.0) and found.origin_mm == (-20.0, 30.0, 40.0)


def test_an_oblique_volume_is_turned_to_the_nearest_axes():
    turn = np.deg2rad(20)
    affine = np.eye(4)
    affine[:2, :2] = [[-np.cos(turn), np.sin(turn)], [-np.sin(turn), -np.cos(turn)]]  # stored to the left and back
    array = np.zeros((6, 7, 8), np.int16)
    array[0, 0, 0] = 9  # the patient's right, front and below
    found = make_stack(volume(array, affine), {}, LABELS)
    assert np.argwhere(found.intensities() == 9).tolist() == [[5, 6, 0]]


@pytest.mark.parametrize("degrees", [0.0, 0.2, 30.0])
def test_a_slice_has_a_position_where_all_of_it_lies_there(degrees):
    """Turned by 0.2 degrees about the x axis, a corner 30 mm from the middle is 0.1 mm off; by 30 degrees, 15 mm."""
    turn = np.deg2rad(degrees)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    found = make_stack(volume(np.zeros((20, 61, 61), np.uint8), affine), {}, LABELS)
    if degrees == 30:
        assert found.origin_mm is None and reduce_stack(found, (2, 2, 2)).origin_mm is None
    else:
        assert np.allclose(found.origin_mm, 0, atol=0.11)


def test_slices_that_are_sheared_have_no_position():
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[1, 2] = 3 * np.tan(np.deg2rad(15))  # a tilted gantry
    assert make_stack(volume(np.zeros((20, 20, 30), np.uint8), affine), {}, LABELS).origin_mm is None


def test_a_picture_is_as_it_is():
    array = np.arange(3 * 5 * 4, dtype=np.uint8).reshape(3, 5, 4, 1)
    found = make_stack(volume(array, unit="px"), {}, LABELS)
    assert found.levels is None and found.unit == "px"
    assert np.array_equal(found.image, np.moveaxis(array, 0, -1))


@pytest.mark.parametrize("values", [[0, 1], [-3.5, 0.25, 1e6], list(range(256)), [7.0]])
def test_up_to_256_values_are_exact(values):
    array = np.resize(np.array(values, np.float32), (8, 8, 8))
    assert np.array_equal(make_stack(volume(array), {}, LABELS).intensities(), array)


def test_ct_is_finest_where_soft_tissue_lies():
    rng = np.random.default_rng(0)
    array = rng.integers(-1024, 2500, (40, 40, 20)).astype(np.int16)
    shown = make_stack(volume(array), {}, LABELS).intensities()
    soft = (array > -200) & (array < 300)
    # 500 HU are spread over 150 codes: at most 1.67 HU from the nearest.
    assert np.abs(shown - array)[soft].max() <= 500 / 150 / 2 + 1e-3
    assert np.abs(shown - array)[array < 1500].max() <= 15.1  # elsewhere steps of up to 30 HU
    between = (array + 0.3).astype(np.float32)  # resampled: no longer whole numbers
    shown = make_stack(volume(between), {}, LABELS).intensities()
    assert np.abs(shown - between)[soft].max() <= 500 / 150 / 2 + 1e-3
    assert shown.max() == between.max() and shown.min() == between.min()


def test_what_lies_around_a_ct_takes_one_code():
    array = np.random.default_rng(0).integers(-1024, 2500, (30, 30, 20)).astype(np.int16)
    array[0] = -3024  # where the scanner saw nothing
    shown = make_stack(volume(array), {}, LABELS).intensities()
    assert (shown[0] == -3024).all() and np.abs(shown - array)[1:][array[1:] < -200].max() <= 824 / 55 / 2 + 1e-3


def test_hot_spots_stay_hot():
    """As in PET: one voxel in a thousand is far brighter than all others, and 16 codes stand for what these reach."""
    array = np.random.default_rng(0).gamma(2.0, 0.5, (40, 40, 40)).astype(np.float32)
    array[20, 20, :] = np.linspace(20, 45.7, 40)
    shown = make_stack(volume(array), {}, LABELS).intensities()
    assert shown.max() == np.float32(45.7) and shown.min() == array.min()
    assert np.abs(shown - array)[20, 20].max() <= 45.7 / 16 / 2


def test_other_images_are_coded_evenly_between_percentiles_and_a_margin():
    rng = np.random.default_rng(0)
    array = rng.normal(100, 10, (30, 30, 30)).astype(np.float32)
    array[0, 0, 0] = 1e6  # an outlier takes no codes away
    low, high = np.percentile(array, [0.5, 99.5])
    found = make_stack(volume(array), {}, LABELS)
    inner = (array > low) & (array < high)
    assert (
        np.abs(found.intensities() - array)[inner].max() <= 1.5 * (high - low) / 223 / 2 + 1e-3
    )  # 255 less 16 at either end
    assert found.levels[-1] == 1e6 and found.levels[0] == array.min()


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_number_take_the_lowest_intensity(hole):
    array = np.linspace(5, 9, 64, dtype=np.float32).reshape(4, 4, 4)
    array[1, 1, 1] = hole
    shown = make_stack(volume(array), {}, LABELS).intensities()
    assert shown[1, 1, 1] == shown[0, 0, 0] == 5
    assert (make_stack(volume(np.full((3, 3, 3), hole)), {}, LABELS).intensities() == 0).all()


def test_blocks_are_averaged():
    """Against scikit-image's local mean; whole numbers stay whole."""
    from skimage.measure import block_reduce

    rng = np.random.default_rng(0)
    array = rng.normal(size=(12, 8, 6)).astype(np.float32)
    assert np.allclose(stack._mean(array, (3, 2, 2)), block_reduce(array, (3, 2, 2), np.mean), atol=1e-6)
    assert stack._mean(np.array([[[1, 2, 6]]], np.int16), (1, 1, 2)).tolist() == [[[2.0, 6.0]]]  # 1.5 to even; 6 alone


def test_large_volumes_are_reduced_within_slices_first_and_then_in_their_number():
    found = make_stack(volume(np.zeros((512, 300, 130), np.uint8), np.diag([0.5, 0.5, 3, 1])), {}, LABELS)
    # 512 and 300 become 256 and 150; 256 * 150 * 130 is 5.0 million, of which every two slices make 2.5 million.
    assert found.size == (256, 150, 65) and found.shape == (512, 300, 130)
    assert found.spacing_mm == (1.0, 1.0, 6.0) and found.origin_mm == (0.25, 0.25, 1.5)  # the middle of the first block
    stored = volume(np.zeros((130, 300, 300), np.uint8), np.diag([4, 0.5, 0.5, 1]))
    sagittal = make_stack(stored, {}, LABELS, Detail(10**6, 256))
    # Slices follow one another from left to right; every three of 130 make 0.99 million.
    assert sagittal.size == (44, 150, 150)
    page = make_stack(volume(np.zeros((3000, 1000, 1), np.uint8), unit="px"), {}, LABELS)
    assert page.size == (1000, 334, 1)


@pytest.mark.parametrize(("shape", "coarse", "fine"), [((512, 512, 120), (256, 256, 60), (512, 512, 60)),
                                                       ((300, 200, 90), (150, 100, 90), (300, 200, 90)),
                                                       ((700, 700, 10), (234, 234, 10), (350, 350, 10))])  # fmt: skip
def test_of_few_cases_more_is_kept(shape, coarse, fine):
    image = volume(np.zeros(shape, np.uint8))
    assert make_stack(image, {}, LABELS).size == coarse
    assert make_stack(image, {}, LABELS, FINE).size == fine


def test_few_slices_stay_and_are_made_smaller():
    found = make_stack(volume(np.zeros((200, 200, 20), np.uint8)), {}, LABELS, Detail(50_000, 256))
    assert found.size[2] >= 8 and np.prod(found.size) <= 50_000


def brute_majority(mask, factors):
    sizes = [-(-n // f) for n, f in zip(mask.shape, factors, strict=True)]
    found = np.zeros(sizes, np.uint8)
    for place in np.ndindex(*sizes):
        block = mask[tuple(slice(i * f, i * f + f) for i, f in zip(place, factors, strict=True))]
        found[place] = np.bincount(block.ravel()).argmax()
    return found


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.integers(0, 10**6), st.tuples(*[st.integers(1, 3)] * 3))
def test_a_block_takes_its_most_frequent_label_and_no_component_is_lost(seed, factors):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 3, (4, 3, 4)) * (rng.random((4, 3, 4)) > 0.4)
    mask = np.kron(coarse, np.ones((3, 3, 2), int)).astype(np.uint8)[:11, :, :7]
    mask[rng.integers(11), rng.integers(9), rng.integers(7)] = 1
    found, expected = stack._majority(mask, factors), brute_majority(mask, factors)
    assert found.shape == expected.shape
    changed = found != expected
    for value in (1, 2):
        numbers, n = ndimage.label(mask == value)
        lone = 0
        for component in range(1, n + 1):
            places = np.argwhere(numbers == component) // factors
            lone += not any(expected[tuple(place)] == value for place in places)
        assert np.count_nonzero(changed & (found == value)) <= lone
        assert not (mask == value).any() or (found == value).any()


def test_a_lone_voxel_stays_where_it_is():
    mask = np.zeros((300, 300, 40), np.uint8)
    mask[20:200, 20:200, 5:30] = 1
    mask[250, 260, 36] = 2
    made = make_stack(volume(mask.astype(np.int16)), {"reference": mask}, LABELS, Detail(10**6, 256))
    found = made.masks["reference"]
    assert found.shape == (150, 150, 40)
    assert np.argwhere(found == 2).tolist() == [[125, 130, 36]]


def test_a_mask_that_is_not_there_is_left_out_and_shapes_that_differ_are_refused():
    image = volume(np.zeros((4, 5, 6), np.uint8))
    assert make_stack(image, {"reference": None, "prediction": np.ones((4, 5, 6), int)}, LABELS).masks.keys() == {
        "prediction"
    }
    with pytest.raises(ValueError, match=r"\(4, 5, 6\), found \(6, 5, 4\)"):
        make_stack(image, {"reference": np.zeros((6, 5, 4), int)}, LABELS)


def test_label_values_above_255_are_numbered_anew():
    labels = Labels({"background": 0, "left": 2001, "right": [17, 3000], "absent": 4000})
    mask = np.zeros((4, 4, 4), np.int32)
    mask[0], mask[1], mask[2] = 2001, 17, 3000
    found = make_stack(volume(np.zeros((4, 4, 4), np.uint8)), {"reference": mask}, labels)
    for name in labels.foreground:
        assert np.array_equal(found.labels.mask(found.masks["reference"], name), labels.mask(mask, name)), name
    assert found.labels.foreground == labels.foreground
    with pytest.raises(ValueError, match="at most 255 labels, found 300"):
        many = np.arange(301, dtype=np.int32).reshape(7, 43, 1)
        make_stack(volume(np.zeros((7, 43, 1), np.uint8)), {"reference": many}, LABELS)


@pytest.mark.parametrize("channels", [2, 4])
def test_channels_that_are_no_colours_are_refused(channels):
    image = Volume(np.zeros((channels, 4, 4, 4), np.float32), Geometry(np.eye(4), (4, 4, 4)))
    with pytest.raises(ValueError, match=f"one channel or three .colours., found {channels}"):
        make_stack(image, {}, LABELS)


def test_intensities_beyond_32_bits_are_refused():
    with pytest.raises(ValueError, match=r"between -1e\+30 and 1e\+30"):
        make_stack(volume(np.random.default_rng(0).random((9, 9, 9)) * 1e300), {}, LABELS)


def test_a_stack_without_a_position_is_read_as_one(tmp_path):
    after = read_stack(write_stack(tmp_path / "x.npz", dataclasses.replace(example(), origin_mm=None)))
    assert after.origin_mm is None


def example() -> Stack:
    rng = np.random.default_rng(0)
    array, mask = rng.integers(0, 99, (6, 7, 8)).astype(np.int16), rng.integers(0, 3, (6, 7, 8))
    return make_stack(volume(array, np.diag([1, 1, 2, 1])), {"reference": mask, "a/b": mask}, LABELS)


def test_what_is_written_is_read(tmp_path):
    before = dataclasses.replace(example(), modality="CT, PET")
    after = read_stack(write_stack(tmp_path / "previews/x.npz", before))
    assert np.array_equal(after.image, before.image) and np.array_equal(after.levels, before.levels)
    assert list(after.masks) == ["reference", "a/b"]
    assert all(np.array_equal(after.masks[name], before.masks[name]) for name in before.masks)
    assert after.labels.values == LABELS.values
    for name in ("spacing_mm", "origin_mm", "unit", "shape", "modality"):
        assert getattr(after, name) == getattr(before, name)


def test_the_same_stack_is_the_same_file(tmp_path):
    paths = [write_stack(tmp_path / name, example()) for name in ("a.npz", "b.npz")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_damage_is_refused_with_the_file_named(tmp_path):
    with pytest.raises(DataError, match=r"E101.*nowhere\.npz"):
        read_stack(tmp_path / "nowhere.npz")
    whole = write_stack(tmp_path / "x.npz", example()).read_bytes()
    for content in (whole[:300], b"text", b"", whole[:200] + b"\0" * 40 + whole[240:]):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"E105.*x\.npz|x\.npz.*E105"):
            read_stack(tmp_path / "x.npz")


@pytest.mark.parametrize("change", ["mask", "levels", "pickle", "facts", "dtype"])
def test_parts_that_do_not_belong_together_are_refused(tmp_path, change):
    path = write_stack(tmp_path / "x.npz", example())
    with np.load(path) as held:
        arrays = {name: held[name] for name in held.files}
    if change == "mask":
        arrays["mask_0"] = arrays["mask_0"][:3]
    elif change == "levels":
        arrays["levels"] = arrays["levels"][:9]
    elif change == "pickle":
        arrays["image"] = np.array([{}], dtype=object)
    elif change == "facts":
        arrays["facts"] = np.frombuffer(b'{"masks": []}', np.uint8)
    else:
        arrays["image"] = arrays["image"].astype(np.int16)
    np.savez(path, **arrays)
    assert zipfile.is_zipfile(path)
    with pytest.raises(DataError, match="E105"):
        read_stack(path)


def test_a_stack_is_reduced_as_a_volume_is():
    rng = np.random.default_rng(0)
    array, mask = rng.integers(0, 99, (12, 12, 8)).astype(np.int16), rng.integers(0, 2, (12, 12, 8))
    whole = make_stack(volume(array), {"reference": mask}, LABELS)
    small = reduce_stack(whole, (2, 2, 1))
    assert np.abs(small.intensities() - stack._mean(array.astype(np.float32), (2, 2, 1))).max() <= 0.5
    assert np.array_equal(small.masks["reference"], stack._majority(mask.astype(np.uint8), (2, 2, 1)))
    assert small.spacing_mm == (2.0, 2.0, 1.0) and small.origin_mm == (0.5, 0.5, 0.0) and small.shape == (12, 12, 8)
    colours = make_stack(volume(rng.integers(0, 255, (3, 4, 4, 1)).astype(np.uint8), unit="px"), {}, LABELS)
    assert reduce_stack(colours, (2, 2, 1)).image.shape == (2, 2, 1, 3)
    assert reduce_stack(whole, (1, 1, 1)) is whole
