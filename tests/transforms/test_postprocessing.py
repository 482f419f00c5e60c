"""What bundles rely on behind `ToNativeGridd`: the largest components, which are MONAI's, and holes, which are ours."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, FillHolesd, KeepLargestConnectedComponentd

from medseg.transforms import ReadImaged, ToNativeGridd
from medseg.transforms.holes import FillLabelHolesd


def predicted(tmp_path, save, label_map, affine=None):
    """A label map (X, Y, Z) as `ToNativeGridd` gives it."""
    affine = np.diag([0.8, 0.9, 2.5, 1.0]) if affine is None else affine
    item = ReadImaged("image")({"image": str(save(tmp_path / "a.nii", label_map.astype(np.float32), affine))})
    item["pred"] = torch.nn.functional.one_hot(torch.from_numpy(label_map).long(), 4).movedim(-1, 0).float()
    item = ToNativeGridd("pred")(item)
    assert np.array_equal(item["pred"][0].numpy(), label_map)
    return item


def drawing(*rows):
    """One slice, (X, Y, 1)."""
    return np.array([[int(mark) if mark != "." else 0 for mark in row] for row in rows], np.uint8)[..., None]


def kept(tmp_path, save, label_map, **settings):
    item = predicted(tmp_path, save, label_map)
    return KeepLargestConnectedComponentd("pred", **settings)(item)["pred"][0].numpy()


SCATTERED = drawing("11...1..33",
                    "1122....3.",
                    "..22......",
                    "2....11.3.")  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, drawing("11......33",
                     "1122....3.",
                     "..22......",
                     "..........")),
        ({"applied_labels": [1]}, drawing("11......33",
                                          "1122....3.",
                                          "..22......",
                                          "2.......3.")),
        ({"applied_labels": [1], "num_components": 2}, drawing("11......33",
                                                               "1122....3.",
                                                               "..22......",
                                                               "2....11.3.")),
        ({"applied_labels": [1, 2], "independent": False}, drawing("11......33",
                                                                   "1122....3.",
                                                                   "..22......",
                                                                   "........3.")),
        ({"independent": False, "num_components": 3}, drawing("11......33",
                                                              "1122....3.",
                                                              "..22......",
                                                              ".....11...")),
    ],
)  # fmt: skip
def test_the_largest_components_of_a_picture(tmp_path, save, settings, expected):
    """Each label by itself, chosen ones, several components, and labels as one structure (a liver and its tumours)."""
    assert np.array_equal(kept(tmp_path, save, SCATTERED, **settings), expected)


def test_components_hang_together_over_corners_unless_told_otherwise(tmp_path, save):
    before = drawing("11.", "..1", ".1.")
    assert np.array_equal(kept(tmp_path, save, before), before)
    assert np.array_equal(kept(tmp_path, save, before, connectivity=1), drawing("11.", "...", "..."))


def test_two_lungs_and_no_more(tmp_path, save):
    volume = np.zeros((12, 9, 5), np.uint8)
    volume[1:4, 1:7, 1:5] = 1
    volume[7:10, 1:6, 1:4] = 1
    specks = volume.copy()
    specks[5, 8, 0:3] = specks[11, 8, 4] = 1
    assert np.array_equal(kept(tmp_path, save, specks, num_components=2), volume)
    alone = np.where(np.arange(12)[:, None, None] < 5, volume, 0)
    assert np.array_equal(kept(tmp_path, save, alone, num_components=2), alone)


@pytest.mark.parametrize("settings", [{}, {"applied_labels": [1, 2]}, {"applied_labels": [1, 2], "independent": False}])
def test_nothing_predicted_stays_nothing(tmp_path, save, settings):
    empty = np.zeros((6, 5, 4), np.uint8)
    assert not kept(tmp_path, save, empty, **settings).any()
    assert not FillLabelHolesd("pred")(predicted(tmp_path, save, empty))["pred"].any()


def holed(label_map):
    """A liver 1 with a hole and, within, a tumour 2 with another."""
    depth = label_map.shape[2]
    middle, margin = depth // 2, int(depth > 1)
    label_map[1:14, 1:12, margin : depth - margin] = 1
    label_map[3:9, 3:9, 2 * margin : depth - 2 * margin] = 2
    label_map[5, 5, middle] = label_map[11, 4, middle] = 0
    return label_map


@pytest.mark.parametrize("depth", [1, 7])
def test_holes_are_filled_and_labels_within_stay(tmp_path, save, depth):
    before = np.zeros((16, 14, depth), np.uint8)
    holed(before)
    item = predicted(tmp_path, save, before)
    found = FillLabelHolesd("pred")(item)["pred"][0].numpy()
    assert [tuple(place) for place in np.argwhere(found != before)] == [(5, 5, depth // 2), (11, 4, depth // 2)]
    assert (found[5, 5, depth // 2], found[11, 4, depth // 2]) == (2, 1)
    assert np.array_equal(item["pred"][0].numpy(), before)
    for applied in (1, [1]):
        only = FillLabelHolesd("pred", applied)(item)["pred"][0].numpy()
        assert (only[5, 5, depth // 2], only[11, 4, depth // 2]) == (1, 1)


def test_why_monais_holes_will_not_do(tmp_path, save):
    """It overwrites a tumour in a liver, and finds every hole in one slice open; when this fails, ours may go."""
    volume = np.zeros((16, 14, 7), np.uint8)
    volume[1:14, 1:12, 1:6] = 1
    volume[3:9, 3:9, 2:5] = 2
    found = FillHolesd("pred", applied_labels=[1])(predicted(tmp_path, save, volume))["pred"][0].numpy()
    assert not (found == 2).any()
    picture = holed(np.zeros((16, 14, 1), np.uint8))
    assert np.array_equal(FillHolesd("pred")(predicted(tmp_path, save, picture))["pred"][0].numpy(), picture)


@pytest.mark.parametrize("depth", [1, 7])
def test_type_place_and_meta_data_survive(tmp_path, save, depth):
    affine = np.array([[0.0, -0.8, 0.1, 4.0], [0.9, 0.0, 0.0, -7.0], [0.0, 0.1, 2.5, 1.0], [0.0, 0.0, 0.0, 1.0]])
    item = predicted(tmp_path, save, holed(np.zeros((16, 14, depth), np.uint8)), affine)
    meta = dict(item["pred"].meta)
    assert meta["unit"] == "mm" and meta["filename_or_obj"] == str(tmp_path / "a.nii")
    steps = [KeepLargestConnectedComponentd("pred"), FillLabelHolesd("pred")]
    found = Compose(steps)(item)["pred"]
    assert isinstance(found, MetaTensor)
    assert (found.dtype, found.shape) == (torch.uint8, (1, 16, 14, depth))
    assert np.allclose(found.affine, affine, atol=1e-6)
    assert {name: found.meta[name] for name in ("unit", "filename_or_obj")} == {
        name: meta[name] for name in ("unit", "filename_or_obj")
    }


def test_more_than_256_labels():
    label_map = torch.zeros(1, 5, 5, 1, dtype=torch.int32)
    label_map[0, 1:4, 1:4] = 300
    label_map[0, 2, 2] = 0
    many = MetaTensor(label_map.to(torch.uint16), torch.eye(4, dtype=torch.float64))
    found = FillLabelHolesd("pred")({"pred": many})["pred"]
    assert found.dtype == torch.uint16
    assert np.array_equal(found.numpy()[0, 1:4, 1:4, 0], np.full((3, 3), 300))


def test_other_keys_may_be_missing():
    transform = FillLabelHolesd(["pred", "other"], allow_missing_keys=True)
    found = transform({"pred": torch.ones(1, 3, 3, 1, dtype=torch.uint8)})
    assert list(found) == ["pred"]
    with pytest.raises(KeyError, match="other"):
        FillLabelHolesd(["pred", "other"])({"pred": torch.ones(1, 3, 3, 1, dtype=torch.uint8)})
