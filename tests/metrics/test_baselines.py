import math
import pickle

import nibabel as nib
import numpy as np
import pytest

from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.metrics.baselines import baseline_rows, sample_reference

LABELS = Labels({"background": 0, "liver": [1, 2], "tumour": 2})
PICTURE = Geometry(np.eye(4), (256, 256, 1), "px")  # the common grid of pictures: every pixel is a point


def picture(x, y, side, value=1):
    label_map = np.zeros((256, 256, 1), np.uint8)
    label_map[x : x + side, y : y + side] = value
    return label_map


def sample(name, label_map, geometry=PICTURE, group=None):
    return sample_reference(name, group or name, label_map, geometry, LABELS)


def scores(samples, baseline, column="dice", label="liver"):
    return {row["case"]: row[column] for row in baseline_rows(samples, LABELS)
            if (row["baseline"], row["label"]) == (baseline, label)}  # fmt: skip


def overlap(one, other):
    return 2 * np.sum(one & other) / (one.sum() + other.sum())


def test_a_sample_is_the_reference_itself_where_the_grid_is():
    label_map = picture(3, 50, 20) + picture(10, 60, 5)  # 2 within 1
    masks = sample("a", label_map).masks(LABELS)
    assert np.array_equal(masks["liver"], label_map > 0) and np.array_equal(masks["tumour"], label_map == 2)


def test_every_case_and_label_has_a_row_for_each_baseline():
    rows = baseline_rows([sample("a", picture(0, 0, 9)), sample("b", picture(3, 0, 9), group="p")], LABELS)
    assert [(row["baseline"], row["case"], row["label"]) for row in rows] == [
        (baseline, case, label)
        for baseline in ("all background", "constant", "mean shape")
        for case in "ab"
        for label in ("liver", "tumour")
    ]
    assert {row["case"]: row["group"] for row in rows} == {"a": "a", "b": "p"}


def test_the_constant_answer_counted_in_voxels():
    label_map = np.zeros((5, 6, 7), np.uint8)
    label_map[1:3, 2:5, :] = 1
    label_map[1, 2, 0] = 2
    samples = [sample("a", label_map, Geometry(np.eye(4), (5, 6, 7)))]
    everything = np.ones(label_map.shape, bool)
    for label, mask in (("liver", label_map > 0), ("tumour", label_map == 2)):
        assert scores(samples, "constant", label=label)["a"] == pytest.approx(overlap(everything, mask))
        assert scores(samples, "constant", "iou", label)["a"] == pytest.approx(mask.mean())
        assert scores(samples, "all background", label=label)["a"] == 0


def test_what_is_absent_is_left_out_or_invented():
    samples = [sample(name, np.zeros((256, 256, 1), np.uint8)) for name in "abc"]
    assert scores(samples, "constant") == {"a": 0, "b": 0, "c": 0}
    for baseline in ("all background", "mean shape"):
        assert all(math.isnan(value) for value in scores(samples, baseline).values())
    beside = [*samples[:1], *(sample(name, picture(5, 5, 20)) for name in "de")]
    assert scores(beside, "mean shape")["a"] == 0  # two of two others have it: invented
    assert scores(beside, "mean shape")["d"] == 0  # one of two others is no majority: missed


def test_the_mean_shape_is_what_most_of_the_others_share():
    places = {"a": (10, 10), "b": (14, 10), "c": (10, 18), "d": (30, 30)}
    masks = {name: picture(x, y, 30) for name, (x, y) in places.items()}
    found = scores([sample(name, mask) for name, mask in masks.items()], "mean shape")
    for name, mask in masks.items():
        shape = sum(other.astype(int) for key, other in masks.items() if key != name) >= 2  # of three
        assert found[name] == pytest.approx(overlap(shape, mask > 0))
    assert 0 < found["d"] < found["a"] < 1


def test_cases_of_a_patient_do_not_vote_on_one_another():
    moved = [sample("a1", picture(0, 0, 30), group="p"), sample("a2", picture(0, 0, 30), group="p"),
             sample("b", picture(100, 100, 30)), sample("c", picture(100, 100, 30))]  # fmt: skip
    found = scores(moved, "mean shape")
    assert found["a1"] == found["a2"] == 0  # both others lie elsewhere; its twin would have drawn
    assert found["b"] == 0  # one of three
    assert found == scores(moved[::-1], "mean shape")


def test_one_patient_has_no_mean_shape():
    alone = [sample("a", picture(0, 0, 30), group="p"), sample("b", picture(0, 0, 30), group="p")]
    assert all(math.isnan(value) for value in scores(alone, "mean shape").values())


def test_images_of_any_size_are_stretched_over_one_another():
    samples = []
    for n in (128, 256, 512):
        label_map = np.zeros((n, n, 1), np.uint8)
        label_map[n // 4 : n // 2, n // 8 : n // 2] = 1
        samples.append(sample(str(n), label_map, Geometry(np.eye(4), label_map.shape, "px")))
    assert scores(samples, "mean shape") == {"128": 1, "256": 1, "512": 1}


def test_volumes_meet_however_their_axes_are_stored():
    """Turned by nibabel, as another program would store them."""
    label_map = np.zeros((40, 44, 36), np.uint8)
    label_map[2:12, 5:30, 20:33] = 1
    image = nib.Nifti1Image(label_map, np.diag([0.7, 0.8, 1.5, 1.0]))
    samples = []
    for code in ("RAS", "LPS", "PSR", "ILA"):
        change = nib.orientations.axcodes2ornt(code)
        turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), change))
        assert "".join(nib.aff2axcodes(turned.affine)) == code
        array = np.asarray(turned.dataobj)
        samples.append(sample(code, array, Geometry(turned.affine, array.shape)))
    assert scores(samples, "mean shape") == {"RAS": 1, "LPS": 1, "PSR": 1, "ILA": 1}


def test_pictures_and_volumes_have_a_mean_shape_each():
    volume = np.zeros((40, 40, 40), np.uint8)
    volume[:10] = 1
    grid = Geometry(np.eye(4), volume.shape)
    mixed = [sample("a", volume, grid), sample("b", volume, grid), sample("c", picture(0, 0, 30))]
    found = scores(mixed, "mean shape")
    assert (found["a"], found["b"]) == (1, 1) and math.isnan(found["c"])


def test_a_structure_between_the_points_of_the_grid_is_missed_not_absent():
    volume = np.zeros((200, 200, 200), np.uint8)  # a point in every five voxels
    volume[100, 100, 100] = 1
    grid = Geometry(np.eye(4), volume.shape)
    assert scores([sample("a", volume, grid), sample("b", volume, grid)], "mean shape") == {"a": 0, "b": 0}


def test_one_line_of_voxels():
    line = np.zeros((1, 300, 1), np.int32)
    line[0, :100] = 2
    grid = Geometry(np.eye(4), line.shape)
    assert scores([sample("a", line, grid), sample("b", line, grid)], "mean shape", "iou", "tumour") == {"a": 1, "b": 1}


def test_ten_thousand_cases_fit_into_memory():
    x, y, z = np.ogrid[-1:1:128j, -1:1:128j, -1:1:64j]
    label_map = (x**2 / 0.3 + (y - 0.1) ** 2 / 0.2 + z**2 / 0.5 < 1).astype(np.uint8)
    label_map[(x - 0.1) ** 2 + y**2 + z**2 < 0.02] = 2
    packed = pickle.dumps(sample("case", label_map, Geometry(np.eye(4), label_map.shape)))
    assert len(packed) < 4_000
