"""What the layouts' phantoms share: bright bodies on noise, and the files that hold them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from medseg import files
from medseg.geometry import Geometry
from medseg.labels import WHITE
from medseg.volumes import Volume, write_volume

Floats = npt.NDArray[np.float32]
LabelMap = npt.NDArray[np.uint8]

LEVELS = np.array([0.25, 0.6, 0.85])  # background, body, core
NOISE = 0.05
OPTIONS: dict[str, dict[str, Any]] = {"GIF": {"optimize": False}, "JPEG": {"quality": 95}}  # a GIF keeps its 255
APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "  # how a ``._`` file begins


def draw(seed: int, *place: int, shape: tuple[int, ...], bodies: int = 1) -> tuple[Floats, LabelMap]:
    """Draw a case of two or three axes: an ellipsoid with a brighter core.

    Args:
        seed: the data set's.
        place: what tells the case from the others of the data set; with the seed the only source of chance.
        shape: (X, Y) or (X, Y, Z).
        bodies: how many ellipsoids lie side by side along x (two lungs).

    Returns:
        Intensities from 0 to 1, and the label map: 0 background, 1 body, 2 core.
    """
    rng = np.random.default_rng((seed, *place))
    label = np.zeros(shape, np.uint8)
    position = np.indices(shape)
    for body in range(bodies):
        room = np.array([shape[0] / bodies, *shape[1:]])
        centre = room * rng.uniform(0.42, 0.58, len(shape))
        centre[0] += body * room[0]
        half_axes = room * rng.uniform(0.25, 0.36, len(shape))
        scaled = [(x - c) / a for x, c, a in zip(position, centre, half_axes, strict=True)]
        distance = np.sqrt(np.sum(np.square(scaled), axis=0))
        label[distance < 1] = 1
        label[distance < 0.5] = 2
    image = LEVELS[label] + rng.normal(0, NOISE, shape)
    return np.clip(image, 0, 1).astype(np.float32), label


def n_tests(cases: int) -> int:
    """How many test cases come with that many training cases."""
    return max(2, cases // 4)


def grey(image: Floats) -> npt.NDArray[np.uint8]:
    """0 to 255."""
    return np.rint(image * WHITE).astype(np.uint8)


def rgb(image: Floats, colour: tuple[float, float, float]) -> npt.NDArray[np.uint8]:
    """(X, Y) to (X, Y, 3): shades of a colour, red, green and blue from 0 to 1."""
    return grey(image[..., None] * np.array(colour, np.float32))


def hounsfield(image: Floats) -> npt.NDArray[np.int16]:
    """-1000 to 400 HU."""
    return np.rint(image * 1400 - 1000).astype(np.int16)


def white(label: LabelMap) -> npt.NDArray[np.uint8]:
    """A mask as most programs store one: 255 where there is any label."""
    return np.where(label > 0, WHITE, 0).astype(np.uint8)


def picture(path: Path, array: npt.NDArray) -> Path:
    """Write (X, Y) or (X, Y, 3) of uint8, or (X, Y) of int16 as TIFF; the kind of file by its suffix."""
    stream, kind = io.BytesIO(), Image.registered_extensions()[path.suffix.lower()]
    rows = np.ascontiguousarray(np.swapaxes(array, 0, 1))
    if rows.dtype == np.int16:
        Image.fromarray(rows.view(np.uint16)).save(stream, kind, tiffinfo={339: 2})  # SampleFormat: signed
    else:
        options = OPTIONS.get(kind, {})
        Image.fromarray(rows).save(stream, kind, **options)
    return files.write_bytes(path, stream.getvalue())


def volume(path: Path, array: npt.NDArray, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 2.0)) -> Path:
    """Write (X, Y, Z) as NIfTI, its axes to the right, to the front and upwards."""
    return write_volume(path, Volume(array, Geometry(np.diag([*spacing_mm, 1.0]), array.shape)))


def itk(
    path: Path,
    array: npt.NDArray,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 2.0),
    affine: npt.NDArray[np.float64] | None = None,
) -> Path:
    """Write (X, Y, Z) as MetaImage (``.mhd`` with ``.raw``) or NRRD; where it has an affine (RAS+), that decides."""
    import SimpleITK as sitk  # takes a moment to start

    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing_mm)
    if affine is not None:
        in_lps = affine[:3] * np.array([[-1.0], [-1.0], [1.0]])
        spacing = np.linalg.norm(in_lps[:, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetDirection((in_lps[:, :3] / spacing).ravel().tolist())
        image.SetOrigin(in_lps[:, 3].tolist())
    sitk.WriteImage(image, str(path), useCompression=path.suffix == ".nrrd")
    return path


def apple_double(path: Path) -> Path:
    """Write what macOS's archive programs leave beside a file: ``._<name>``."""
    return files.write_bytes(path.with_name(f"._{path.name}"), APPLE_DOUBLE)
