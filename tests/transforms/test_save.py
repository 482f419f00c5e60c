import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from medseg.errors import DataError
from medseg.transforms import SaveVolumed
from medseg.volumes import read_volume

AFFINE = np.array([[0, -0.7, 0, 5], [0.9, 0, 0, -6], [0, 0, 2.5, 7], [0, 0, 0, 1]])
LABEL = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def item(source="somewhere.nii.gz", case="h_1"):
    return {"case": case, "pred": MetaTensor(torch.from_numpy(LABEL)[None], torch.from_numpy(AFFINE),
                                             {"filename_or_obj": str(source)})}  # fmt: skip


def test_a_file_on_the_affines_grid(tmp_path):
    given = item()
    result = SaveVolumed("pred", tmp_path / "out")(given)
    volume = read_volume(tmp_path / "out" / "h_1.nii.gz")
    assert np.array_equal(volume.array, LABEL)
    assert volume.array.dtype == np.uint8
    assert np.allclose(volume.geometry.affine, AFFINE)
    assert result["pred"] is given["pred"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["h_1.nii.gz"]


def test_an_older_file_is_replaced_only_on_request(tmp_path, save):
    source = save(tmp_path / "in" / "h_1.nii.gz", LABEL)
    save(tmp_path / "out" / "h_1.nii.gz", LABEL * 0)
    with pytest.raises(DataError, match=r"E503.*overwrite"):
        SaveVolumed("pred", tmp_path / "out")(item(source))
    assert not read_volume(tmp_path / "out" / "h_1.nii.gz").array.any()
    SaveVolumed("pred", tmp_path / "out", overwrite=True)(item(source))
    assert read_volume(tmp_path / "out" / "h_1.nii.gz").array.any()


@pytest.mark.parametrize("linked", [False, True])
def test_the_image_itself_is_never_overwritten(tmp_path, save, linked):
    source = save(tmp_path / "in" / "h_1.nii.gz", LABEL)
    before = source.read_bytes()
    folder = tmp_path / "in"
    if linked:
        folder = tmp_path / "link"
        folder.symlink_to(tmp_path / "in")
    with pytest.raises(DataError, match=r"E503.*h_1\.nii\.gz"):
        SaveVolumed("pred", folder, overwrite=True)(item(source))
    assert source.read_bytes() == before


@pytest.mark.parametrize("values", [2, 5, 256])
def test_the_mask_of_a_picture_is_a_picture(values, tmp_path):
    label = np.random.default_rng(0).integers(0, values, (7, 5, 1)).astype(np.uint8)
    mask = MetaTensor(torch.from_numpy(label)[None], torch.eye(4, dtype=torch.float64),
                      {"filename_or_obj": "somewhere.png", "unit": "px"})  # fmt: skip
    SaveVolumed("pred", tmp_path)({"case": "c", "pred": mask})
    assert [path.name for path in tmp_path.iterdir()] == ["c.png"]
    volume = read_volume(tmp_path / "c.png", label=True)
    assert np.array_equal(volume.array, label) and volume.geometry.unit == "px"
    with Image.open(tmp_path / "c.png") as picture:  # other programs see black, white and colours
        shown = np.asarray(picture.convert("RGB"))
    assert (shown[label[..., 0].T == 0] == 0).all() and (shown[label[..., 0].T == 1] == 255).all()
