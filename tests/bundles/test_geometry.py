"""Inference gives back the input's grid, asserted voxel for voxel on a label that is carried through as the image."""

import re

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from runs import run
from scipy import ndimage

from medseg.geometry import Geometry
from medseg.volumes import Volume, read_volume, write_volume
from medseg.workflows.bundles import bundle_names, find_bundle

SHAPE = (33, 52, 37)
CHANGES = "Intensity|Resized|Hounsfield"  # steps that change or mind values, or change the number of voxels


class CarryThrough(torch.nn.Module):
    """Scores that are highest for the label whose number the voxel holds."""

    def __init__(self, classes, in_channels=1):
        super().__init__()
        assert in_channels == 1
        self.levels = torch.nn.Parameter(torch.arange(classes).float())

    def forward(self, image):
        return -((image - self.levels.reshape(1, -1, *[1] * (image.ndim - 2))) ** 2)


def blobs(classes):
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=SHAPE), 2)
    return np.digitize(noise, np.quantile(noise, np.linspace(0.6, 0.95, classes - 1))).astype(np.uint8)


def rotation(degrees):
    x, y, z = np.deg2rad(degrees)
    turn = np.eye(4)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    turn[:3, :3] = about_x @ about_y @ about_z
    return turn


def with_axes(codes, turn=(0, 0, 0)):
    """A 1 mm affine whose array axes run towards `codes`, the whole then turned by small angles."""
    order = nib.orientations.axcodes2ornt(tuple(codes))
    affine = np.zeros((4, 4))
    for axis, (world, sign) in enumerate(order):
        affine[int(world), axis] = sign
    affine[:, 3] = (-31.5, 12.25, 80.0, 1.0)
    return rotation(turn) @ affine


AFFINES = {"RAS": with_axes("RAS"), "LPS": with_axes("LPS"), "flipped": with_axes("LAS"), "permuted": with_axes("SPL"),
           "oblique": with_axes("RAS", (12, -7, 20)), "oblique LPS": with_axes("LPS", (-9, 14, 5))}  # fmt: skip


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("bundle", [bundle for bundle in bundle_names() if bundle.endswith(("_mri", "_ct"))])
def test_a_carried_label_comes_back_on_its_own_grid(bundle, name, tmp_path):
    config = ConfigParser.load_config_file(str(find_bundle(bundle) / "configs" / "inference.yaml"))
    classes = len(config["labels"])
    geometry = Geometry(AFFINES[name], SHAPE)
    label = blobs(classes)
    write_volume(tmp_path / "images" / "case.nii.gz", Volume(label, geometry))
    torch.save(CarryThrough(classes).state_dict(), tmp_path / "model.pt")
    steps = [step for step in config["deterministic"] if not re.search(CHANGES, step["_target_"])]
    network = {"_target_": f"{__name__}.CarryThrough", "classes": classes, "in_channels": 1}
    fine = {"spacing_mm": [1.0, 1.0, 1.0]} if "spacing_mm" in config else {}
    run(bundle, "infer", tmp_path / "out", tmp_path / "images", checkpoint_file=str(tmp_path / "model.pt"),
        network_def=network, precision="float32", deterministic=steps, **fine)  # fmt: skip
    carried = read_volume(tmp_path / "out" / "case.nii.gz")
    assert carried.geometry.shape == SHAPE
    assert carried.geometry.orientation == geometry.orientation
    assert carried.geometry.displacement_mm(geometry) <= 1e-4
    assert np.array_equal(carried.array, label)
