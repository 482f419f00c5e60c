"""Phantoms of the hippocampus on T1-weighted MR, laid out as Task 04 of the Medical Segmentation Decathlon.

Every structure is drawn from formulas; nothing is taken from a real image. The hippocampus, the amygdala and the
cortex are the same grey, so intensity alone finds none of them, and the anterior part ends at a plane across the long
axis that no intensity shows. The test split is drawn from other poses, contrasts, bias and noise than the training
split. The layout and the label names follow Antonelli et al., "The Medical Segmentation Decathlon", Nature
Communications 13:4128 (2022), https://doi.org/10.1038/s41467-022-30695-9.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter

from medseg import files
from medseg.cases.phantoms._grids import pooled, positions, rotation
from medseg.cases.phantoms._waves import times, waves
from medseg.cases.phantoms.layouts.msd import description
from medseg.geometry import Geometry
from medseg.volumes import Volume, write_volume

Floats = npt.NDArray[np.floating]

# The atlas: millimetres in a frame of x towards the middle of the head, y anterior, z superior.
# Rows along the hippocampus: y, then the centre (x, z) and the half-axes (x, z) of its coronal cross-section there.
ATLAS = np.array(
    [
        (-20.0, 4.0, 11.5, 0.0, 0.0),
        (-17.0, 2.5, 9.5, 4.6, 3.6),
        (-11.0, 0.0, 5.5, 5.8, 4.1),
        (-5.0, -1.0, 2.0, 6.3, 4.3),
        (1.0, -1.0, -1.0, 6.8, 4.5),
        (6.0, 0.0, -3.2, 8.1, 5.3),
        (11.0, 1.0, -4.7, 8.6, 5.6),
        (15.5, 1.5, -5.4, 6.9, 4.6),
        (18.5, 2.0, -5.5, 0.0, 0.0),
    ]
)
ARCH_PER_MM = 0.03  # how much the cross-section arches over the gyrus below it
HEAD_END = np.array([[-0.5], [3.0], [-2.0]])  # on the long axis, where the anterior part ends
# Ellipsoids: centre and half-axes.
UNCUS = (6.5, 9.0, -2.0), (4.0, 5.0, 3.5)
AMYGDALA = (3.5, 15.5, 3.5), (8.0, 6.5, 6.5)
PUTAMEN = (-6.0, 2.0, 13.0), (6.0, 13.0, 4.5)
THALAMUS = (11.0, -8.0, 17.0), (10.0, 14.0, 9.0)
BRAINSTEM = (23.0, -5.0, 3.0), (10.5, 17.0, 20.0)
WHITE, GREY, FLUID, DEEP = range(4)
WHITE_LEVEL, DEEP_LEVEL = 1.0, 0.82

MARGIN_MM = np.array([8.0, 6.0, 7.0])
SMALLEST_MM = np.array([33.0, 46.0, 33.0])
SUPERSAMPLING = (2, 2, 2)
BLUR_SUB_VOXELS = 0.7
# How a case is stored, in turn, so that a small set has all of them.
ORIENTATIONS = ("RAS", "LPS", "RAS", "PSR", "LAS")
DTYPES = ("uint8", "float32", "int16")
WHITE_VALUE = {"uint8": (85, 115), "int16": (300, 3000), "float32": (200, 300_000)}  # drawn evenly on a log scale


@dataclass(frozen=True)
class Distribution:
    """From where a split's cases are drawn: each pair is the lowest and the highest of a uniform draw.

    Attributes:
        turn_deg: angle of the anatomy's rotation about a random axis.
        growth: absolute logarithm of its size; growing and shrinking are equally likely.
        shift_mm: distance of the anatomy from the middle of the volume, in each axis.
        oblique_deg: angle between the voxel axes and the patient's.
        grey, fluid: intensity of grey matter and of cerebrospinal fluid; white matter is 1.
        bias: amplitude of the logarithm of the bias field.
        noise: standard deviation of either channel of the Rician noise.
    """

    turn_deg: tuple[float, float]
    growth: tuple[float, float]
    shift_mm: tuple[float, float]
    oblique_deg: tuple[float, float]
    grey: tuple[float, float]
    fluid: tuple[float, float]
    bias: tuple[float, float]
    noise: tuple[float, float]


TRAINING = Distribution((0, 7), (0, 0.05), (0, 1.5), (0, 6), (0.50, 0.58), (0.10, 0.20), (0.02, 0.06), (0.01, 0.02))
TEST = Distribution((8, 11), (0.05, 0.08), (1.5, 2.5), (5, 12), (0.59, 0.64), (0.20, 0.28), (0.06, 0.07), (0.02, 0.03))


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` training cases and `max(2, cases // 4)` test cases, as the data set looks when downloaded.

    Volumes have about 35 x 50 x 36 voxels of 0.8 to 1.3 mm. Beyond what the Decathlon gives, ``labelsTs/`` holds the
    test cases' truth. A case depends on the seed, its split and its place in it, and on nothing else; the same call
    gives the same bytes.

    Args:
        folder: where `dataset.json`, `imagesTr`, `labelsTr`, `imagesTs` and `labelsTs` go.
        cases: number of training cases.
        seed: a non-negative integer.

    Returns:
        `folder`.

    Raises:
        MedsegError: E701, the folder cannot be written.
    """
    folder = Path(folder)
    names = [f"hippocampus_{number:03d}.nii.gz" for number in range(1, cases + max(2, cases // 4) + 1)]
    training, test = names[:cases], names[cases:]
    for split, (suffix, distribution, members) in enumerate((("Tr", TRAINING, training), ("Ts", TEST, test))):
        for index, name in enumerate(members):
            image, label = draw(distribution, np.random.default_rng((seed, split, index)), index)
            write_volume(folder / f"images{suffix}" / name, image)
            write_volume(folder / f"labels{suffix}" / name, label)
    about = {
        "name": "Hippocampus",
        "description": "Synthetic left and right hippocampus segmentation: phantoms, no patient data",
        "reference": f"medseg.cases.phantoms.hippocampus_mri, seed {seed}",
    }
    content = description(about, "MRI", ("background", "Anterior", "Posterior"), training, test)
    files.write_json(folder / "dataset.json", content)
    return folder


def draw(distribution: Distribution, rng: np.random.Generator, index: int = 0) -> tuple[Volume, Volume]:
    """Draw one case.

    Args:
        distribution: where pose and contrast come from.
        rng: the only source of chance.
        index: chooses the axis order and the voxel type among `ORIENTATIONS` and `DTYPES`.

    Returns:
        Image (uint8, int16 or float32) and label (uint8: 0 background, 1 Anterior, 2 Posterior) on the same grid.
    """
    pose = _pose(distribution, rng)
    geometry = _grid(pose, distribution, rng)
    points = times(np.linalg.inv(pose), positions(geometry, SUPERSAMPLING))
    deformation = waves(rng, 6, (25.0, 50.0), 0.6, channels=3)
    atlas = points + deformation(points)
    distance_mm = _hippocampus_mm(atlas)
    tissue = np.where(distance_mm < 0, GREY, _surroundings(atlas, distance_mm, rng))
    image = _acquired(tissue, geometry, distribution, rng)
    # The plane is flat in the posed anatomy, and where the deformation puts the atlas' one on the long axis.
    plane = HEAD_END[1] - deformation(HEAD_END)[1]
    label = _voted(np.where(distance_mm < 0, np.where(points[1] > plane, 1, 2), 0), geometry)
    moved = Geometry(geometry.affine + _translation(rng.uniform(-60, 60, 3)), geometry.shape)
    code = ORIENTATIONS[index % len(ORIENTATIONS)]
    stored = _quantised(image, DTYPES[index % len(DTYPES)], rng)
    return _reoriented(stored, moved, code), _reoriented(label, moved, code)


def _pose(distribution: Distribution, rng: np.random.Generator) -> Floats:
    """(3, 3) matrix from the atlas to the patient: rotation, size, side (the atlas is one of the two hippocampi)."""
    size = np.exp(rng.choice((-1, 1)) * rng.uniform(*distribution.growth))
    side = rng.choice((-1.0, 1.0))
    return rotation(rng, distribution.turn_deg) @ np.diag([side * size, size, size])


def _translation(offset_mm: Floats) -> Floats:
    """What to add to an affine to move it."""
    return np.pad(np.asarray(offset_mm)[:, None], ((0, 1), (3, 0)))


def _grid(pose: Floats, distribution: Distribution, rng: np.random.Generator) -> Geometry:
    """An oblique, anisotropic grid around the posed hippocampus; the atlas' origin is the patient's."""
    directions = rotation(rng, distribution.oblique_deg)
    spacing = rng.uniform(0.8, 1.3, 3)
    y, x, z, rx, rz = ATLAS.T
    surface = [np.stack([x + side * rx, y, z + up * rz], 1) for side, up in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    extent = np.concatenate(surface) @ pose.T @ directions
    low, high = extent.min(0) - MARGIN_MM, extent.max(0) + MARGIN_MM
    shape = np.ceil(np.maximum(high - low, SMALLEST_MM) / spacing).astype(int)
    shift = rng.choice((-1, 1), 3) * rng.uniform(*distribution.shift_mm, 3)
    first = (low + high) / 2 + shift - spacing * (shape - 1) / 2
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions * spacing, directions @ first
    return Geometry(affine, tuple(shape))


def _section(y: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Centre (x, z) and half-axes (x, z) in mm of the cross-section at `y`; half-axes are 0 beyond the tips."""
    table = np.column_stack([ATLAS[:, 1:3], ATLAS[:, 3:] ** 2])  # squares, so that the tips are round
    dense = np.linspace(ATLAS[0, 0], ATLAS[-1, 0], 400)
    columns = PchipInterpolator(ATLAS[:, 0], table)(dense).T
    x, z, rx, rz = (np.interp(y, dense, column).astype(np.float32) for column in columns)
    return x, z, np.sqrt(np.maximum(rx, 0)), np.sqrt(np.maximum(rz, 0))


def _hippocampus_mm(atlas: Floats) -> Floats:
    """(3, m) positions to (m,) signed distance to the hippocampus, negative inside, approximate off its surface."""
    x, y, z = atlas
    cx, cz, rx, rz = _section(y)
    rx, rz = np.maximum(rx, 0.05), np.maximum(rz, 0.05)
    across, up = x - cx, z - cz + ARCH_PER_MM * (x - cx) ** 2
    tube = (np.hypot(across / rx, up / rz) - 1) * np.minimum(rx, rz)
    beyond = np.maximum(y - ATLAS[-1, 0], ATLAS[0, 0] - y)
    return np.minimum(np.maximum(tube, beyond), _ellipsoid_mm(atlas, *UNCUS))


def _ellipsoid_mm(atlas: Floats, centre: tuple[float, ...], half_axes: tuple[float, ...]) -> Floats:
    """(3, m) positions to (m,) signed distance to an ellipsoid, approximate off its surface."""
    x, y, z = ((row - c) / r for row, c, r in zip(atlas, centre, half_axes, strict=True))
    return (np.sqrt(x * x + y * y + z * z) - 1) * min(half_axes)


def _surroundings(atlas: Floats, distance_mm: Floats, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """(3, m) positions to the (m,) tissue around the hippocampus, painted from the back to the front."""
    x, y, z = atlas
    cx, cz, rx, _ = _section(y)
    wobble = waves(rng, 8, (12.0, 30.0), 1.0, channels=3)(atlas)
    folds = np.abs(waves(rng, 12, (9.0, 20.0), 1.0)(atlas)[0])
    below = cz - 4.5 - z + 0.8 * wobble[0]
    outside = (below > 8) | (x < wobble[1] - 12.0) | ((y > 6) & (z > 14 + wobble[1]))
    near = np.abs(x - cx - 1) < 12
    stem_mm = _ellipsoid_mm(atlas, *BRAINSTEM) + 0.5 * wobble[1]
    aside = (0.8 * (cx - x) + 0.6 * (z - cz)) / np.maximum(np.hypot(x - cx, z - cz), 1)
    horn_mm = rng.uniform(1.4, 2.4) * np.clip(0.4 + aside + 0.5 * wobble[0], 0, 1.3)
    tissue = np.full(len(x), WHITE, np.uint8)
    tissue[_ellipsoid_mm(atlas, *PUTAMEN) < wobble[1]] = GREY
    tissue[_ellipsoid_mm(atlas, *THALAMUS) < wobble[1]] = DEEP
    tissue[outside & (folds < 0.75)] = GREY
    tissue[outside & (folds < 0.18)] = FLUID
    tissue[near & (below > 3.0) & (below < 6.5)] = GREY  # parahippocampal cortex, and the sulcus under it
    tissue[near & (below > 6.5) & (below < 7.9 + 0.5 * wobble[2])] = FLUID
    tissue[(x > cx + rx - 2) & (x < cx + rx + 4.5) & (np.abs(below - 1.2) < 1.3)] = GREY  # subiculum
    tissue[(stem_mm < 2.6) & (z < 9)] = FLUID
    tissue[stem_mm < 0] = DEEP
    tissue[_ellipsoid_mm(atlas, *AMYGDALA) < 0.5 * wobble[2]] = GREY
    tissue[distance_mm < 1.0] = WHITE  # alveus
    tissue[distance_mm < horn_mm] = FLUID  # temporal horn
    return tissue


def _acquired(
    tissue: npt.NDArray[np.uint8], geometry: Geometry, distribution: Distribution, rng: np.random.Generator
) -> Floats:
    """The image as a scanner gives it, white matter 1: contrast, blur, partial volume, bias field, Rician noise."""
    grey, fluid = rng.uniform(*distribution.grey), rng.uniform(*distribution.fluid)
    levels = np.array([WHITE_LEVEL, grey, fluid, DEEP_LEVEL], np.float32)
    sharp = levels[tissue].reshape(np.array(geometry.shape) * SUPERSAMPLING)
    image = pooled(gaussian_filter(sharp, BLUR_SUB_VOXELS), geometry, SUPERSAMPLING)
    centres = positions(geometry, (1, 1, 1))
    texture = waves(rng, 40, (3.0, 12.0), 0.04)(centres)
    bias = np.exp(waves(rng, 3, (60.0, 120.0), rng.uniform(*distribution.bias))(centres))
    image = image * ((1 + texture) * bias).reshape(geometry.shape)
    real, imaginary = rng.normal(scale=rng.uniform(*distribution.noise), size=(2, *geometry.shape))
    return np.hypot(image + real, imaginary)


def _voted(parts: npt.NDArray[np.integer], geometry: Geometry) -> npt.NDArray[np.uint8]:
    """The label of each voxel: foreground where half of its points are, then the commoner of the two parts."""
    anterior, posterior = (pooled(parts == value, geometry, SUPERSAMPLING) for value in (1, 2))
    return np.where(anterior + posterior < 0.5, 0, np.where(anterior >= posterior, 1, 2)).astype(np.uint8)


def _quantised(image: Floats, dtype: str, rng: np.random.Generator) -> npt.NDArray:
    low, high = WHITE_VALUE[dtype]
    scaled = image * np.exp(rng.uniform(np.log(low), np.log(high)))
    if dtype == "float32":
        return scaled.astype(np.float32)
    return np.clip(np.rint(scaled), 0, np.iinfo(dtype).max).astype(dtype)


def _reoriented(array: npt.NDArray, geometry: Geometry, code: str) -> Volume:
    """The same volume, stored with its axes in the order and directions of `code`; the array's own are near RAS."""
    axcodes2ornt = nib.orientations.axcodes2ornt
    change = nib.orientations.ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(code))
    turned = nib.orientations.apply_orientation(array, change)
    affine = geometry.affine @ nib.orientations.inv_ornt_aff(change, array.shape)
    return Volume(np.ascontiguousarray(turned), Geometry(affine, turned.shape))
