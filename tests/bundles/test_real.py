"""Real data, where `MEDSEG_REAL_DATA` names a folder of them."""

import csv
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from runs import run

from medseg.cases import split_cases
from medseg.volumes import is_volume, read_volume

FOLDER = os.environ.get("MEDSEG_REAL_DATA")
pytestmark = pytest.mark.skipif(not FOLDER, reason="MEDSEG_REAL_DATA is not set")
LABELS = {"background": 0, "anterior": 1, "posterior": 2}
HELD_OUT_ENDS = ("hippocampus_001", "hippocampus_389")


@pytest.fixture
def hippocampus():
    folder = Path(FOLDER or "") / "Task04_Hippocampus"
    if not folder.is_dir():
        pytest.skip(f"no Task04_Hippocampus in {FOLDER}")
    return folder


def test_the_split_of_the_decathlons_hippocampus_is_the_same_everywhere(hippocampus):
    split = split_cases(hippocampus, LABELS)
    assert [len(split[name]) for name in ("train", "validate", "test")] == [160, 40, 0]
    held = sorted(item["case"] for item in split["validate"])
    assert not {item["case"] for item in split["train"]} & set(held)
    assert (held[0], held[-1]) == HELD_OUT_ENDS


def test_every_real_volume_reads_as_nibabel_reads_it():
    paths = [path for path in sorted(Path(FOLDER).rglob("*.nii.gz")) if is_volume(path)]
    assert paths
    for path in paths[:: max(1, len(paths) // 60)]:
        volume, image = read_volume(path), nib.load(path)
        assert np.allclose(volume.array, np.asarray(image.dataobj), rtol=1e-6)
        assert np.allclose(volume.geometry.affine, image.affine, atol=1e-6)
        assert volume.geometry.orientation == "".join(nib.aff2axcodes(image.affine))


def test_one_epoch_on_real_mri_finds_the_hippocampus(hippocampus, tmp_path):
    """80 steps are enough to be far above chance; the model card says what a whole run reaches."""
    folder = run("hippocampus_mri", "train", tmp_path / "run", hippocampus, epochs=1)
    with open(folder / "log.csv", newline="") as stream:
        row = next(csv.DictReader(stream))
    assert float(row["val_mean_dice"]) > 0.3


@pytest.mark.parametrize("method", [None, "em"])
def test_one_spleen_through_the_liver_bundle(method, tmp_path):
    """A data set of one case, which is trained on and predicted: CT as downloaded, on its stored grid again."""
    data = Path(FOLDER or "") / "Task09_Spleen_one"
    if not data.is_dir():
        pytest.skip(f"no Task09_Spleen_one in {FOLDER}")
    spleen = {"labels": {"background": 0, "spleen": 1}, "network_def::out_channels": 2}
    folder = run("liver_ct", "train", tmp_path / "run", data, method, held_out=0, **spleen)
    run(folder / "bundle", "infer", tmp_path / "masks", data)
    (mask,) = (tmp_path / "masks").glob("*.nii.gz")
    (image,) = (data / "imagesTr").glob("[!.]*.nii.gz")
    assert nib.load(mask).shape == nib.load(image).shape
    assert np.allclose(nib.load(mask).affine, nib.load(image).affine, atol=1e-4)
    assert set(np.unique(np.asarray(nib.load(mask).dataobj))) <= {0, 1}
