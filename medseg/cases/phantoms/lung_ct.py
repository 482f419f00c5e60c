"""Phantoms of the lungs on CT, laid out as the data set "Finding and Measuring Lungs in CT Data" on Kaggle.

Every structure is drawn from formulas; nothing is taken from a real scan. The air around the body, what lies on it and
the foam of the couch are as dark as the lungs; the airways and the gas in stomach and bowel are air and no lung;
vessels and consolidations are lung and no air. So no threshold finds the lungs. Files, names and values follow the
download: volumes ``3d_images/IMG_0002.nii.gz`` with their slices along the first axis, slices of other patients
``2d_images/ID_0000_Z_0075.tif``, Hounsfield units as int16 with -2000 where the scanner saw nothing, masks of 0 and
255, and measures in ``lung_stats.csv`` (K. S. Mader, https://www.kaggle.com/datasets/kmader/finding-lungs-in-ct-data).
The data set keeps no test cases apart, and neither do these.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from medseg import files
from medseg.cases.phantoms._fields import speckle, within
from medseg.cases.phantoms._grids import pooled, positions, rotation
from medseg.cases.phantoms._scene import Scene, among
from medseg.cases.phantoms._thorax import Tissue, a_patient, draw_couch, draw_thorax
from medseg.cases.phantoms._waves import waves
from medseg.cases.phantoms.layouts._drawing import n_tests, picture, white
from medseg.geometry import Geometry
from medseg.volumes import Volume, write_volume

Floats = npt.NDArray[np.floating]
Row = dict[str, str]

COLUMNS = 96  # and rows
SLICES = (20, 28)
BOTTOM_MM, TOP_MM = -138.0, 118.0  # of the scan, in the anatomy's frame
PER_AXIS = (2, 2, 1)
BLUR = (0.8, 0.8, 0.4)  # of points
PADDING_HU, LOWEST_HU = -2000, -1024
FIRST_NUMBER, FIRST_Z = 2, 75  # of the files' names
T = Tissue
USUAL_HU = {
    T.AIR: -1000.0, T.SKIN: 20.0, T.FAT: -105.0, T.MUSCLE: 55.0, T.GLAND: 15.0, T.BONE: 380.0, T.MARROW: 190.0,
    T.CARTILAGE: 105.0, T.CORD: 28.0, T.BLOOD: 42.0, T.MYOCARDIUM: 48.0, T.VEIN: 42.0, T.WALL: 35.0, T.LIVER: 58.0,
    T.SPLEEN: 50.0, T.FOOD: 30.0, T.GAS: -990.0, T.LUNG: -880.0, T.VESSEL: 42.0, T.GLASS: -560.0, T.CONSOLIDATED: 32.0,
    T.CLOTH: -880.0, T.FOAM: -910.0, T.SHELL: -150.0,
}  # fmt: skip
VARYING_HU = {T.LUNG: (-925, -865), T.FOAM: (-940, -880), T.CLOTH: (-930, -840)}
RISE_HU = {T.BLOOD: 150, T.MYOCARDIUM: 60, T.VEIN: 120, T.VESSEL: 140, T.LIVER: 45, T.SPLEEN: 60, T.CONSOLIDATED: 40}


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write the data set; a case depends on `seed`, its part and its place alone.

    Args:
        folder: where the data set's files go; made if need be.
        cases: number of volumes; a quarter as many slices, two at least, come beside them, each of another patient.
        seed: chooses all of it.

    Returns:
        `folder`.

    Raises:
        MedsegError: E701, the folder cannot be written.
    """
    folder = Path(folder)
    for index in range(cases):
        image, label = draw(np.random.default_rng((seed, 0, index)))
        name = f"{index + FIRST_NUMBER:04d}.nii.gz"
        write_volume(folder / "3d_images" / f"IMG_{name}", _slices_first(image))
        write_volume(folder / "3d_images" / f"MASK_{name}", _slices_first(label))
    rows = [_write_slice(folder, index, np.random.default_rng((seed, 1, index))) for index in range(n_tests(cases))]
    files.write_csv(folder / "lung_stats.csv", rows)
    return folder


def draw(rng: np.random.Generator) -> tuple[Volume, Volume]:
    """Draw one scan.

    Args:
        rng: the only source of chance.

    Returns:
        Image (int16, Hounsfield units) and label (int16: 0, 255 lung) on one grid, (X, Y, Z) with the axes of DICOM: to
        the patient's left, to the back and upwards.
    """
    size = within(rng, (0.92, 1.04))
    geometry = _grid(size, rng)
    deformation = waves(rng, 5, (90.0, 220.0), 2.5, channels=3)
    scene = Scene(geometry, PER_AXIS, size * rotation(rng, (0, 3.5)), deformation, slack_mm=12.0)
    patient = a_patient(rng)
    lung = draw_thorax(scene, patient, rng)
    draw_couch(scene, geometry, PER_AXIS, size * patient.lowest_mm, rng)
    image = _padded(_acquired(scene, geometry, rng), rng)
    inside = (pooled(lung, geometry, PER_AXIS) >= 0.5).astype(np.uint8)
    label = white(inside).astype(np.int16)
    return Volume(np.rint(image).astype(np.int16), geometry), Volume(label, geometry)


def _write_slice(folder: Path, index: int, rng: np.random.Generator) -> Row:
    """Write one slice of a scan and return its row of the table."""
    image, label = draw(rng)
    level = int(rng.integers(image.array.shape[2] // 4, 3 * image.array.shape[2] // 4))
    name = f"ID_{index:04d}_Z_{FIRST_Z + index:04d}.tif"
    values, mask = image.array[:, :, level], label.array[:, :, level]
    picture(folder / "2d_images" / name, values)
    picture(folder / "2d_masks" / name, mask.astype(np.uint8))
    lung, (width, height, _) = values[mask > 0], image.geometry.spacing_mm
    return {
        "img_id": name,
        "lung_area_mm2": f"{lung.size * width * height:.1f}",
        "lung_volume_fraction": f"{lung.size / mask.size:.4f}",
        "lung_mean_hu": f"{lung.mean():.1f}",
        "lung_pd95_hu": f"{np.percentile(lung, 95):.1f}",
        "lung_pd05_hu": f"{np.percentile(lung, 5):.1f}",
    }


def _slices_first(volume: Volume) -> Volume:
    """The same volume, its axes in the order slices, rows, columns."""
    order = [2, 1, 0]
    affine = volume.geometry.affine[:, [*order, 3]]
    array = np.ascontiguousarray(volume.array.transpose(order))
    return Volume(array, Geometry(affine, array.shape))


def _grid(size: float, rng: np.random.Generator) -> Geometry:
    """A grid whose slices reach from the bottom to the top of a patient of that size, as far as `SLICES` go."""
    across, along = within(rng, (3.6, 4.1)), within(rng, (8.6, 10.0))
    n = int(np.clip(np.ceil(size * (TOP_MM - BOTTOM_MM) / along), *SLICES))
    affine = np.diag([-across, -across, along, 1.0])
    affine[:2, 3] = across * (COLUMNS - 1) / 2 + rng.uniform(-6, 6, 2)
    affine[2, 3] = size * (TOP_MM + BOTTOM_MM) / 2 - along * (n - 1) / 2
    return Geometry(affine, (COLUMNS, COLUMNS, n))


def _acquired(scene: Scene, geometry: Geometry, rng: np.random.Generator) -> Floats:
    """(X, Y, Z) what the scanner gives: Hounsfield units, blur, partial volume, shading by hard rays, noise."""
    image = pooled(gaussian_filter(_levels(rng)[scene.tissue], BLUR, truncate=2.5), geometry, PER_AXIS)
    lung = pooled(scene.tissue == T.LUNG, geometry, PER_AXIS)
    body = 1 - pooled(among(scene.tissue, (T.AIR, T.CLOTH, T.FOAM, T.SHELL)), geometry, PER_AXIS)
    centres = positions(geometry, (1, 1, 1))
    in_lungs, shade, in_air = (
        waves(rng, n, length, deviation)(centres).reshape(geometry.shape)
        for n, length, deviation in ((12, (25.0, 90.0), 16.0), (6, (90.0, 250.0), 12.0), (6, (60.0, 200.0), 18.0))
    )
    sinking = within(rng, (20, 70)) * -centres[1].reshape(geometry.shape) / 80  # blood sinks to the back
    image = image + lung * (in_lungs + sinking) + (0.3 + body) * shade + (1 - body) * (in_air + within(rng, (10, 45)))
    deviation = within(rng, (16, 34)) * (0.7 + 0.5 * body.mean(0, keepdims=True))
    return np.maximum(image + deviation * speckle(rng, geometry.shape, 1.0), LOWEST_HU)


def _levels(rng: np.random.Generator) -> Floats:
    """The Hounsfield units of each tissue; in every second scan a contrast medium raises those with much blood."""
    table = dict(USUAL_HU)
    enhanced = rng.choice((0, 1)) * rng.uniform(0.4, 1.3)
    for tissue, rise in RISE_HU.items():
        table[tissue] += enhanced * rise
    for tissue, bounds in VARYING_HU.items():
        table[tissue] = within(rng, bounds)
    levels = np.array([table[tissue] for tissue in T], np.float32)
    levels[1:] += rng.normal(0, 6, len(T) - 1)
    return levels


def _padded(image: Floats, rng: np.random.Generator) -> Floats:
    """Most scans hold nothing beyond the circle that the scanner saw."""
    if rng.random() < 0.6:
        x, y = np.indices((COLUMNS, COLUMNS)) - (COLUMNS - 1) / 2
        image[np.hypot(x, y) > COLUMNS / 2] = PADDING_HU
    return image
