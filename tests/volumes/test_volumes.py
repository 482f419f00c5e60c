import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from medseg import files, volumes
from medseg.errors import DataError
from medseg.geometry import Geometry
from medseg.volumes import Volume, digest, is_volume, packed, read_geometry, read_volume, stem, write_volume

SHAPE = (6, 5, 4)
REAL = os.environ.get("MEDSEG_REAL_DATA")
NIFTI = ["a.nii", "a.nii.gz", "a.hdr"]
ITK = ["a.mha", "z.mha", "a.mhd", "z.mhd", "a.nrrd", "z.nrrd", "a.nhdr", "z.nhdr"]  # z: packed
PICTURES = ["a.png", "rgb.png", "a.jpg", "a.tif", "z.tif", "a.gif", "a.bmp"]
ARRAYS = ["a.npy", "a.npz"]
CHECKED = {"a.nii.gz", "a.png", "rgb.png", "a.npz"}  # whose check sums cover the header too


def make(folder, name):
    """A small volume of the kind that `name` says, as other programs write it; the path to read."""
    path = folder / name
    array = np.random.default_rng(0).integers(0, 99, SHAPE).astype(np.int16)
    if name in NIFTI:
        (nib.Nifti1Pair if name == "a.hdr" else nib.Nifti1Image)(array, np.diag([0.7, 0.8, 2.0, 1.0])).to_filename(path)
    elif name in ITK:
        image = sitk.GetImageFromArray(array.T)
        image.SetSpacing((0.7, 0.8, 2.0))
        sitk.WriteImage(image, str(path), name.startswith("z"))
    elif name in ARRAYS:
        (np.savez_compressed if name == "a.npz" else np.save)(path, array)
    else:
        picture = np.dstack([array[..., :3]]).astype(np.uint8) if name == "rgb.png" else array[..., 0].astype(np.uint8)
        Image.fromarray(picture).save(path, **({"compression": "tiff_lzw"} if name == "z.tif" else {}))
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("liver_1.nii.gz", "liver_1"),
        ("a/b.c.NII", "b.c"),
        ("x.NII.GZ", "x"),
        ("p.1.nii", "p.1"),
        ("Case00.mhd", "Case00"),
        ("a.b.PNG", "a.b"),
        ("x.npy", "x"),
        ("a.hdr", "a"),
    ],
)
def test_stem(name, expected):
    assert stem(name) == expected
    assert is_volume(name)


@pytest.mark.parametrize(
    "name", ["._a.nii.gz", ".a.nii", "a.gz", "a.nii.txt", "nii", "a.mha.gz", "a.img", "a.raw", "a.zraw", "a.dcm"]
)
def test_what_is_no_volume(name):
    assert not is_volume(name)


def test_files_that_cannot_be_read(tmp_path, code_of):
    (tmp_path / "a.xyz").write_text("text")
    (tmp_path / "a.dcm").write_text("text")
    (tmp_path / "folder.nii").mkdir()
    codes = {"none.nii": "E101", "folder.nii": "E609", "a.xyz": "E104", "a.dcm": "E104", "none\0.nii": "E101"}
    for name, code in codes.items():
        assert code_of(tmp_path / name) == code
        for function in (read_geometry, digest):
            with pytest.raises(DataError, match=code):
                function(tmp_path / name)


@pytest.mark.parametrize("name", [*NIFTI, *ITK, *PICTURES, *ARRAYS])
def test_an_empty_file_of_any_kind(tmp_path, code_of, name):
    (tmp_path / name).write_bytes(b"")
    if name == "a.hdr":
        (tmp_path / "a.img").write_bytes(b"")
    assert code_of(tmp_path / name) == "E103"


def test_a_file_that_the_system_refuses(tmp_path, monkeypatch, save):
    def denied(_, label):
        raise PermissionError(13, "Permission denied")

    path = save(tmp_path / "a.nii", np.zeros((2, 2, 2), np.uint8))
    monkeypatch.setattr(volumes, "read_nifti", denied)
    with pytest.raises(DataError, match=r"E101.*a\.nii.*Permission denied"):
        read_volume(path)


def test_a_kind_that_cannot_be_written(tmp_path):
    with pytest.raises(DataError, match=r"E104.*\.nii"):
        write_volume(tmp_path / "a.mha", Volume(np.zeros((2, 2, 2)), Geometry(np.eye(4), (2, 2, 2))))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [*NIFTI, *ITK, *PICTURES, *ARRAYS])
def test_the_grid_alone_is_the_volumes_grid(tmp_path, name):
    path = make(tmp_path, name)
    volume, geometry = read_volume(path), read_geometry(path)
    assert geometry.shape == volume.geometry.shape == volume.array.shape[-3:]
    assert geometry.unit == volume.geometry.unit == ("mm" if name in NIFTI + ITK else "px")
    assert np.array_equal(geometry.affine, volume.geometry.affine)
    expected = (0.7, 0.8, 2.0) if name in NIFTI + ITK else (1.0, 1.0, 1.0)
    assert geometry.spacing_mm == pytest.approx(expected)


def test_the_grid_alone_does_not_read_voxels(tmp_path, monkeypatch):
    paths = [make(tmp_path, name) for name in [*NIFTI, *ITK, *ARRAYS]]
    expected = [read_geometry(path).shape for path in paths]
    for path in tmp_path.iterdir():
        if path.suffix in (".img", ".raw", ".zraw") or path.name.endswith(".raw.gz"):
            path.write_bytes(b"?")
    monkeypatch.setattr(volumes.packed, "read_raw", None)
    monkeypatch.setattr(volumes.packed, "read_gzip", None)
    monkeypatch.setattr(volumes.packed, "read_zlib", None)
    assert [read_geometry(path).shape for path in paths] == expected


def test_a_file_has_the_digest_of_its_bytes(tmp_path):
    for name in ("a.nii.gz", "a.mha", "a.png", "a.npz"):
        path = make(tmp_path, name)
        copy = tmp_path / f"copy_of_{name}"
        shutil.copy(path, copy)
        assert digest(path) == digest(copy) == files.digest(path)
        copy.write_bytes(path.read_bytes() + b"\0")
        assert digest(copy) != digest(path)


@pytest.mark.parametrize("name", ["a.hdr", "a.mhd", "z.mhd", "a.nhdr", "z.nhdr"])
def test_both_files_of_a_pair_count(tmp_path, name):
    path = make(tmp_path, name)
    first = digest(path)
    assert first not in [files.digest(file) for file in tmp_path.iterdir()]
    for file in sorted(tmp_path.iterdir()):
        content = file.read_bytes()
        file.write_bytes(content + b"\n")
        assert digest(path) != first
        file.write_bytes(content)
        assert digest(path) == first


def test_either_file_of_a_nifti_pair_stands_for_both(tmp_path):
    path = make(tmp_path, "a.hdr")
    assert digest(path) == digest(path.with_suffix(".img"))
    assert np.array_equal(read_volume(path).array, read_volume(path.with_suffix(".img")).array)


def test_an_item_of_a_stack_is_known_by_its_index(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 4, 5)))
    known = {digest(f"{tmp_path}/x.npy::{index}") for index in range(3)} | {digest(tmp_path / "x.npy")}
    assert len(known) == 4
    assert digest(f"{tmp_path}/x.npy::1") == digest(f"{tmp_path}/x.npy::01")
    shutil.copy(tmp_path / "x.npy", tmp_path / "y.npy")
    assert digest(f"{tmp_path}/x.npy::1") == digest(f"{tmp_path}/y.npy::1")


def test_all_slices_of_a_series_count_and_their_names_do_not(series):
    first = digest(series.write_all())
    (series.folder / ".hidden").write_bytes(b"x")
    assert digest(series.folder) == first
    (series.folder / "001.dcm").rename(series.folder / "999.dcm")
    assert digest(series.folder) == first
    series.write(3, "999.dcm", t00281052=("DS", "-1000"))
    assert digest(series.folder) != first
    (series.folder / "999.dcm").unlink()
    assert digest(series.folder) != first


def damage(rng, content):
    """Some bytes changed, or an end cut off, or bytes lost or put in."""
    broken = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        spot, kind = int(rng.integers(0, len(broken))), rng.integers(0, 8)
        if kind == 0:
            del broken[spot:]
        elif kind == 1:
            del broken[spot : spot + int(rng.integers(1, 9))]
        elif kind == 2:
            broken[spot:spot] = rng.bytes(4)
        else:
            broken[spot] = rng.integers(0, 256)
        if not broken:
            break
    return bytes(broken)


@pytest.mark.parametrize("name", [*NIFTI, *ITK, *PICTURES, *ARRAYS])
@pytest.mark.filterwarnings("error", "ignore::UserWarning:PIL.TiffImagePlugin")  # once for each kind of damage
def test_damage_ends_in_a_volume_or_in_an_error_that_names_the_file(tmp_path, name, outcome, capfd):
    """And where the format has a check sum of its voxels, never in other voxels."""
    path = make(tmp_path, name)
    rng, held, whole = np.random.default_rng(len(name)), sorted(tmp_path.iterdir()), read_volume(path)
    sound = {file: file.read_bytes() for file in held}
    started = time.monotonic()
    for _ in range(300):
        file = held[rng.integers(0, len(held))]
        size = len(sound[file])
        is_head = rng.random() < 0.5  # where the meaning is
        content = sound[file]
        file.write_bytes(damage(rng, content[:400]) + content[400:] if is_head and size > 400 else damage(rng, content))
        found = outcome(path)
        if not isinstance(found, str):
            assert found.array.nbytes <= volumes.packed.MAX_BYTES
            assert found.array.shape[-3:] == found.geometry.shape
            assert name not in CHECKED or np.array_equal(found.array, whole.array)
        file.write_bytes(content)
    assert time.monotonic() - started < 60
    assert "tif" in name or capfd.readouterr() == ("", "")  # libtiff cannot be told to be quiet


def pack(path, start, zeros):
    packer = zlib.compressobj(1, wbits=31)
    pieces = [packer.compress(start), *(packer.compress(bytes(1 << 20)) for _ in range(zeros))]
    path.write_bytes(b"".join(pieces) + packer.flush())


def bombs(folder, series):
    """Files of at most some hundred kilobytes that promise gigabytes, or hold them."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_sform(np.eye(4), 1)
    header.set_data_shape((30000,) * 3)
    (folder / "header.nii").write_bytes(header.binaryblock + bytes(100))
    pack(folder / "header.nii.gz", header.binaryblock + bytes(4), 0)
    header.set_data_shape((8, 8, 8))
    pack(folder / "long.nii.gz", header.binaryblock + bytes(4), 300)
    header.set_data_shape((1500,) * 3)
    pack(folder / "short.nii.gz", header.binaryblock + bytes(4), 1)
    meta = "NDims = 3\nElementType = MET_UCHAR\nElementSpacing = 1 1 1\n"
    meta += "CompressedData = {}\nDimSize = {}\nElementDataFile = LOCAL\n"
    (folder / "header.mha").write_text(meta.format("False", "30000 30000 30000"))
    (folder / "packed.mha").write_bytes(meta.format("True", "8 8 8").encode() + zlib.compress(bytes(200 << 20), 1))
    nrrd = "NRRD0004\ntype: uchar\ndimension: 3\nspace: RAS\nsizes: {}\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
    (folder / "header.nrrd").write_text(nrrd.format("30000 30000 30000") + "encoding: gzip\n\n")
    packed = gzip.compress(bytes(200 << 20), 1)
    (folder / "packed.nrrd").write_bytes(f"{nrrd.format('8 8 8')}encoding: gzip\n\n".encode() + packed)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(99)))]
    png = b"".join(struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    (folder / "header.png").write_bytes(b"\x89PNG\r\n\x1a\n" + png)
    tags = [(256, 20000), (257, 20000), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 20000), (279, 10)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    (folder / "header.tif").write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(14))
    with zipfile.ZipFile(folder / "zip.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (30000, 30000, 30000)}".ljust(117) + b"\n"
        archive.writestr("arr_0.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(100 << 20))
    (folder / "header.npy").write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(100))
    series.write(0, t00280010=("US", 65535), t00280011=("US", 65535))
    return [*sorted(path for path in folder.iterdir() if path.is_file()), series.folder]


MEASURE = """
import json, sys, time
from medseg.errors import DataError
from medseg.volumes import dicom, itk, read_volume

def peak():  # in MB; `ru_maxrss` would start at what the process that began this one held
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) >> 10

before, rows = peak(), []
for path in sys.argv[1:]:
    started = time.process_time()
    try:
        read_volume(path)
        code = "read"
    except DataError as error:
        code = error.faults[0].code + " " + error.faults[0].found
    rows.append([path, code, peak() - before, time.process_time() - started])
print(json.dumps(rows))
"""


def test_bombs_are_refused_in_little_memory(tmp_path, series):
    paths = bombs(tmp_path, series)
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, paths)], capture_output=True, text=True, timeout=100, check=True
    )
    rows = json.loads(run.stdout)
    assert len(rows) == 13
    for path, code, growth_mb, _ in rows:
        assert code.split()[0] in ("E106", "E102"), path
        assert growth_mb < 64, path
    found = {Path(path).name: code for path, code, _, _ in rows}
    assert "270000000" in found["header.nii"] and "270000000" in found["header.nii.gz"]
    assert "20000" in found["header.png"] or "400000000" in found["header.png"]
    assert run.stderr == ""


@pytest.mark.skipif(REAL is None, reason="MEDSEG_REAL_DATA names no folder of real data")
def test_real_volumes_are_as_nibabel_reads_them():
    paths = sorted(Path(REAL).glob("*/imagesTr/*.nii.gz"))[::25]
    assert paths
    for path in paths:
        volume, image = read_volume(path), nib.load(path)
        assert np.allclose(volume.array, np.asarray(image.dataobj), rtol=1e-6)
        assert volume.geometry.displacement_mm(Geometry(image.affine, image.shape)) <= 1e-4
        assert np.array_equal(read_geometry(path).affine, volume.geometry.affine)


def test_an_image_that_unpacks_to_too_much(tmp_path, monkeypatch, save):
    """Nothing but zeros is no image; as a label it may be one without anything labelled."""
    path = save(tmp_path / "a.nii.gz", np.zeros((80, 80, 80), np.uint8))
    assert read_volume(path).array.shape == (80, 80, 80)
    monkeypatch.setattr(packed, "MOST_FLAT_BYTES", 80**3 - 1)
    with pytest.raises(DataError, match=rf"E106.*{80**3 + 352} bytes from {path.stat().st_size}"):
        read_volume(path)
    np.savez_compressed(tmp_path / "a.npz", np.zeros((80, 80, 80), np.uint8))
    with pytest.raises(DataError, match="E106"):
        read_volume(tmp_path / "a.npz")
    assert not read_volume(tmp_path / "a.npz", label=True).array.any()
    assert not read_volume(path, label=True).array.any()
    noise = np.random.default_rng(0).integers(0, 2, (80, 80, 80)).astype(np.uint8)
    assert read_volume(save(tmp_path / "b.nii.gz", noise)).array.any()
    assert read_volume(save(tmp_path / "c.nii", np.zeros((80, 80, 80), np.uint8))).array.shape == (80, 80, 80)
