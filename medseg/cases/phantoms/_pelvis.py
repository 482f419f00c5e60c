"""The anatomy of the prostate phantoms: a man's pelvis, drawn from formulas on a `Scene`.

The frame is in mm: x to the patient's right, y to the front, z upwards, the origin in the middle of the prostate.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from medseg.cases.phantoms._fields import within
from medseg.cases.phantoms._scene import Scene, ellipsoid, profile
from medseg.cases.phantoms._waves import waves

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]
Range = tuple[float, float]


class Tissue(IntEnum):
    """What a point of the pelvis is made of; 0 is the fat that everything lies in."""

    FAT, STRAND, MUSCLE, MARROW, CORTEX, CARTILAGE, URINE, BLADDER_WALL, RECTAL_WALL, MUCOSA, STOOL, GAS, VEIN, NERVE, \
        VESICLE, VESICLE_WALL, BULB, PERIPHERAL, SEPTUM, CENTRAL, BRIGHT_NODULE, DARK_NODULE, STROMA, CAPSULE, \
        URETHRA, LESION = range(26)  # fmt: skip


T = Tissue
# Cross-sections of the prostate: z, the squares of half-width (x) and half-depth (y), and the centre's y.
GLAND = (
    (-23.0, 0, 0, 3.0), (-19.5, 90, 80, 2.5), (-13, 270, 165, 1.0), (-5, 470, 262, 0.0), (4, 600, 306, 0.0),
    (11, 570, 282, 0.8), (17, 390, 180, 2.0), (21.5, 0, 0, 3.0),
)  # fmt: skip
SOFT = (T.FAT, T.STRAND, T.NERVE)
INSIDE = (T.PERIPHERAL, T.SEPTUM, T.CENTRAL, T.BRIGHT_NODULE, T.DARK_NODULE)


@dataclass(frozen=True)
class Patient:
    """What differs from one pelvis to the next.

    Attributes:
        gland: size of the prostate, relative to one of 40 ml.
        lobes: size of the central gland within it, relative to the usual one.
        rectum_mm: half-width and half-depth of the rectum's lumen.
        filling: what is in it.
        bladder: how full the bladder is, as a factor of its size.
        lesion: side of a dark lesion in the peripheral zone, 1 right, -1 left; 0 for none.
    """

    gland: float
    lobes: float
    rectum_mm: tuple[float, float]
    filling: Tissue
    bladder: float
    lesion: int

    @property
    def behind_mm(self) -> float:
        """y of the prostate's back."""
        return -15.0 * self.gland

    @property
    def rectum_y_mm(self) -> float:
        """y of the middle of the rectum, behind the prostate's middle."""
        return self.behind_mm - self.rectum_mm[1] - 6.5


def a_patient(gland: Range, has_coil: bool, rng: np.random.Generator) -> Patient:
    """Draw one, with a prostate between two sizes; the balloon of a coil in the rectum widens that."""
    wide = (within(rng, (15, 20)), within(rng, (11, 15)))
    narrow = (within(rng, (6, 13)), within(rng, (4, 10)))
    contents = (T.GAS, T.STOOL, T.GAS, T.MUCOSA)
    filling = contents[int(rng.integers(len(contents)))]
    return Patient(
        gland=within(rng, gland),
        lobes=within(rng, (0.8, 1.12)),
        rectum_mm=wide if has_coil else narrow,
        filling=T.GAS if has_coil else filling,
        bladder=within(rng, (0.75, 1.25)),
        lesion=int(rng.choice((-1, 0, 0, 1))),
    )


def draw_pelvis(scene: Scene, patient: Patient, rng: np.random.Generator) -> Mask:
    """Paint a pelvis and return where its prostate is, capsule and stroma included."""
    gland_mm = _gland_mm(scene, patient)
    _muscles(scene, rng)
    _bones(scene)
    _floor(scene, patient, gland_mm)
    _bladder(scene, patient)
    _vesicles(scene, patient, rng)
    _rectum(scene, patient, rng)
    _plexus(scene, patient, gland_mm, rng)
    gland = gland_mm < 0
    _gland(scene, patient, gland_mm, rng)
    return gland


def _gland_mm(scene: Scene, patient: Patient) -> Floats:
    """The signed distance to the prostate, negative inside, approximate off its surface."""
    x, y, z = scene.at / np.float32(patient.gland)
    width, depth, centre = profile(GLAND, z)
    width, depth = np.sqrt(np.maximum(width, 1)), np.sqrt(np.maximum(depth, 1))
    y = y - centre
    back = np.clip(-y / 8, 0, 1)
    y = np.where(y < 0, y / 0.86, y) - 2.2 * np.exp(-((x / 9) ** 2)) * back  # flat behind, with a groove
    radial = (np.hypot(x / width, y / depth) - 1) * np.minimum(width, depth)
    ends = np.maximum(z - GLAND[-1][0], GLAND[0][0] - z)
    return np.maximum(radial, ends) * np.float32(patient.gland)


def _muscles(scene: Scene, rng: np.random.Generator) -> None:
    """Obturator muscles, gluteal muscles with their fat, the muscles before and beside the pubic bones."""
    x, y, z = scene.at
    strands = scene.field(waves(rng, 20, (16.0, 60.0), 1.0))
    scene.paint(T.STRAND, np.abs(strands) < 0.09)  # thin sheets and vessels in the fat
    gluteal = (y < -54 - 0.12 * (z - 10) + 0.3 * np.abs(x) + strands) & (np.abs(x) > 6)
    scene.paint(T.MUSCLE, gluteal & (np.abs(strands) > 0.12))
    for side in (-1, 1):
        turn = Rotation.from_euler("z", side * 14, degrees=True).as_matrix()
        scene.ellipsoid(T.MUSCLE, (side * 46.0, 4.0, 4.0), (9.0, 34.0, 52.0), turn=turn)
        scene.ellipsoid(T.MUSCLE, (side * 38.0, 34.0, -44.0), (24.0, 17.0, 26.0))
        scene.ellipsoid(T.MUSCLE, (side * 15.0, 57.0, 24.0), (15.0, 5.0, 34.0))
        scene.ellipsoid(T.MUSCLE, (side * 52.0, 50.0, 6.0), (20.0, 11.0, 50.0))


def _bones(scene: Scene) -> None:
    """Pubic bones and their joint, branches, hip sockets with the heads of the thigh bones, ischia, tail bone."""
    for side in (-1, 1):
        solids = (  # centre, half-axes, turn in degrees
            ((side * 15.0, 37.0, -8.0), (14.5, 9.0, 18.0), side * -22),
            ((side * 67.0, 4.0, 8.0), (14.0, 27.0, 40.0), side * 10),
            ((side * 54.0, -20.0, -38.0), (12.0, 14.0, 26.0), 0),
        )
        branches = (((side * 20.0, 38, -2), (side * 44.0, 34, 12), (side * 66.0, 22, 22)),
                    ((side * 14.0, 34, -16), (side * 30.0, 14, -36), (side * 50.0, -14, -52)))  # fmt: skip
        for value, shrunk in ((T.CORTEX, 0.0), (T.MARROW, 2.2)):
            for centre, half, angle in solids:
                turn = Rotation.from_euler("z", angle, degrees=True).as_matrix()
                scene.ellipsoid(value, centre, np.subtract(half, shrunk), turn=turn)
            scene.tube(value, branches[0], (9 - shrunk, 8 - shrunk, 11 - shrunk))
            scene.tube(value, branches[1], (7 - shrunk, 5.5 - shrunk, 8 - shrunk))
        for value, radius in ((T.CARTILAGE, 25.5), (T.CORTEX, 24.0), (T.MARROW, 22.0)):
            scene.ellipsoid(value, (side * 86.0, 8.0, 24.0), (radius,) * 3)
        scene.ellipsoid(T.CORTEX, (0.0, -62.0, 18.0), (8.0, 5.0, 26.0))
        scene.ellipsoid(T.MARROW, (0.0, -62.0, 18.0), (6.0, 3.0, 24.0))
    box = scene.box((-4, 24, -28), (4, 48, 12))
    x, y, z = scene.at[(slice(None), *box)]
    scene.paint(T.CARTILAGE, (np.abs(x) < 2.8) & (np.abs(y - 37) < 9) & (np.abs(z + 8) < 15), box)


def _floor(scene: Scene, patient: Patient, gland_mm: Floats) -> None:
    """The levator on both sides, the sling behind the rectum, the diaphragm under the apex, the penile bulb."""
    x, y, z = scene.at
    apart = np.clip(12 + 0.46 * (z + 40), 12, 40) * (1.12 - 0.34 * ((y + 4) / 28) ** 2)
    sheet = np.abs(np.abs(x) - apart) < 1.8
    scene.paint(T.MUSCLE, sheet & (y > patient.rectum_y_mm - 6) & (y < 20) & (z < 22), over=SOFT)
    near = (gland_mm > 2.2) & (gland_mm < 6) & (np.abs(x) > 12 * patient.gland) & (y < 12) & (z < 8) & (z > -26)
    scene.paint(T.MUSCLE, near, over=SOFT)
    apex = -23 * patient.gland
    scene.ellipsoid(T.MUSCLE, (0.0, 3.0, apex - 5), (15.0, 10.0, 6.5), over=SOFT)
    scene.ellipsoid(T.BULB, (0.0, 2.0, apex - 21), (11.0, 12.0, 10.0))
    scene.tube(T.URETHRA, [(0, 4, apex + 4), (0, 3, apex - 14)], (2.4, 2.2))


def _bladder(scene: Scene, patient: Patient) -> None:
    """The bladder on the prostate; the fuller, the thinner its wall."""
    half = patient.bladder * np.array([34.0, 25.0, 22.0])
    centre = (0.0, 10.0, 17 * patient.gland + half[2])
    wall = 5.5 - 2 * patient.bladder
    scene.ellipsoid(T.BLADDER_WALL, centre, half + wall, over=(*SOFT, T.MUSCLE))
    scene.ellipsoid(T.URINE, centre, half, over=(T.BLADDER_WALL,))


def _vesicles(scene: Scene, patient: Patient, rng: np.random.Generator) -> None:
    """The seminal vesicles: bright, coiled ducts behind the bladder, as bright as the peripheral zone."""
    field = waves(rng, 10, (5.0, 11.0), 1.0)
    for side in (-1, 1):
        turn = Rotation.from_euler("zy", (side * -14, side * -22), degrees=True).as_matrix()
        centre = (side * 16.0, patient.behind_mm + 3, 20 * patient.gland + 4)
        half = (17.0, 5.5, 7.5)
        box = scene.box(np.subtract(centre, 17), np.add(centre, 17))
        at = scene.at[(slice(None), *box)]
        inside = ellipsoid(at, centre, half, turn) < 1
        coils = field(at.reshape(3, -1)).reshape(inside.shape)
        over = (*SOFT, T.MUSCLE, T.BLADDER_WALL)
        scene.paint(T.VESICLE_WALL, inside, box, over)
        scene.paint(T.VESICLE, inside & (np.abs(coils) > 0.35), box, (T.VESICLE_WALL,))
        duct = [(side * 3.5, patient.behind_mm + 4, 18), (side * 5.0, patient.behind_mm + 5, 44)]
        scene.tube(T.VESICLE_WALL, duct, (2.8, 3.2))


def _rectum(scene: Scene, patient: Patient, rng: np.random.Generator) -> None:
    """Muscle, mucosa and contents of the rectum and, below, of the anal canal; with folds, off the middle a little."""
    wide, deep = patient.rectum_mm
    box = scene.box((-45, -100, -200), (45, 8, 200))
    at = scene.at[(slice(None), *box)]
    x, y, z = at
    middle, aside = patient.rectum_y_mm, rng.uniform(-5, 5)
    table = ((-48, 3, 2, middle - 2, 0), (-26 * patient.gland, 4.5, 3, middle + 1, 0), (-10, wide, deep, middle, aside),
             (18, wide, deep, middle, aside), (40, 1.1 * wide, 1.1 * deep, middle - 10, 2 * aside))  # fmt: skip
    half_x, half_y, centre_y, centre_x = profile(table, z)
    folds = waves(rng, 6, (14.0, 36.0), 0.9)(at.reshape(3, -1)).reshape(x.shape)
    lumen_mm = (np.hypot((x - centre_x) / half_x, (y - centre_y) / half_y) - 1) * np.minimum(half_x, half_y)
    lumen_mm = lumen_mm + folds * np.clip(half_y / 8, 0, 1)
    over = (*SOFT, T.MUSCLE, T.VESICLE_WALL)
    scene.paint(T.RECTAL_WALL, lumen_mm < 4.6, box, over)
    scene.paint(T.MUCOSA, lumen_mm < 2.3, box, (T.RECTAL_WALL,))
    scene.paint(patient.filling, lumen_mm < 0, box, (T.MUCOSA,))


def _plexus(scene: Scene, patient: Patient, gland_mm: Floats, rng: np.random.Generator) -> None:
    """Veins before and beside the prostate, and the bundles of nerves at its back corners."""
    field = waves(rng, 24, (5.0, 20.0), 1.0)
    reach = patient.gland * np.array([34.0, 32.0, 30.0])
    box = scene.box(-reach, reach)
    at, near = scene.at[(slice(None), *box)], gland_mm[box]
    spots = field(at.reshape(3, -1)).reshape(near.shape)
    place = ((near < 7) & (at[1] > -6) & (np.abs(at[0]) > 4)) | ((near < 11) & (at[1] > 9))
    scene.paint(T.VEIN, place & (spots > 0.45), box, SOFT)
    scene.paint(T.NERVE, place & (spots < -0.8), box, SOFT[:2])
    for side in (-1, 1):
        for _ in range(4):
            x, y, z = rng.uniform((13, -3, -14), (18, 3, 10)) * (side * patient.gland, 1, 1) + (0, patient.behind_mm, 0)
            scene.tube(T.NERVE, [(x, y, z), (x + 1, y, z + 12)], (1.1, 1.0), over=SOFT)


def _gland(scene: Scene, patient: Patient, gland_mm: Floats, rng: np.random.Generator) -> None:
    """The prostate: zones, nodules, stroma, urethra, perhaps a lesion, and the capsule around them."""
    g, h = patient.gland, patient.gland * patient.lobes
    field = waves(rng, 12, (5.0, 14.0), 1.0)
    box = scene.box((-27 * g, -20 * g, -24 * g), (27 * g, 20 * g, 23 * g))
    at, inside = scene.at[(slice(None), *box)], gland_mm[box] < 0
    fine = field(at.reshape(3, -1)).reshape(inside.shape)
    scene.paint(T.PERIPHERAL, inside, box)
    scene.paint(T.SEPTUM, inside & (np.abs(fine) < 0.16), box)
    half = h * np.array([12.0, 11.5, 15.5])
    lobes = np.minimum(*(ellipsoid(at, (side * 8.5 * h, 4.5 * g, 4 * g), half) for side in (-1, 1)))
    scene.paint(T.STROMA, inside & (lobes + 0.03 * fine < 1.07), box)
    scene.paint(T.CENTRAL, inside & (lobes + 0.03 * fine < 1.0), box)
    for _ in range(int(rng.integers(9, 15))):
        centre = np.array([rng.uniform(-17, 17), rng.uniform(-4, 13), rng.uniform(-9, 17)]) * h
        radius = rng.uniform(2.8, 6.0) * h * rng.uniform(0.8, 1.2, 3)
        kind = T.BRIGHT_NODULE if rng.random() < 0.55 else T.DARK_NODULE
        scene.ellipsoid(T.STROMA, centre, radius + 0.8, over=INSIDE[2:])
        scene.ellipsoid(kind, centre, radius, over=(*INSIDE[2:], T.STROMA))
    scene.ellipsoid(T.STROMA, (0.0, 14.5 * g, 1 * g), (11 * g, 4.5 * g, 17 * g), over=INSIDE)
    urethra = g * np.array([(0, 5, 22), (0, 1, 1), (0, 3, -24)])
    scene.tube(T.URETHRA, urethra, (2.0, 2.4, 2.4), over=(*INSIDE, T.STROMA))
    if patient.lesion:
        centre = np.array([patient.lesion * 14.0 * g, -8.5 * g, rng.uniform(-10, 6)])
        scene.ellipsoid(T.LESION, centre, rng.uniform(3.5, 6.0, 3), over=(T.PERIPHERAL, T.SEPTUM))
    scene.paint(T.CAPSULE, inside & (gland_mm[box] > -1.0), box, INSIDE)
