"""The anatomy of the liver phantoms: the belly under the chest of `_thorax`, in its frame, drawn from formulas.

x points to the patient's right, y to the front, z upwards, in mm. Heights of organs are counted from the tops of the
two halves of the diaphragm, which differ from one patient to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from medseg.cases.phantoms._fields import within
from medseg.cases.phantoms._scene import Scene, Triple, among, ellipsoid, profile
from medseg.cases.phantoms._thorax import Patient, Tissue, branch, dome_mm, draw_heart, draw_trunk
from medseg.cases.phantoms._waves import waves

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


class Organ(IntEnum):
    """What a chest has none of; the numbers go on where `Tissue` ends."""

    HEPATIC_VESSEL, GALLBLADDER, CORTEX, MEDULLA, PANCREAS, BOWEL, CHYME, DARK_TUMOUR, NECROSIS, BRIGHT_TUMOUR = range(
        len(Tissue), len(Tissue) + 10
    )


T = Tissue
TUMOUR = (Organ.DARK_TUMOUR, Organ.NECROSIS, Organ.BRIGHT_TUMOUR)
# Cross-sections of the liver: depth below the right dome, x of the right lobe's inner face, x of the left lobe's tip,
# y of the left lobe's back where it joins the right one, and the y that nothing lies before.
LIVER = (
    (0, 0, -34, -26, 110), (30, 8, -64, -14, 110), (60, 18, -68, 2, 110), (90, 31, -48, 24, 104), (115, 48, 0, 44, 84),
    (140, 74, 46, 60, 56), (165, 150, 150, 70, 0),
)  # fmt: skip
TAPER = 0.72  # by so much the left lobe's back comes forward for each mm to the left
DIAMETER_MM = (12.0, 45.0)  # of a tumour
BRIGHT_SHARE = 0.15  # of the tumours
NECROTIC_MM = 28.0  # from this diameter on a dark tumour has a darker core
WITHIN_LIVER = 0.8  # of a tumour, at least
TRIES = 60  # places that a tumour is offered


@dataclass(frozen=True)
class Belly:
    """What differs from one belly to the next.

    Attributes:
        liver: the liver's depth, relative to the usual one.
        lobe_mm: by how much the left lobe is longer than usual.
        spleen: size of the spleen, relative to the usual one.
        kidneys_mm: how far the kidneys' middles lie below the domes, right and left.
        filled: how much of the stomach is food, the rest is gas, from 0 to 1.
        tumours: how many the liver has.
    """

    liver: float
    lobe_mm: float
    spleen: float
    kidneys_mm: tuple[float, float]
    filled: float
    tumours: int


def a_belly(tumours: int, rng: np.random.Generator) -> Belly:
    """Draw one whose liver has that many tumours."""
    right = within(rng, (128, 146))
    return Belly(
        liver=within(rng, (0.80, 0.98)),
        lobe_mm=within(rng, (-18, 16)),
        spleen=within(rng, (0.95, 1.4)),
        kidneys_mm=(right, right - within(rng, (6, 24))),
        filled=within(rng, (0.45, 0.85)),
        tumours=tumours,
    )


def draw_abdomen(scene: Scene, patient: Patient, belly: Belly, rng: np.random.Generator) -> tuple[Mask, Mask]:
    """Paint an upper belly, and the bottom of the chest above it.

    Returns:
        Where the liver is, its vessels and tumours included, and where its tumours are.
    """
    cavity_mm = draw_trunk(scene, patient, rng)
    under_mm = _under_diaphragm_mm(scene, patient)
    _costal_arch(scene, cavity_mm)
    _muscles(scene, patient, under_mm, cavity_mm)
    scene.paint(T.LIVER, _liver(scene, patient, belly, cavity_mm, under_mm, rng), over=(T.FAT,))
    draw_heart(scene, patient)
    _great_vessels(scene, patient)
    _left_organs(scene, patient, belly, cavity_mm, rng)
    _kidneys(scene, patient, belly, rng)
    _gut(scene, patient, rng)
    _gallbladder(scene, patient, belly, rng)
    _hepatic_vessels(scene, patient, belly, rng)
    _tumours(scene, belly.tumours, rng)
    tumour = among(scene.tissue, TUMOUR)
    return tumour | among(scene.tissue, (T.LIVER, Organ.HEPATIC_VESSEL)), tumour


def _under_diaphragm_mm(scene: Scene, patient: Patient) -> Floats:
    """How far a point lies below the diaphragm, whose halves pass into one another in the middle."""
    right = np.clip((scene.at[0] + 20) / 40, 0, 1)
    height = right * dome_mm(scene, patient, 1) + (1 - right) * dome_mm(scene, patient, -1)
    return height - scene.at[2]


def _costal_arch(scene: Scene, cavity_mm: Floats) -> None:
    """The ribs end at an arch that rises to the front; below it the wall is muscle alone."""
    x, y, z = scene.at
    arch = z < -185 + np.where(y > 0, 1.1, 0.5) * y
    spine = (np.abs(x) < 42) & (y < -40)
    scene.paint(T.MUSCLE, arch & (cavity_mm > 1) & ~spine, over=(T.BONE, T.MARROW, T.CARTILAGE))


def _muscles(scene: Scene, patient: Patient, under_mm: Floats, cavity_mm: Floats) -> None:
    """The diaphragm with its crura, and the psoas muscles."""
    scene.paint(T.MUSCLE, (under_mm > 0) & (under_mm < 3) & (cavity_mm < 0), over=(T.FAT,))
    top = patient.domes[0]
    for side in (-1, 1):
        crus = [(side * 10.0, -24, top - 45), (side * 13.0, -28, top - 90), (side * 15.0, -36, top - 160)]
        scene.tube(T.MUSCLE, crus, (7, 7, 5), over=(T.FAT,))
        psoas = [(side * 27.0, -48, top - 95), (side * 34.0, -46, top - 150), (side * 46.0, -36, top - 220)]
        scene.tube(T.MUSCLE, psoas, (7, 15, 23), over=(T.FAT,))


def _liver(
    scene: Scene, patient: Patient, belly: Belly, cavity_mm: Floats, under_mm: Floats, rng: np.random.Generator
) -> Mask:
    """A wedge: the right lobe fills what the ribs enclose, the left lobe crosses the middle in front of the stomach."""
    x, y, z = scene.at
    inner, tip, back, front = profile(LIVER, (patient.domes[0] - z) / belly.liver)
    wobble = scene.field(waves(rng, 10, (35.0, 110.0), 3.0))
    right = (x - inner + 0.3 * y) / 1.05
    left = _rounded_min((y - back - TAPER * (inner - x)) / 1.25, x - tip + belly.lobe_mm, 14.0)
    lobes = -_rounded_min(-right, -left, 16.0)
    shape = _rounded_min(_rounded_min(lobes, front - y, 12.0), y + 74, 12.0)
    return (shape > wobble) & (cavity_mm < -3) & (under_mm > 3)


def _rounded_min(a: Floats, b: Floats, edge_mm: float) -> Floats:
    """The smaller of two, with the edge between them rounded."""
    return (a + b - np.sqrt((a - b) ** 2 + np.float32(edge_mm) ** 2)) / 2


def _great_vessels(scene: Scene, patient: Patient) -> None:
    """Aorta and lower caval vein; that one lies in a groove of the liver."""
    top = patient.domes[0]
    aorta = [(-19, -40, top + 70), (-12, -26, top - 60), (-8, -20, top - 180)]
    scene.tube(T.BLOOD, aorta, (12, 11, 9), over=(T.FAT, T.LUNG, T.MUSCLE))
    cava = [(26, -4, top + 40), (26, -10, top - 30), (24, -20, top - 100), (20, -20, top - 190)]
    scene.tube(T.VEIN, cava, (11, 12, 11, 11), over=(T.FAT, T.LUNG, T.MUSCLE, T.LIVER))


def _left_organs(scene: Scene, patient: Patient, belly: Belly, cavity_mm: Floats, rng: np.random.Generator) -> None:
    """The stomach with food under gas, the spleen and the pancreas."""
    right, top = patient.domes
    bulge = 0.85 + 0.3 * rng.random(3)
    parts = (((-52, -22, top - 40), (34, 34, 32)), ((-42, 16, top - 72), (30, 34, 44)))
    antrum = [(-36, 34, top - 100), (-12, 44, top - 112), (24, 32, right - 116)]
    for value, room, wall in ((T.WALL, (T.FAT,), 3.5), (T.FOOD, (T.WALL,), 0.0)):
        for centre, half in parts:
            scene.ellipsoid(value, centre, np.array(half) * bulge + wall, over=room)
        scene.tube(value, antrum, (18 + wall, 15 + wall, 10 + wall), over=room)
    level = -55 + 110 * belly.filled
    scene.paint(T.GAS, scene.at[1] > level, over=(T.FOOD,))
    turn = Rotation.from_euler("zx", (-24 + 12 * rng.random(), 10), degrees=True).as_matrix()
    size = belly.spleen * np.array([24.0, 44.0, 42.0])
    box = scene.box((-140, -110, top - 130), (-30, 40, top))
    spleen = ellipsoid(scene.at[(slice(None), *box)], (-92.0, -36.0, top - 58.0), size, turn) < 1
    hilum = ellipsoid(scene.at[(slice(None), *box)], (-58.0, -18.0, top - 62.0), (26.0, 26.0, 34.0)) > 1
    scene.paint(T.SPLEEN, spleen & hilum & (cavity_mm[box] < -3), box, over=(T.FAT,))
    pancreas = [(32, 2, right - 128), (6, 16, right - 116), (-34, 2, top - 92), (-72, -30, top - 78)]
    scene.tube(Organ.PANCREAS, pancreas, (14, 9, 10, 8), over=(T.FAT,))


def _kidneys(scene: Scene, patient: Patient, belly: Belly, rng: np.random.Generator) -> None:
    """Cortex, medulla and fat in the hollow; the fat around the right one presses into the liver."""
    for side, down in zip((1, -1), belly.kidneys_mm, strict=True):
        centre = np.array([side * 60.0, -54.0, patient.domes[0 if side > 0 else 1] - down])
        half = np.array([28.0, 25.0, 54.0]) * (0.9 + 0.2 * rng.random(3))
        turn = Rotation.from_euler("zy", (side * 30, side * 12), degrees=True).as_matrix()
        room = (T.FAT, T.LIVER, T.SPLEEN, T.MUSCLE)
        scene.ellipsoid(T.FAT, centre, half + 5, over=(T.LIVER, T.SPLEEN), turn=turn)
        scene.ellipsoid(Organ.CORTEX, centre, half, over=room, turn=turn)
        scene.ellipsoid(Organ.MEDULLA, centre, half - 8, over=(Organ.CORTEX,), turn=turn)
        hollow = centre + np.array([-side * 18.0, 10.0, 0.0])
        scene.ellipsoid(T.FAT, hollow, (20.0, 12.0, 24.0), over=(Organ.CORTEX, Organ.MEDULLA))


def _gut(scene: Scene, patient: Patient, rng: np.random.Generator) -> None:
    """Duodenum, loops of the small bowel, and the colon with stool and gas."""
    right, left = patient.domes
    duodenum = [(24, 32, right - 116), (48, 12, right - 120), (46, -8, right - 170), (0, -2, right - 186)]
    _hollow(scene, duodenum, 12.0, Organ.CHYME)
    ascending = [(92, 24, right - 158), (97, -8, right - 190), (96, -12, right - 240)]
    transverse = [(92, 24, right - 158), (52, 62, right - 150), (-20, 68, right - 142), (-84, 34, left - 100)]
    descending = [(-84, 34, left - 100), (-96, -8, left - 92), (-102, -24, left - 150), (-100, -24, left - 240)]
    for path in (ascending, transverse, descending):
        for ends in pairwise(path):
            _hollow(scene, ends, within(rng, (14, 20)), T.GAS if rng.random() < 0.4 else T.FOOD)
    for _ in range(36):
        start = rng.uniform((-82, -18, left - 215), (58, 66, left - 105))
        path = start + np.concatenate([np.zeros((1, 3)), np.cumsum(rng.normal(0, (20, 14, 12), (3, 3)), 0)])
        _hollow(scene, path, within(rng, (10, 14)), T.GAS if rng.random() < 0.1 else Organ.CHYME)


def _hollow(scene: Scene, path: Sequence[Triple] | Floats, radius: float, content: int) -> None:
    """A piece of gut: wall and content."""
    n = len(path)
    scene.tube(Organ.BOWEL, path, (radius,) * n, over=(T.FAT,))
    scene.tube(content, path, (radius - 3.5,) * n, over=(Organ.BOWEL,))


def _gallbladder(scene: Scene, patient: Patient, belly: Belly, rng: np.random.Generator) -> None:
    """Full of bile, half sunk into the liver's lower face."""
    centre = np.array([42.0, 34.0, patient.domes[0] - 108 * belly.liver]) + rng.uniform(-5, 5, 3)
    half = np.array([12.0, 13.0, 28.0]) * (0.75 + 0.5 * rng.random())
    turn = Rotation.from_euler("x", -30, degrees=True).as_matrix()
    room = (T.FAT, T.LIVER, T.GAS, T.FOOD, Organ.BOWEL, Organ.CHYME)
    scene.ellipsoid(Organ.GALLBLADDER, centre, half, over=room, turn=turn)


def _hepatic_vessels(scene: Scene, patient: Patient, belly: Belly, rng: np.random.Generator) -> None:
    """The portal vein and its branches, and the hepatic veins; what lies outside the liver is no part of it."""
    gate = patient.domes[0] - 84 * belly.liver
    trunk = [(-2, 2, gate - 36), (24, 0, gate - 12), (46, -4, gate)]
    scene.tube(T.VEIN, trunk, (7.5, 7.5, 7), over=(T.FAT, Organ.PANCREAS, Organ.BOWEL))
    inside = (Organ.HEPATIC_VESSEL, (T.LIVER,))
    scene.tube(inside[0], [(24, 0, gate - 12), (46, -4, gate), (20, 26, gate + 16)], (7, 7, 5), over=inside[1])
    for towards in ((1, -0.4, 0.2), (0.8, 0.5, 0.5), (0.8, -0.4, -0.6)):
        branch(scene, np.array([46.0, -4, gate]), np.array(towards), 38.0, 5.0, 4, rng, *inside)
    for towards in ((-1, 0.4, 0.2), (-0.3, 0.7, -0.4)):
        branch(scene, np.array([20.0, 26, gate + 16]), np.array(towards), 30.0, 4.5, 3, rng, *inside)
    for towards in ((1, -0.2, -0.4), (0.7, 0.7, -0.4), (-0.5, 0.8, -0.3)):
        start = np.array([27.0, -6, patient.domes[0] - 24])
        branch(scene, start, np.array(towards), 44.0, 5.0, 4, rng, *inside)


def _tumours(scene: Scene, n: int, rng: np.random.Generator) -> None:
    """Uneven balls in the liver, apart from one another; the larger dark ones have a core without blood."""
    for _ in range(n):
        radius = np.exp(within(rng, (np.log(DIAMETER_MM[0]), np.log(DIAMETER_MM[1])))) / 2
        bright = rng.random() < BRIGHT_SHARE
        rough = waves(rng, 8, (1.2 * radius, 4 * radius), 0.09)
        half = radius * rng.uniform(0.9, 1.1, 3)
        found = _place(scene, half, rng)
        if found is None:
            continue
        box = scene.box(found - 1.5 * half, found + 1.5 * half)
        at = scene.at[(slice(None), *box)]
        depth = ellipsoid(at, found, half) + rough(at.reshape(3, -1)).reshape(at.shape[1:])
        room = (T.LIVER, Organ.HEPATIC_VESSEL)
        scene.paint(Organ.BRIGHT_TUMOUR if bright else Organ.DARK_TUMOUR, depth < 1, box, over=room)
        if not bright and 2 * radius > NECROTIC_MM:
            scene.paint(Organ.NECROSIS, depth < 0.6, box, over=(Organ.DARK_TUMOUR,))


def _place(scene: Scene, half: Floats, rng: np.random.Generator) -> Floats | None:
    """A place in the liver, far enough from its surface and from other tumours; None where none was found."""
    liver = np.flatnonzero(scene.tissue == T.LIVER)
    for _ in range(TRIES):
        centre = scene.at.reshape(3, -1)[:, liver[rng.integers(len(liver))]]
        box = scene.box(centre - half - 3, centre + half + 3)
        ball = ellipsoid(scene.at[(slice(None), *box)], centre, half + 3) < 1
        around = scene.tissue[box][ball]
        if among(around, (T.LIVER, Organ.HEPATIC_VESSEL)).mean() > WITHIN_LIVER and not among(around, TUMOUR).any():
            return centre
    return None
