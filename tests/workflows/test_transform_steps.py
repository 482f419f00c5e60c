import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser

from medseg.caches import CachedSlices
from medseg.workflows.transform_steps import trace

CONFIG = {
    "size": [4, 4, 4],
    "deterministic": [
        {"_target_": "medseg.transforms.ReadImaged", "keys": "image"},
        {"_target_": "medseg.transforms.ReadLabeld", "keys": "label"},
        {"_target_": "Orientationd", "keys": ["image", "label"], "axcodes": "RAS", "labels": None},
        {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0.0, "a_max": 10.0, "b_min": 0.0, "b_max": 1.0},
    ],
    "train": {
        "augmentation": [
            {"_target_": "RandFlipd", "keys": ["image", "label"], "prob": 0.3, "spatial_axis": 0},
            {"_target_": "RandGaussianNoised", "keys": "image", "prob": 1.0, "_disabled_": True},
            {"_target_": "RandScaleIntensityd", "keys": "image", "prob": 0.0, "factors": 0.5},
            {"_target_": "RandSpatialCropd", "keys": ["image", "label"], "roi_size": "@size", "random_size": False},
            {"_target_": "AsDiscreted", "keys": "label", "to_onehot": 3},
            {"_target_": "EnsureTyped", "keys": ["image", "label"], "track_meta": False},
        ],
    },
}


@pytest.fixture
def item(tmp_path):
    rng = np.random.default_rng(0)
    affine = np.diag([-1.0, 1.0, 2.0, 1.0])  # stored from right to left
    label = np.zeros((8, 7, 6), np.uint8)
    label[1:5, 2:5, 4] = 2
    for name, array in (("image", rng.integers(0, 11, (8, 7, 6)).astype(np.int16)), ("label", label)):
        nib.save(nib.Nifti1Image(array, affine), tmp_path / f"{name}.nii.gz")
    return {"image": str(tmp_path / "image.nii.gz"), "label": str(tmp_path / "label.nii.gz"), "case": "c"}


def test_the_case_after_each_transform(item):
    steps = list(trace(ConfigParser(CONFIG), item, None))
    assert [(step.name, step.is_random, step.changed) for step in steps] == [
        ("ReadImaged", False, True), ("ReadLabeld", False, True), ("Orientationd", False, True),
        ("ScaleIntensityRanged", False, True), ("RandFlipd", True, True), ("RandScaleIntensityd", True, False),
        ("RandSpatialCropd", True, True), ("AsDiscreted", False, True), ("EnsureTyped", False, False),
    ]  # fmt: skip
    assert steps[0].label is None and (steps[1].label == 2).sum() == 12
    assert steps[2].grid.affine[0, 0] == 1 and steps[1].grid.affine[0, 0] == -1
    assert (steps[2].image == steps[1].image[:, ::-1]).all() and (steps[4].image == steps[3].image[:, ::-1]).all()
    assert steps[3].image.max() == pytest.approx(1.0) and steps[6].image.shape == (1, 4, 4, 4)
    assert set(np.unique(steps[7].label)) <= {0, 2} and (steps[7].label == steps[6].label).all()
    assert steps[-1].grid.spacing_mm == (1.0, 1.0, 2.0)  # from before the affine was dropped


def test_arguments_are_resolved_and_defaults_left_out(item):
    found = {step.name: dict(step.arguments) for step in trace(ConfigParser(CONFIG), item, None)}
    assert found["RandSpatialCropd"] == {"roi_size": "[4, 4, 4]"}  # random_size is False anyway
    assert found["ReadImaged"] == {} and found["RandFlipd"] == {"prob": "0.3", "spatial_axis": "0"}
    assert found["ScaleIntensityRanged"] == {"a_min": "0.0", "a_max": "10.0", "b_min": "0.0", "b_max": "1.0"}


def test_the_same_case_gives_the_same_steps(item):
    first, second = (list(trace(ConfigParser(CONFIG), item, None)) for _ in range(2))
    assert all((a.image == b.image).all() for a, b in zip(first, second, strict=True))


def test_slices_are_augmented_where_the_network_sees_slices(item, tmp_path):
    config = CONFIG | {"size": [4, 4]}
    parser = ConfigParser(config)
    deterministic = parser.get_parsed_content("deterministic")
    steps = list(trace(ConfigParser(config), item, CachedSlices([item], deterministic, tmp_path / "cache")))
    place = [step.name for step in steps].index("Slice")
    assert place == 4 and steps[place].image.shape == (1, 8, 7, 1)
    assert (steps[place].label == 2).sum() == 12  # the fullest slice, all of the label
    assert steps[-1].image.shape == (1, 4, 4, 1) and steps[-1].label.shape == (4, 4, 1)
