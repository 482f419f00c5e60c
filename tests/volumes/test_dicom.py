import itertools
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medseg.errors import DataError
from medseg.geometry import Geometry
from medseg.volumes import digest, packed, read_geometry, read_volume
from medseg.volumes.dicom import is_series

REAL = os.environ.get("MEDSEG_REAL_DATA")
real = pytest.mark.skipif(REAL is None, reason="MEDSEG_REAL_DATA names no folder of real data")
PLANTED = ("DOE^JANE", "19500304", "4711-SECRET", "St. Elsewhere", "Dr Who", "1.2.826.77")
TEXTS = {
    "t00080050": ("SH", "4711-SECRET"),
    "t00080080": ("LO", "St. Elsewhere"),
    "t00080090": ("PN", "Dr Who"),
    "t00100010": ("PN", "DOE^JANE"),
    "t00100020": ("LO", "4711-SECRET"),
    "t00100030": ("DA", "19500304"),
    "t0020000D": ("UI", "1.2.826.77.1"),
    "t0020000E": ("UI", "1.2.826.77.2"),
    "t00200052": ("UI", "1.2.826.77.3"),
}


def test_values_and_corners(series):
    volume = read_volume(series.write_all())
    assert np.array_equal(volume.array, series.voxels.astype(int) - 1024)
    assert volume.geometry.displacement_mm(Geometry(series.affine, series.voxels.shape)) <= 1e-4
    assert volume.geometry.unit == "mm"
    assert read_geometry(series.folder).displacement_mm(volume.geometry) == 0


def test_files_without_suffix_and_numbered_ones(series):
    for index in range(4):
        series.write(index, f"IM.{index:04d}" if index % 2 else f"IM{index}")
    (series.folder / ".DS_Store").write_bytes(b"x")
    (series.folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (series.folder / "notes.txt").write_text("left alone")
    assert is_series(series.folder)
    assert np.array_equal(read_volume(series.folder).array, series.voxels.astype(int) - 1024)


def test_a_single_slice_is_as_thick_as_it_says(series):
    series.write(2)
    volume = read_volume(series.folder)
    expected = series.affine.copy()
    expected[:3, 3] += 2 * expected[:3, 2]
    assert volume.geometry.displacement_mm(Geometry(expected, (5, 6, 1))) <= 1e-4
    assert volume.geometry.spacing_mm == pytest.approx(series.spacing)


@pytest.mark.parametrize("thickness", [("DS", "0"), ("DS", "thin"), None])
def test_a_thickness_matters_to_a_single_slice_alone(series, code_of, thickness):
    for index in range(4):
        series.write(index, t00180050=thickness)
    assert read_volume(series.folder).geometry.spacing_mm == pytest.approx(series.spacing)
    for index in range(3):
        (series.folder / f"{index:03d}.dcm").unlink()
    assert code_of(series.folder, file=series.folder / "003.dcm") == "E605"


def test_each_slice_has_its_own_slope(series):
    """As in PET; the first slices are whole numbers and the others are not."""
    slopes = (1, 1, 0.5, 0.3)
    for index, slope in enumerate(slopes):
        series.write(index, t00281053=("DS", str(slope)), t00281052=("DS", "0"))
    found = read_volume(series.folder).array
    assert found.dtype == np.float32
    assert np.allclose(found, series.voxels * np.array(slopes), rtol=1e-6)


def test_rounded_positions_are_even_enough(series):
    for index in range(4):
        series.write(index, t00200032=("DS", "\\".join(f"{part:.2f}" for part in series.position(index))))
    volume = read_volume(series.folder)
    assert volume.geometry.displacement_mm(Geometry(series.affine, series.voxels.shape)) < 0.02


def shifted(series, by):
    return {"t00200032": ("DS", series.decimal(*(series.position(1) + by)))}


def write_with(series, **changes):
    """All slices, the one at index 1 changed."""
    for index in range(4):
        series.write(index, **(changes if index == 1 else {}))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"t0020000E": ("UI", "1.2.3.99")}, "E604"),
        ({"t00100020": ("LO", "patient-2")}, "E604"),
        ({"t00200052": ("UI", "1.2.3.98")}, "E604"),
        ({"t00200037": ("DS", "1\\0\\0\\0\\1\\0")}, "E604"),
        ({"t00280030": ("DS", "0.9\\0.8")}, "E604"),
        ({"t00280010": ("US", 5)}, "E604"),
        ({"t00280030": None}, "E605"),
        ({"t00280030": ("DS", "0.9")}, "E605"),
        ({"t00280030": ("DS", "x\\y")}, "E605"),
        ({"t00280030": ("DS", "0.9\\0")}, "E605"),
        ({"t00280030": ("DS", "0.9\\-0.7")}, "E605"),
        ({"t00200032": None}, "E605"),
        ({"t00200037": None}, "E605"),
        ({"t00200037": ("DS", "1\\0\\0\\1\\0\\0")}, "E605"),
        ({"t00280004": ("CS", "MONOCHROME1")}, "E606"),
        ({"t00280004": None}, "E606"),
        ({"t00080008": ("CS", "ORIGINAL\\PRIMARY\\M\\MOSAIC")}, "E606"),
        ({"t00280008": ("IS", "1"), "syntax": "1.2.840.10008.1.2.1.99"}, "E606"),
    ],
)
def test_slices_that_are_refused(series, changes, code):
    write_with(series, **changes)
    with pytest.raises(DataError) as caught:
        read_volume(series.folder)
    assert caught.value.faults[0].code == code
    assert str(series.folder) in str(caught.value)


def test_uneven_series_are_refused(series, code_of):
    normal, aside = series.turn[:, 2], series.turn[:, 0]
    for by, code in ((0.2 * normal, "E601"), (-2.5 * normal, "E602"), (0.2 * aside, "E601")):
        write_with(series, **shifted(series, by))
        assert code_of(series.folder) == code
    for index in (0, 2, 3):
        series.write(index)
    (series.folder / "001.dcm").unlink()
    assert code_of(series.folder) == "E601"


def test_a_tilted_gantry_is_refused(series, code_of):
    for index in range(4):
        place = series.position(index) + 0.5 * index * series.turn[:, 1]
        series.write(index, t00200032=("DS", series.decimal(*place)))
    assert code_of(series.folder) == "E601"
    with pytest.raises(DataError, match=r"tilted.*1\.50 mm aside"):
        read_volume(series.folder)


def test_lost_ends_of_a_slice_are_seen(series):
    """The last slice: nothing lies above it that would show that it is missing."""
    series.write_all()
    last = series.write(3, "001.dcm")
    size = last.stat().st_size
    for cut in [*range(1, 62), *range(62, size + 1, 23)]:
        series.write(3, "001.dcm", cut=cut)
        with pytest.raises(DataError) as caught:
            read_volume(series.folder)
        assert caught.value.faults[0].code in ("E102", "E103", "E104"), cut


def test_other_files_among_the_slices(series, code_of):
    series.write_all()
    for content, code in ((b"not DICOM", "E104"), (b"", "E103"), (bytes(128) + b"DICM", "E102")):
        (series.folder / "zz.dcm").write_bytes(content)
        assert code_of(series.folder, file=series.folder / "zz.dcm") == code


def test_folders_without_a_series(tmp_path, code_of):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("a")
    (tmp_path / "empty").mkdir()
    for name in ("text", "empty"):
        assert code_of(tmp_path / name) == "E609"
        assert not is_series(tmp_path / name)
        with pytest.raises(DataError, match="E609"):
            digest(tmp_path / name)


def test_one_slice_is_no_volume(series, code_of):
    assert code_of(series.write(0)) == "E104"


def test_frames_and_colours_are_refused(series, code_of):
    series.write(0, t00280008=("IS", "2"), t7FE00010=("OW", bytes(120)))
    assert code_of(series.folder, file=series.folder / "000.dcm") in ("E606", "E605")
    rgb = {"t00280002": ("US", 3), "t00280004": ("CS", "RGB"), "t00280006": ("US", 0), "t00280103": ("US", 0)}
    bits = {"t00280100": ("US", 8), "t00280101": ("US", 8), "t00280102": ("US", 7)}
    series.write(0, **rgb, **bits, t7FE00010=("OB", bytes(90)), t00281052=None, t00281053=None)
    assert code_of(series.folder, file=series.folder / "000.dcm") == "E606"


def test_a_header_that_asks_for_too_much(series, code_of, monkeypatch):
    write_with(series, t00280010=("US", 60000), t00280011=("US", 60000))
    assert code_of(series.folder, file=series.folder / "001.dcm") in ("E102", "E106")
    series.write_all()
    (series.folder / "000.dcm").unlink()
    monkeypatch.setattr(packed, "MAX_BYTES", 2 * 89)
    assert code_of(series.folder) == "E106"


def test_no_text_of_a_header_goes_anywhere(series, capfd):
    for index in range(4):
        series.write(index, **TEXTS)
    volume = read_volume(series.folder)
    told = [repr(vars(volume)), repr(vars(volume.geometry))]
    changes = [
        {"t00280030": None},
        {"t00200032": ("DS", "DOE^JANE")},
        {"t00280004": ("CS", "DOE^JANE")},
        {"t00100020": ("LO", "4711-SECRET-2")},
        {"t0020000E": ("UI", "1.2.826.77.4")},
        {"t00200037": ("DS", "4711-SECRET")},
        {"t00280010": ("US", 60000)},
        {"cut": 30},
        {"cut": 200},
    ]
    for change in changes:
        series.write(1, **{**TEXTS, **change})
        with pytest.raises(DataError) as caught:
            read_volume(series.folder)
        error = caught.value
        while error is not None:
            told.append(str(error))
            error = error.__cause__ or error.__context__
    told += capfd.readouterr()
    assert not [(text, line) for text in PLANTED for line in told if text in line]
    assert told[-2:] == ["", ""]


@real
@pytest.mark.parametrize("number", range(1, 10))
def test_real_encodings_as_dcm2niix_reads_them(tmp_path, code_of, number):
    """They are mosaics: slices side by side in one picture, which is no slice and is refused."""
    folder = Path(REAL) / "dicom_transfer_syntaxes"
    content = (folder / "In" / f"{number}.dcm").read_bytes()
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    assert code_of(tmp_path, file=path) == "E606"
    path.write_bytes(content.replace(b"\\MOSAIC", b"\\PLAIN_"))
    try:
        mosaic = read_volume(tmp_path).array[..., 0]
    except DataError as error:
        assert error.faults[0].code == "E606" and "deflated" in str(error)
        return
    slices = np.asarray(nib.load(folder / "Ref" / f"{number}.nii").dataobj)[:, ::-1]  # dcm2niix turns y around
    for z in range(slices.shape[2]):
        x, y = 64 * (z % 6), 64 * (z // 6)
        assert np.array_equal(mosaic[x : x + 64, y : y + 64], slices[..., z])


@real
@pytest.mark.parametrize("patient", ["STS_001", "STS_002", "STS_003"])
@pytest.mark.parametrize("kind", ["CT", "MR_T1", "PET"])
def test_real_series_lie_where_simpleitk_puts_them(patient, kind):
    folder = Path(REAL) / "sarcoma_dicom" / patient / kind / "image"
    volume = read_volume(folder)
    assert volume.array.shape[2] == len(list(folder.iterdir()))
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = sitk.ReadImage(names)
    indices = itertools.product(*((0, n - 1) for n in image.GetSize()))
    corners = np.array([image.TransformIndexToPhysicalPoint(index) for index in indices]) * [-1, -1, 1]
    assert np.abs(volume.geometry.corners_mm() - corners).max() <= 1e-3  # ITK rounds the directions
    assert np.allclose(volume.array, sitk.GetArrayFromImage(image).T, rtol=1e-6)


@real
@pytest.mark.parametrize("patient", ["STS_001", "STS_003"])
def test_real_pet_is_what_others_converted(patient):
    volume = read_volume(Path(REAL) / "sarcoma_dicom" / patient / "PET" / "image")
    reference = read_volume(Path(REAL) / "sarcoma_pet" / "imagesTr" / f"{patient}.nii.gz")
    assert volume.geometry.displacement_mm(reference.geometry) <= 0.01
    assert np.allclose(volume.array, reference.array, rtol=1e-3, atol=1e-3)
