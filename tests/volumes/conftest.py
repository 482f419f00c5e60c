"""What the tests of several kinds of volumes share."""

import struct

import numpy as np
import pytest

from medseg.errors import DataError
from medseg.volumes import read_volume

LONG_LENGTHS = ("OB", "OW", "UN")
TURN = np.linalg.qr(np.array([[1.0, 0.2, 0.1], [-0.3, 1.0, 0.2], [0.1, -0.1, 1.0]]))[0]


@pytest.fixture
def code_of():
    """A function: the code with which a file is refused; the message must name it and say what to do."""

    def code(path, label=False, file=None):
        with pytest.raises(DataError) as caught:
            read_volume(path, label)
        fault = caught.value.faults[0]
        assert str(file or path) in str(caught.value)
        assert fault.fix
        return fault.code

    return code


@pytest.fixture
def outcome():
    """A function: the volume, or the code with which it is refused in a message that names the file's folder."""

    def read(path, label=False):
        try:
            return read_volume(path, label)
        except DataError as error:
            assert str(path.parent) in str(error)
            return error.faults[0].code

    return read


class Series:
    """A DICOM series, written byte by byte: explicit little endian, one file a slice.

    ``tags`` holds what every slice has, ``{0x00280010: ("US", 6)}``; `write` takes what differs.
    """

    def __init__(self, folder, voxels, spacing=(0.7, 0.9, 2.5), origin=(-120.3, 88.1, 100.7), turn=TURN):
        self.folder, self.voxels, self.spacing = folder, voxels, spacing
        self.turn = turn * np.sign(np.linalg.det(turn))  # right-handed, as slices along the normal are
        self.origin = np.array(origin)
        columns, rows, _ = voxels.shape
        self.tags = {
            0x00080016: ("UI", "1.2.840.10008.5.1.4.1.1.2"),
            0x00080060: ("CS", "CT"),
            0x00100020: ("LO", "patient-1"),
            0x00180050: ("DS", f"{spacing[2]}"),
            0x0020000D: ("UI", "1.2.3"),
            0x0020000E: ("UI", "1.2.3.4"),
            0x00200037: ("DS", self.decimal(*self.turn[:, 0], *self.turn[:, 1])),
            0x00200052: ("UI", "1.2.3.5"),
            0x00280002: ("US", 1),
            0x00280004: ("CS", "MONOCHROME2"),
            0x00280010: ("US", rows),
            0x00280011: ("US", columns),
            0x00280030: ("DS", self.decimal(spacing[1], spacing[0])),  # between rows, then between columns
            0x00280100: ("US", 16),
            0x00280101: ("US", 16),
            0x00280102: ("US", 15),
            0x00280103: ("US", 1),
            0x00281052: ("DS", "-1024"),
            0x00281053: ("DS", "1"),
        }

    @property
    def affine(self):
        """Voxel index to RAS+ millimetres."""
        affine = np.eye(4)
        affine[:3, :3] = self.turn * self.spacing
        affine[:3, 3] = self.origin
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine

    @staticmethod
    def decimal(*numbers):
        return "\\".join(f"{number:.14g}"[:16] for number in numbers)

    def position(self, index):
        return self.origin + index * self.spacing[2] * self.turn[:, 2]

    def write(self, index, name=None, syntax="1.2.840.10008.1.2.1", cut=0, **changes):
        """One slice; `changes` as ``t00280010=("US", 6)``, None leaves a tag out; `cut` bytes lack at the end."""
        pixels = np.ascontiguousarray(self.voxels[:, :, index].T, "<i2").tobytes()
        tags = self.tags | {
            0x00080018: ("UI", f"1.2.3.4.{index + 1}"),
            0x00200013: ("IS", f"{index + 1}"),
            0x00200032: ("DS", self.decimal(*self.position(index))),
            0x7FE00010: ("OW", pixels),
        }
        tags |= {int(name[1:], 16): value for name, value in changes.items()}
        meta = b"".join(
            element(tag, kind, value)
            for tag, kind, value in (
                (0x00020001, "OB", b"\0\1"),
                (0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.2"),
                (0x00020003, "UI", f"1.2.3.4.{index + 1}"),
                (0x00020010, "UI", syntax),
                (0x00020012, "UI", "1.2.3.9"),
            )
        )
        body = b"".join(element(tag, *tags[tag]) for tag in sorted(tags) if tags[tag] is not None)
        content = bytes(128) + b"DICM" + element(0x00020000, "UL", len(meta)) + meta + body
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / (name or f"{index:03d}.dcm")
        path.write_bytes(content[: len(content) - cut])
        return path

    def write_all(self):
        """All slices, in files whose names run against their places."""
        n = self.voxels.shape[2]
        for index in range(n):
            self.write(index, f"{n - index:03d}.dcm")
        return self.folder


def element(tag, kind, value):
    """A data element in explicit little endian."""
    if kind in ("US", "UL"):
        value = struct.pack("<H" if kind == "US" else "<I", value)
    value = value.encode() if isinstance(value, str) else value
    value += (b"\0" if kind in ("UI", *LONG_LENGTHS) else b" ") * (len(value) % 2)
    start = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + kind.encode()
    return start + (struct.pack("<xxI" if kind in LONG_LENGTHS else "<H", len(value))) + value


@pytest.fixture
def series(tmp_path):
    """A series of 5 x 6 x 4 voxels, not written yet."""
    voxels = np.random.default_rng(0).integers(-500, 2000, (5, 6, 4)).astype(np.int16)
    return Series(tmp_path / "series", voxels)
