"""Every fault of data that a user may have, planted one at a time in a sound data set; and sound data that look odd."""

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from medseg import files
from medseg.cases.case import Case
from medseg.cases.check import check_case
from medseg.cases.check_all import check_data_set, compare_cases
from medseg.cases.layouts import read_data_set
from medseg.cases.phantoms import write_phantom
from medseg.errors import DataError
from medseg.labels import Labels
from medseg.volumes import read_volume

LABELS = Labels({"background": 0, "liver": 1, "tumour": 2})
SHAPE = (9, 8, 7)
AFFINE = np.array([[-1.5, 0, 0, 40], [0, -1.5, 0, 30], [0, 0, 3.0, -20], [0, 0, 0, 1]])
ODD = "c1"


def image_of(number):
    return np.random.default_rng(number).integers(-1000, 800, SHAPE).astype(np.int16)


def label_of(number):
    label = np.zeros(SHAPE, np.uint8)
    label[2:6, 2 : 5 + number, 1:5], label[3, 3, 2:4] = 1, 2
    return label


@pytest.fixture
def folder(tmp_path, save):
    """Three cases of a plain data set; faults are planted in c1."""
    for number in range(3):
        save(tmp_path / "images" / f"c{number}.nii.gz", image_of(number), AFFINE)
        save(tmp_path / "labels" / f"c{number}.nii.gz", label_of(number), AFFINE)
    return tmp_path


def change(path, edit):
    """Rewrite a NIfTI file after `edit` (array, header) -> array or None."""
    stored = nib.load(path)
    array, header = np.asarray(stored.dataobj), stored.header.copy()
    array = array if (changed := edit(array, header)) is None else changed
    header.set_data_dtype(array.dtype)
    kept = {name: header[name].copy() for name in ("pixdim", "sform_code", "qform_code", "srow_x", "srow_y", "srow_z",
                                                   "xyzt_units")}  # fmt: skip
    new = nib.Nifti1Image(array, None, header)
    for name, value in kept.items():
        new.header[name] = value
    content = bytearray(new.header.binaryblock) + bytes(4) + array.tobytes(order="F")
    content[108:112] = struct.pack("<f", 352.0)
    files_gzip(path, content)


def files_gzip(path, content):
    path.write_bytes(gzip.compress(bytes(content), mtime=0))


def moved(by_mm):
    def edit(array, header):
        header["srow_x"][3] += by_mm
        header["qform_code"] = 0

    return edit


def put(value, dtype=None):
    def edit(array, header):
        array = array.astype(dtype or array.dtype)
        array[4, 3, 2] = value
        return array

    return edit


def header_field(**values):
    def edit(array, header):
        for name, value in values.items():
            header[name] = value

    return edit


def spaced(sizes, **codes):
    def edit(array, header):
        header["pixdim"][1:4] = sizes
        header_field(**codes)(array, header)

    return edit


def apart(by_mm):
    def edit(array, header):
        header["qoffset_x"] += by_mm

    return edit


IN_THE_IMAGE = {
    "NaN": ("E401", put(np.nan, np.float32)),
    "infinity": ("E401", put(np.inf, np.float32)),
    "no orientation": ("E208", header_field(sform_code=0, qform_code=0)),
    "no spacing": ("E209", spaced((0, 1.5, 3.0), sform_code=0)),
    "NaN spacing": ("E209", spaced((np.nan, 1.5, 3.0), sform_code=0)),
    "a flat affine": ("E209", header_field(srow_x=[0, 0, 0, 40], qform_code=0)),
    "an affine of NaN": ("E209", header_field(srow_x=[np.nan, 0, 0, 40], qform_code=0)),
    "an unknown unit": ("E209", header_field(xyzt_units=5)),
    "sform and qform far apart": ("E207", apart(5.0)),
    "sform and qform apart": ("W207", apart(0.5)),
    "a time series": ("E204", lambda array, header: np.stack([array, array], axis=-1)),
    "complex numbers": ("E205", lambda array, header: array.astype(np.complex64)),
    "one value": ("W403", lambda array, header: np.zeros_like(array)),
    "a shifted origin": ("E202", moved(10.0)),
    "another shape": ("E201", lambda array, header: array[:-1]),
}
IN_THE_LABEL = {
    "a shifted origin": ("E202", moved(10.0)),
    "left and right exchanged": ("E202", header_field(srow_x=[1.5, 0, 0, 40], qform_code=0)),
    "another spacing": ("E202", header_field(srow_z=[0, 0, 2.0, -20], qform_code=0)),
    "another shape": ("E201", lambda array, header: array[:, :, :-1]),
    "an unknown value": ("E301", put(5)),
    "a negative value": ("E301", put(-1, np.int16)),
    "fractions": ("E303", put(0.4, np.float32)),
    "NaN": ("E401", put(np.nan, np.float32)),
    "nothing": ("W302", lambda array, header: np.zeros_like(array)),
    "one-hot": ("E204", lambda array, header: np.stack([array == n for n in range(3)], -1).astype(np.uint8)),
}


def codes(folder, labels=LABELS):
    found = check_data_set(read_data_set(folder), labels)
    assert all(fault.fix and fault.what for fault in found.faults)
    return [(fault.code, fault.case) for fault in found.faults]


def test_the_data_set_without_a_fault(folder):
    assert codes(folder) == []


@pytest.mark.parametrize("name", IN_THE_IMAGE)
def test_faults_of_an_image(folder, name):
    code, edit = IN_THE_IMAGE[name]
    change(folder / "images" / f"{ODD}.nii.gz", edit)
    found = codes(folder)
    assert found[0] == (code, ODD)
    assert {case for _, case in found} == {ODD}


@pytest.mark.parametrize("name", IN_THE_LABEL)
def test_faults_of_a_label(folder, name):
    code, edit = IN_THE_LABEL[name]
    change(folder / "labels" / f"{ODD}.nii.gz", edit)
    assert codes(folder) == [(code, ODD)]


@pytest.mark.parametrize(("unit", "scale"), [("meter", 0.001), ("micron", 1000.0)])
def test_other_units_are_converted_and_told(folder, unit, scale):
    def edit(array, header):
        header.set_xyzt_units(unit)
        for row in ("srow_x", "srow_y", "srow_z"):
            header[row] = header[row] * scale
        header["qform_code"] = 0

    change(folder / "images" / f"{ODD}.nii.gz", edit)
    assert [(code[0], case) for code, case in codes(folder)] == [("W", ODD)]
    assert np.allclose(read_volume(folder / "images" / f"{ODD}.nii.gz").geometry.affine, AFFINE, atol=1e-4)


def flip_a_bit(content):
    changed = bytearray(content)
    changed[len(content) // 2] ^= 4
    return bytes(changed)


DAMAGE = {
    "truncated": ({"E102"}, lambda content: content[: len(content) // 2]),
    "without its trailer": ({"E102"}, lambda content: content[:-3]),
    "a bit flipped": ({"E102", "E105", "E106"}, flip_a_bit),
    "empty": ({"E103"}, lambda content: b""),
    "a web page": ({"E104"}, lambda content: b"<html>log in</html>" * 40),
}


@pytest.mark.parametrize("kind", ["images", "labels"])
@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files(folder, kind, name):
    expected, damage = DAMAGE[name]
    path = folder / kind / f"{ODD}.nii.gz"
    path.write_bytes(damage(path.read_bytes()))
    ((code, case),) = codes(folder)
    assert code in expected and case == ODD


def test_a_header_that_asks_for_too_much(folder):
    path = folder / "images" / f"{ODD}.nii.gz"
    header = nib.load(path).header
    header.set_data_shape((30000, 30000, 30000))
    files_gzip(path, header.binaryblock + bytes(4))
    assert codes(folder) == [("E106", ODD)]


def test_copies_patients_and_windowed_ct(folder, save):
    copied = (folder / "images" / "c0.nii.gz").read_bytes()
    (folder / "images" / f"{ODD}.nii.gz").write_bytes(copied)
    assert codes(folder) == [("W501", ODD)]
    grids = [(folder / "images" / f"c{n}.nii.gz",) for n in range(3)]
    sides = [Case("a", grids[0], group="p"), Case("b", grids[2], group="p", meta={"subset": "test"})]
    assert [fault.code for fault in compare_cases([check_case(case) for case in sides])] == ["E502"]
    windowed = save(folder / "w.nii", np.clip(image_of(1), -160, 240), AFFINE)
    assert [f.code for f in check_case(Case("w", (windowed,), meta={"modality": "CT"})).faults] == ["W402"]


def test_voxels_that_the_data_set_wants_to_be_ignored(tmp_path):
    root = write_phantom("nnunet", tmp_path / "data", 2) / "Dataset001_Phantom"
    assert codes(root, None) == []
    description = files.read_json(root / "dataset.json")
    files.write_json(root / "dataset.json", description | {"labels": {"background": 0, "rim": 1, "ignore": 2}})
    assert {code for code, _ in codes(root, None)} == {"E308"}


def test_missing_and_doubled_files(folder, save):
    (folder / "labels" / f"{ODD}.nii.gz").unlink()
    with pytest.raises(DataError, match=r"E101.*c1"):
        read_data_set(folder)
    save(folder / "labels" / f"{ODD}.nii.gz", label_of(1), AFFINE)
    save(folder / "images" / f"{ODD}.nii", image_of(1), AFFINE)
    with pytest.raises(DataError, match=r"E501.*c1"):
        read_data_set(folder)


@pytest.fixture
def pictures(tmp_path):
    """Three pictures with masks of 0 and 255."""
    rng = np.random.default_rng(0)
    for number in range(3):
        mask = np.zeros((24, 32), np.uint8)
        mask[5:15, 6 : 20 + number] = 255
        for kind, array in (("images", rng.integers(0, 256, mask.shape).astype(np.uint8)), ("masks", mask)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / kind / f"c{number}.png")
    return tmp_path


BINARY = Labels({"background": 0, "lung": 1})


def test_masks_that_store_1_as_255(pictures):
    assert codes(pictures, BINARY) == [("W307", "c0")]


def test_a_jpeg_mask(pictures):
    mask = Image.open(pictures / "masks" / f"{ODD}.png")
    mask.save(pictures / "masks" / f"{ODD}.jpg", quality=85)
    (pictures / "masks" / f"{ODD}.png").unlink()
    assert ("E306", ODD) in codes(pictures, BINARY)


def test_a_mask_in_colours_and_an_image_in_colours(pictures):
    mask = np.asarray(Image.open(pictures / "masks" / f"{ODD}.png"))
    coloured = np.stack([mask, 0 * mask, 0 * mask], axis=-1)
    Image.fromarray(coloured).save(pictures / "masks" / f"{ODD}.png")
    assert ("E305", ODD) in codes(pictures, BINARY)
    Image.fromarray(mask).save(pictures / "masks" / f"{ODD}.png")
    Image.fromarray(coloured).save(pictures / "images" / f"{ODD}.png")
    assert ("E206", ODD) in codes(pictures, BINARY)


def test_a_rotated_photograph_is_turned_upright(pictures):
    path = pictures / "images" / f"{ODD}.png"
    upright = np.asarray(Image.open(path))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    path.unlink()
    Image.fromarray(np.rot90(upright)).save(path.with_suffix(".jpg"), exif=exif, quality=95)
    assert codes(pictures, BINARY) == [("W307", "c0")]
    found = read_volume(path.with_suffix(".jpg")).array[:, :, 0].T
    assert np.corrcoef(found.ravel(), upright.ravel())[0, 1] > 0.9


DTYPES = ("u1", "i1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", "<f4", ">f4", "<f8", ">f8", "<i8")


@pytest.mark.parametrize("start", range(0, 200, 25))
def test_sound_data_that_look_odd(tmp_path, start):
    """Any orientation, oblique or sheared by rounding, any spacing, type, byte order, scaling; either form alone."""
    for number in range(start, start + 25):
        rng = np.random.default_rng((7, number))
        shape = tuple(rng.integers(3, 12, 3))
        turn = Rotation.random(random_state=number).as_matrix() if number % 2 else np.eye(3)[rng.permutation(3)]
        affine = np.eye(4)
        affine[:3, :3] = turn @ np.diag(np.exp(rng.uniform(np.log(0.05), np.log(12), 3)) * rng.choice((-1, 1), 3))
        affine[:3, 3] = rng.uniform(-500, 500, 3)
        dtype = np.dtype(DTYPES[number % len(DTYPES)])
        limits = (0, 100) if dtype.kind == "u" or dtype.itemsize == 1 else (-1000, 3000)
        image = rng.integers(*limits, shape).astype(dtype)
        label = rng.integers(0, 3, shape).astype(("u1", "<i2", ">i4", "<f4", ">f8")[number % 5])
        paths = [
            variant(tmp_path / f"{name}{number}", array, affine, number) for name, array in (("i", image), ("l", label))
        ]
        checked = check_case(Case(str(number), (paths[0],), paths[1]), LABELS)
        assert [str(fault) for fault in (*checked.faults, *compare_cases([checked]))] == []
        assert sum(checked.voxels.values()) == label.size


def variant(path, array, affine, number):
    """The file in one of several forms: NIfTI-1 or -2, packed or not, sform or qform or both, a pair, a flat axis."""
    kind = nib.Nifti2Image if number % 3 == 1 else nib.Nifti1Image
    if number % 7 == 3:
        array = array[..., None, None]
    stored = kind(array, affine, dtype=array.dtype)
    stored.header.set_data_dtype(array.dtype)
    forms = number % 3
    stored.set_sform(affine, code=0 if forms == 1 else (1, 2, 4)[number % 3])
    stored.set_qform(affine, code=0 if forms == 2 else 1)
    stored.header.set_xyzt_units(("mm", "unknown")[number % 2])
    suffix = (".nii", ".nii.gz", ".NII.GZ")[number % 4 % 3]
    path = path.with_name(path.name + suffix)
    stored.to_filename(path.with_name(path.name.lower()))
    return path.with_name(path.name.lower()).rename(path)


def test_a_volume_with_a_mask_that_is_a_picture(tmp_path, save):
    """Their axes run in other directions: a square slice and its own mask would be turned against each other."""
    image = image_of(0)[:8, :8, :1]
    save(tmp_path / "images" / "c0.nii.gz", image, AFFINE)
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.triu(np.ones((8, 8), np.uint8))).save(tmp_path / "masks" / "c0.png")
    assert ("E203", "c0") in codes(tmp_path, BINARY)


@pytest.mark.parametrize(
    ("low", "high", "modality", "windowed"),
    [
        (-1000, 1500, "CT", []),
        (-1000, 150, "CT", [0]),
        (-160, 240, "ct", [0]),
        (-600, 600, "Computed Tomography", [0]),
        (-160, 240, "CT, PET", [0]),
        (-160, 240, "PET, CT", [1]),
    ],
)
def test_windowed_ct(save, tmp_path, low, high, modality, windowed):
    """Noise of one tissue, bone and air in an image that a window has cut at one end or at both."""
    rng = np.random.default_rng(0)
    image = np.concatenate([rng.normal(-990, 8, 4000), rng.normal(40, 20, 6000), rng.normal(700, 250, 1000)])
    image = np.clip(image, low, high).astype(np.int16).reshape(20, 22, 25)
    paths = [save(tmp_path / f"{channel}.nii", image) for channel in range(modality.count(",") + 1)]
    found = check_case(Case("w", tuple(paths), meta={"modality": modality})).faults
    assert [(fault.code, fault.file) for fault in found] == [("W402", paths[channel]) for channel in windowed]
