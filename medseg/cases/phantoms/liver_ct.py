"""Phantoms of the liver and its tumours on CT, laid out as Task 03 of the Medical Segmentation Decathlon.

Every structure is drawn from formulas; nothing is taken from a real scan. The scans are of the portal-venous phase, as
late or early as chance has it: spleen, kidneys, pancreas, the walls of stomach and bowel and the heart are about as
bright as the liver, muscle is little darker, vessels are brighter, and tumours are as dark as muscle, food and bile, or
as bright as vessels. So no threshold finds the liver or its tumours. Every fourth liver has no tumour.

The layout follows Antonelli et al., "The Medical Segmentation Decathlon", Nature Communications 13:4128 (2022),
https://doi.org/10.1038/s41467-022-30695-9, with what is odd in the download: an AppleDouble file beside an image, and
labels of float32 among those of uint8. Label values are of the download: 0 background, 1 liver, 2 cancer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from medseg import files
from medseg.cases.phantoms._abdomen import Organ, a_belly, draw_abdomen
from medseg.cases.phantoms._fields import speckle, within
from medseg.cases.phantoms._grids import pooled, positions, rotation
from medseg.cases.phantoms._scene import Scene, among
from medseg.cases.phantoms._thorax import Tissue, a_patient, draw_couch
from medseg.cases.phantoms._waves import waves
from medseg.cases.phantoms.layouts._drawing import apple_double, n_tests
from medseg.cases.phantoms.layouts.msd import description
from medseg.cases.phantoms.lung_ct import LOWEST_HU, USUAL_HU
from medseg.geometry import Geometry
from medseg.volumes import Volume, write_volume

Floats = npt.NDArray[np.floating]

FIRST_TEST = 132  # number of the first test image in the download
COLUMNS = (80, 96)  # and rows
SLICES = (28, 44)
SPACING_MM, THICKNESS_MM = (3.6, 4.4), (4.5, 6.0)
FIELD_MM = 352.0  # how wide the field of view is, where `COLUMNS` allow it
ABOVE_MM, BELOW_MM = (14, 30), (162, 170)  # what is scanned above and below the top of the right diaphragm
# How a case is stored, in turn, so that a small set has all of them.
FLIPS = {"RAS": (1, 1, 1), "LAS": (-1, 1, 1), "LPS": (-1, -1, 1)}
LABEL_TYPES = (np.uint8, np.float32, np.uint8)
TUMOURLESS = 3  # of every four cases, the one that has no tumour
TUMOURS = (1, 4)
PER_AXIS = (2, 2, 1)
BLUR = (0.8, 0.8, 0.4)  # of points
LIVER_HU = (60.0, 130.0)
ABOVE_LIVER_HU = {  # by how much a tissue is brighter than the liver
    Tissue.LIVER: (0, 0), Tissue.SPLEEN: (-14, 18), Tissue.MYOCARDIUM: (-18, 14), Tissue.WALL: (-26, 6),
    Organ.CORTEX: (-4, 34), Organ.MEDULLA: (-14, 24), Organ.PANCREAS: (-22, 6), Organ.BOWEL: (-20, 14),
    Tissue.BLOOD: (20, 52), Tissue.VEIN: (16, 48), Organ.HEPATIC_VESSEL: (22, 52),
    Organ.DARK_TUMOUR: (-58, -36), Organ.NECROSIS: (-74, -56), Organ.BRIGHT_TUMOUR: (38, 60),
}  # fmt: skip
FREE_HU = {
    Tissue.MUSCLE: (54, 78), Tissue.FAT: (-112, -94), Tissue.LUNG: (-890, -820), Organ.GALLBLADDER: (2, 20),
    Tissue.CLOTH: (-930, -840), Tissue.FOAM: (-940, -880),
}  # fmt: skip
FILLED_HU = (35.0, 25.0)  # of food and chyme: from the first up to the second above the liver
NOISE_HU = (11.0, 19.0)
TEXTURES = ((14, (18.0, 60.0), 4.0), (6, (90.0, 260.0), 7.0))  # number, lengths in mm and strength of waves over all


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write the data set; a case depends on `seed`, its split and its place alone.

    Volumes have 80 to 96 columns and rows of 3.6 to 4.4 mm and 28 to 44 slices of 4.5 to 6 mm. Beyond what the
    Decathlon gives, ``labelsTs/`` holds the test cases' truth.

    Args:
        folder: where `dataset.json`, `imagesTr`, `labelsTr`, `imagesTs` and `labelsTs` go; made if need be.
        cases: number of training cases; there are a quarter as many test cases, two at least.
        seed: chooses all of it.

    Returns:
        `folder`.

    Raises:
        MedsegError: E701, the folder cannot be written.
    """
    folder = Path(folder)
    training = [f"liver_{index}.nii.gz" for index in range(cases)]
    test = [f"liver_{max(FIRST_TEST, cases) + index}.nii.gz" for index in range(n_tests(cases))]
    for split, (suffix, names) in enumerate((("Tr", training), ("Ts", test))):
        for index, name in enumerate(names):
            image, label = draw(np.random.default_rng((seed, split, index)), index)
            write_volume(folder / f"images{suffix}" / name, image)
            write_volume(folder / f"labels{suffix}" / name, label)
    apple_double(folder / "imagesTr" / training[0])
    about = {
        "name": "Liver",
        "description": "Synthetic liver and cancer segmentation: phantoms, no patient data",
        "reference": f"medseg.cases.phantoms.liver_ct, seed {seed}",
    }
    content = description(about, "CT", ("background", "liver", "cancer"), training, test)
    files.write_json(folder / "dataset.json", content)
    return folder


def draw(rng: np.random.Generator, index: int = 0) -> tuple[Volume, Volume]:
    """Draw one scan.

    Args:
        rng: the only source of chance.
        index: chooses the axes' directions, the label's voxel type, and whether there are tumours.

    Returns:
        Image (int16, Hounsfield units) and label (uint8 or float32: 0 background, 1 liver, 2 tumour) on one grid.
    """
    size = within(rng, (0.95, 1.05))
    patient = a_patient(rng)
    geometry = _grid(size, patient.domes[0], tuple(FLIPS)[index % len(FLIPS)], rng)
    deformation = waves(rng, 5, (90.0, 220.0), 2.5, channels=3)
    scene = Scene(geometry, PER_AXIS, size * rotation(rng, (0, 3.0)), deformation, slack_mm=12.0)
    tumours = 0 if index % 4 == TUMOURLESS else int(rng.integers(TUMOURS[0], TUMOURS[1] + 1))
    liver, tumour = draw_abdomen(scene, patient, a_belly(tumours, rng), rng)
    draw_couch(scene, geometry, PER_AXIS, size * patient.lowest_mm, rng)
    image = _acquired(scene, geometry, rng)
    parts = [(pooled(mask, geometry, PER_AXIS) >= 0.5).astype(np.uint8) for mask in (liver, tumour)]
    label = (parts[0] + parts[1]).astype(LABEL_TYPES[index % len(LABEL_TYPES)])
    return Volume(np.rint(image).astype(np.int16), geometry), Volume(label, geometry)


def _grid(size: float, dome_mm: float, code: str, rng: np.random.Generator) -> Geometry:
    """A grid around a patient of that size, from below the liver into the lungs, with axes of those directions."""
    across, along = within(rng, SPACING_MM), within(rng, THICKNESS_MM)
    top = size * (dome_mm + within(rng, ABOVE_MM))
    bottom = size * (dome_mm - within(rng, BELOW_MM))
    columns = int(np.clip(np.ceil(FIELD_MM / across / 4) * 4, *COLUMNS))
    shape = (columns, columns, int(np.clip(np.ceil((top - bottom) / along), *SLICES)))
    affine = np.diag([*np.multiply(FLIPS[code], (across, across, along)), 1.0])
    middle = np.array([*rng.uniform(-6, 6, 2), (top + bottom) / 2])
    affine[:3, 3] = middle - affine.diagonal()[:3] * (np.array(shape) - 1) / 2
    return Geometry(affine, shape)


def _acquired(scene: Scene, geometry: Geometry, rng: np.random.Generator) -> Floats:
    """(X, Y, Z) what the scanner gives: Hounsfield units, blur, partial volume, shading, noise."""
    image = pooled(gaussian_filter(_levels(rng)[scene.tissue], BLUR, truncate=2.5), geometry, PER_AXIS)
    empty = among(scene.tissue, (Tissue.AIR, Tissue.CLOTH, Tissue.FOAM, Tissue.SHELL))
    body = 1 - pooled(empty, geometry, PER_AXIS)
    centres = positions(geometry, (1, 1, 1))
    for texture in TEXTURES:
        image = image + (0.3 + body) * waves(rng, *texture)(centres).reshape(geometry.shape)
    deviation = within(rng, NOISE_HU) * (0.7 + 0.5 * body.mean((0, 1), keepdims=True))
    return np.maximum(image + deviation * speckle(rng, geometry.shape, 1.0), LOWEST_HU)


def _levels(rng: np.random.Generator) -> Floats:
    """The Hounsfield units of each tissue: those that take up contrast medium follow the liver."""
    liver = within(rng, LIVER_HU)
    table = {int(tissue): level for tissue, level in USUAL_HU.items()}
    table.update({tissue: within(rng, bounds) for tissue, bounds in FREE_HU.items()})
    table.update({tissue: liver + within(rng, bounds) for tissue, bounds in ABOVE_LIVER_HU.items()})
    for tissue in (Tissue.FOOD, Organ.CHYME):
        table[tissue] = within(rng, (FILLED_HU[0], liver + FILLED_HU[1]))
    return np.array([table[tissue] for tissue in (*Tissue, *Organ)], np.float32)
