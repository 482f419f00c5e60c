"""Phantoms of the prostate on T2-weighted MR, laid out as PROMISE12.

Every structure is drawn from formulas; nothing is taken from a real image. The peripheral zone is as bright as fat,
veins and the seminal vesicles, the central gland is as grey as marrow, stool and the walls of bladder and rectum, its
stroma as dark as muscle, and the receiving coil brightens what is near it: no intensity is the prostate's own. The test
split is drawn from other poses, sizes, contrasts, coils and noise than the training split.

The layout follows Litjens et al., "Evaluation of prostate segmentation algorithms for MRI: The PROMISE12 challenge",
Medical Image Analysis 18:359 (2014), https://doi.org/10.1016/j.media.2013.12.002; its test cases come without
segmentations, these with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from medseg.cases.phantoms._fields import speckle, within
from medseg.cases.phantoms._grids import pooled, positions, rotation
from medseg.cases.phantoms._pelvis import Tissue, a_patient, draw_pelvis
from medseg.cases.phantoms._scene import Scene
from medseg.cases.phantoms._waves import waves
from medseg.cases.phantoms.layouts._drawing import itk, n_tests
from medseg.cases.phantoms.layouts.promise12 import PARTS
from medseg.geometry import Geometry
from medseg.volumes import Volume

Floats = npt.NDArray[np.floating]
Range = tuple[float, float]

COLUMNS = 80  # and rows
SLICES = (16, 22)
SPACING_MM, THICKNESS_MM = (1.4, 1.58), (3.6, 4.0)
MIDDLE_MM = np.array([0.0, -6.0, 2.0])  # of the usual field of view
SIZE = (0.95, 1.05)  # of the pelvis
PER_AXIS = (2, 2, 2)
BLUR_POINTS = 0.7
GRAIN, TEXTURE = (0.9, 0.9, 0.5), 0.06  # size in voxels and strength of what varies within a tissue
WHITE_VALUE = (150.0, 1500.0)  # of the brightest tissue; drawn evenly on a log scale
T = Tissue
LEVELS = {  # of T2-weighted signal, urine 1
    T.FAT: 0.68, T.MUSCLE: 0.2, T.MARROW: 0.46, T.CORTEX: 0.07, T.CARTILAGE: 0.2, T.URINE: 1.0, T.BLADDER_WALL: 0.26,
    T.RECTAL_WALL: 0.28, T.MUCOSA: 0.6, T.STOOL: 0.45, T.GAS: 0.02, T.VEIN: 0.88, T.NERVE: 0.28, T.VESICLE: 0.9,
    T.VESICLE_WALL: 0.36, T.BULB: 0.8, T.PERIPHERAL: 0.78, T.SEPTUM: 0.62, T.CENTRAL: 0.44, T.BRIGHT_NODULE: 0.68,
    T.DARK_NODULE: 0.3, T.STROMA: 0.22, T.CAPSULE: 0.3, T.URETHRA: 0.66, T.LESION: 0.33, T.STRAND: 0.46,
}  # fmt: skip


@dataclass(frozen=True)
class Distribution:
    """From where a split's cases are drawn: each pair is the lowest and the highest of a uniform draw.

    Attributes:
        turn_deg: angle of the pelvis' rotation about a random axis.
        tilt_deg: angle by which every second volume is tilted towards the prostate's own axis.
        gland: size of the prostate, relative to one of 40 ml.
        fat: intensity of fat; urine is 1.
        contrast: exponent that the tissues' intensities are raised to.
        coil: fraction of cases with a coil in the rectum.
        gradient: by how much a coil before the body brightens its front.
        noise: standard deviation of either channel of the Rician noise.
    """

    turn_deg: Range
    tilt_deg: Range
    gland: Range
    fat: Range
    contrast: Range
    coil: float
    gradient: Range
    noise: Range


TRAINING = Distribution((0, 7), (5, 15), (0.9, 1.26), (0.6, 0.72), (0.88, 1.08), 0.25, (0.0, 0.5), (0.015, 0.03))
TEST = Distribution((6, 10), (12, 20), (1.0, 1.34), (0.72, 0.82), (1.08, 1.22), 0.4, (0.4, 0.7), (0.028, 0.04))


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write the data set; a case depends on `seed`, its split and its place alone.

    Args:
        folder: where the data set's files go; made if need be.
        cases: number of training cases, in three parts; there are a quarter as many test cases, two at least.
        seed: chooses all of it.

    Returns:
        `folder`.
    """
    folder = Path(folder)
    for index in range(cases):
        part = folder / f"TrainingData_Part{index * PARTS // cases + 1}"
        _write_case(part, index, draw(TRAINING, np.random.default_rng((seed, 0, index)), index))
    for index in range(n_tests(cases)):
        _write_case(folder / "TestData", index, draw(TEST, np.random.default_rng((seed, 1, index)), index))
    return folder


def draw(distribution: Distribution, rng: np.random.Generator, index: int = 0) -> tuple[Volume, Volume]:
    """Draw one case.

    Args:
        distribution: where pose, contrast and coil come from.
        rng: the only source of chance.
        index: every second volume is oblique.

    Returns:
        Image (int16) and label (uint8: 0 background, 1 prostate) on one grid, (X, Y, Z) with the axes of DICOM: to the
        patient's left, to the back and upwards, or nearly so.
    """
    pose = within(rng, SIZE) * rotation(rng, distribution.turn_deg)
    geometry = _grid(distribution, rng, oblique=index % 2 == 1)
    deformation = waves(rng, 6, (45.0, 110.0), 1.5, channels=3)
    scene = Scene(geometry, PER_AXIS, pose, deformation, slack_mm=8.0)
    has_coil = bool(rng.random() < distribution.coil)
    patient = a_patient(distribution.gland, has_coil, rng)
    label = pooled(draw_pelvis(scene, patient, rng), geometry, PER_AXIS) >= 0.5
    coil_mm = (pose * (0.0, patient.rectum_y_mm, 0.0)).sum(1) if has_coil else None
    image = _acquired(scene, geometry, distribution, coil_mm, rng)
    image = image * np.exp(rng.uniform(*np.log(WHITE_VALUE)))
    return Volume(np.rint(image).astype(np.int16), geometry), Volume(label.astype(np.uint8), geometry)


def _write_case(folder: Path, index: int, case: tuple[Volume, Volume]) -> None:
    for volume, ending in zip(case, ("", "_segmentation"), strict=True):
        itk(folder / f"Case{index:02d}{ending}.mhd", volume.array, affine=volume.geometry.affine)


def _grid(distribution: Distribution, rng: np.random.Generator, oblique: bool) -> Geometry:
    """A grid around the prostate, tilted about the axis from right to left and turned a little if it is oblique."""
    across, along = within(rng, SPACING_MM), within(rng, THICKNESS_MM)
    shape = (COLUMNS, COLUMNS, int(rng.integers(SLICES[0], SLICES[1] + 1)))
    angles = np.array([within(rng, distribution.tilt_deg), rng.uniform(-3, 3)]) * oblique
    directions = Rotation.from_euler("xz", angles, degrees=True).as_matrix() * (-1, -1, 1)
    affine = np.eye(4)
    affine[:3, :3] = directions * (across, across, along)
    reach = (affine[:3, :3] * (np.array(shape) - 1) / 2).sum(1)
    affine[:3, 3] = MIDDLE_MM + rng.uniform(-4, 4, 3) - reach
    return Geometry(affine, shape)


def _acquired(
    scene: Scene, geometry: Geometry, distribution: Distribution, coil_mm: Floats | None, rng: np.random.Generator
) -> Floats:
    """(X, Y, Z) what the scanner gives, urine about 1: contrast, blur, partial volume, grain, coils, Rician noise."""
    table = {**LEVELS, T.FAT: within(rng, distribution.fat)}
    levels = np.array([table[tissue] for tissue in T]) ** within(rng, distribution.contrast)
    levels = (levels * (1 + rng.normal(0, 0.04, len(T)))).astype(np.float32)
    image = pooled(gaussian_filter(levels[scene.tissue], BLUR_POINTS, truncate=2.5), geometry, PER_AXIS)
    grain = gaussian_filter(speckle(rng, geometry.shape, 1.0), GRAIN)
    image = image * (1 + TEXTURE / grain.std() * grain)
    image = image * _sensitivity(geometry, distribution, coil_mm, rng)
    real, imaginary = rng.normal(scale=within(rng, distribution.noise), size=(2, *geometry.shape))
    return np.hypot(image + real, imaginary)


def _sensitivity(
    geometry: Geometry, distribution: Distribution, coil_mm: Floats | None, rng: np.random.Generator
) -> Floats:
    """(X, Y, Z) how strongly the coils receive: those before the body its front, one in the rectum what is near."""
    centres = positions(geometry, (1, 1, 1))
    bias = np.exp(waves(rng, 3, (90.0, 200.0), 0.12)(centres)[0] + within(rng, distribution.gradient) * centres[1] / 60)
    if coil_mm is not None:
        far_mm = np.sqrt(sum((row - np.float32(place)) ** 2 for row, place in zip(centres, coil_mm, strict=True)))
        bias = bias * (0.55 + 2.2 * np.exp(-far_mm / 26))
    return bias.reshape(geometry.shape)
