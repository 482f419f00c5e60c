"""The anatomy of the lung phantoms: a chest on a couch, drawn from formulas on a `Scene`.

The frame is in mm: x to the patient's right, y to the front, z upwards, the origin before the spine at the fork of the
trachea. Sizes are those of an adult of middle height who lies on the back with the arms raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from medseg.cases.phantoms._fields import within
from medseg.cases.phantoms._grids import PerAxis, positions
from medseg.cases.phantoms._scene import Scene, among, ellipsoid, profile
from medseg.cases.phantoms._waves import waves
from medseg.geometry import Geometry

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


class Tissue(IntEnum):
    """What a point of the chest is made of; 0 is the air around it."""

    AIR, SKIN, FAT, MUSCLE, GLAND, BONE, MARROW, CARTILAGE, CORD, BLOOD, MYOCARDIUM, VEIN, WALL, LIVER, SPLEEN, FOOD, \
        GAS, LUNG, VESSEL, GLASS, CONSOLIDATED, CLOTH, FOAM, SHELL = range(24)  # fmt: skip


T = Tissue
# Cross-sections of the inside of the rib cage and of the outside of the chest's muscles: z, then half-width (x),
# half-depth (y) and the centre's y.
CAVITY = (
    (-170, 129, 90, 2), (-100, 133, 94, 2), (-50, 131, 92, 2), (0, 124, 84, 0), (40, 116, 74, -5), (70, 102, 62, -10),
    (95, 82, 50, -16), (120, 62, 42, -16),
)  # fmt: skip
CHEST = (
    (-170, 143, 104, 2), (-100, 147, 107, 2), (-50, 146, 106, 0), (0, 145, 101, 0), (40, 153, 96, -4),
    (75, 164, 87, -9), (100, 160, 76, -14), (125, 120, 64, -10),
)  # fmt: skip
CAVITY_POWER, CHEST_POWER = 2.2, 2.5  # of the superellipses
RIB_PITCH_MM, RIB_SLOPE = 24.0, 0.55  # a rib falls by so much for each mm that it comes forward
SPINE = ((-170, -46), (-90, -54), (0, -61), (60, -56), (125, -42))  # z, and y of the vertebral bodies' centres
APEX_MM = 106.0  # where the lungs end
INSIDE = (T.FAT, T.LUNG)
WALL = (T.FAT, T.MUSCLE, T.BONE, T.MARROW)


@dataclass(frozen=True)
class Patient:
    """What differs from one chest to the next; lengths in mm.

    Attributes:
        fat: thickness of the fat under the skin.
        breast: how far the breasts stand out; 0 for none.
        heart: size of the heart, relative to the usual one.
        domes: z of the diaphragm's top, right and left.
        filled: how much of the stomach is food, the rest is gas, from 0 to 1.
        cloth: thickness of what lies over the body; 0 for none.
        consolidated: half-axis of a region of lung without air; 0 for none.
        side: of that region, 1 right or -1 left.
    """

    fat: float
    breast: float
    heart: float
    domes: tuple[float, float]
    filled: float
    cloth: float
    consolidated: float
    side: int

    @property
    def lowest_mm(self) -> float:
        """y where the body lies on the couch."""
        return -105 - 0.6 * self.fat


def a_patient(rng: np.random.Generator) -> Patient:
    """Draw one; every second has a consolidation."""
    right = within(rng, (-88, -62))
    return Patient(
        fat=within(rng, (5, 20)),
        breast=float(rng.choice((0, 1)) * rng.uniform(18, 36)),
        heart=within(rng, (0.9, 1.15)),
        domes=(right, right - within(rng, (2, 14))),
        filled=within(rng, (0.3, 0.7)),
        cloth=float(rng.choice((0, 1)) * rng.uniform(6, 14)),
        consolidated=float(rng.choice((0, 1)) * rng.uniform(26, 42)),
        side=int(rng.choice((-1, 1))),
    )


def draw_thorax(scene: Scene, patient: Patient, rng: np.random.Generator) -> Mask:
    """Paint a chest and return where its lungs are: with their vessels and consolidations, without the airways."""
    draw_trunk(scene, patient, rng)
    _abdomen(scene, patient, rng)
    draw_heart(scene, patient)
    _great_vessels(scene)
    lung = scene.tissue == T.LUNG
    _vessel_trees(scene, rng)
    _consolidation(scene, patient, lung, rng)
    _airways(scene, rng)
    lung &= ~among(scene.tissue, (T.GAS, T.WALL))
    _lobar_bronchi(scene)
    return lung


def draw_trunk(scene: Scene, patient: Patient, rng: np.random.Generator) -> Floats:
    """Paint what a chest and a belly share, wall, lungs, spine and the fat between them; ribs go all the way down.

    Returns the distance in mm to the inside of the rib cage, negative within, approximate off it.
    """
    cavity_mm = _outline_mm(scene, CAVITY, CAVITY_POWER)
    _wall(scene, patient, cavity_mm, rng)
    scene.paint(T.LUNG, _lungs(scene, patient, cavity_mm, rng))
    _spine(scene)
    return cavity_mm


def draw_couch(scene: Scene, geometry: Geometry, per_axis: PerAxis, lowest_mm: float, rng: np.random.Generator) -> None:
    """Paint a curved shell full of foam in the scanner's own frame, and a mat between it and the body.

    Args:
        scene: with a body whose lowest point is at y = `lowest_mm` in the patient's frame.
        geometry, per_axis: what the scene was made with.
        rng: chooses the couch's height and form.
    """
    x, y = positions(geometry, per_axis).reshape(3, *scene.tissue.shape)[:2, :, :, 0]
    below = lowest_mm - within(rng, (4, 12)) + x**2 / within(rng, (1100, 2600)) - y
    reach = np.abs(x) < within(rng, (165, 210))
    mat = (np.abs(x) < 150) & (below > -30) & (below < 0) & (y < lowest_mm + 25)
    hollow = (below >= 3.2) & (below < 26.8)
    for value, part in ((T.FOAM, mat), (T.SHELL, reach & (below >= 0) & (below < 30)), (T.FOAM, reach & hollow)):
        scene.paint(value, np.broadcast_to(part[:, :, None], scene.tissue.shape), over=(T.AIR, T.SHELL))


def _outline_mm(scene: Scene, table: tuple[tuple[float, ...], ...], power: float) -> Floats:
    """The distance to a superellipse of the table's size at each height along the ray from its centre."""
    x, y, z = scene.at
    width, depth, centre = profile(table, z)
    y = y - centre
    ratio = ((np.abs(x) / width) ** power + (np.abs(y) / depth) ** power) ** (1 / power)
    return np.hypot(x, y) * (1 - 1 / np.maximum(ratio, 0.01))


def _wall(scene: Scene, patient: Patient, cavity_mm: Floats, rng: np.random.Generator) -> None:
    """What lies over the body, skin, fat, breasts, muscles and bones; the inside of the rib cage becomes fat."""
    x, y, z = scene.at
    chest_mm = _outline_mm(scene, CHEST, CHEST_POWER)
    fat_mm = patient.fat * (1 + 0.25 * np.clip(y / 90, -1, 1) - 0.15 * np.clip(z / 100, -1, 1))
    body = (chest_mm < fat_mm) & (y > patient.lowest_mm)
    over = (chest_mm < fat_mm + 3 + patient.cloth) & (y > -40) & ~(chest_mm < fat_mm + 3)
    scene.paint(T.CLOTH, over & (patient.cloth > 0))
    scene.paint(T.SKIN, body)
    for side in (-1, 1) if patient.breast else ():
        centre, size = np.array([side * 82.0, 80.0 + patient.fat, -26.0]), np.array([64.0, 20.0 + patient.breast, 60.0])
        scene.ellipsoid(T.FAT, centre, size, over=(T.AIR, T.CLOTH, T.SKIN))
        scene.ellipsoid(T.GLAND, centre + np.array([0, 8, 0]), 0.55 * size, over=(T.FAT,))
    scene.paint(T.FAT, (chest_mm < fat_mm - 2.5) & (y > patient.lowest_mm + 2.5))
    planes = scene.field(waves(rng, 12, (18.0, 50.0), 1.0))
    thin = 4.0 * np.clip((np.abs(x) - 70) / 60, 0, 1) * (z < 20)  # fewer muscles over the flanks
    muscle = (chest_mm < -thin) & (np.abs(planes) > 0.13) & (y > patient.lowest_mm + 3)
    scene.paint(T.MUSCLE, muscle & (np.abs(cavity_mm - 10.8) > 0.8))
    scene.paint(T.FAT, (cavity_mm <= 0) & ((z < 78) | (np.abs(planes) < 0.3)))
    _ribs(scene, cavity_mm)


def _ribs(scene: Scene, cavity_mm: Floats) -> None:
    """Ribs with their cartilages, breast bone, shoulder blades and collar bones."""
    x, y, z = scene.at
    phase = ((z + RIB_SLOPE * y) / RIB_PITCH_MM) % 1
    ring = (cavity_mm > 2) & (cavity_mm < 9.5)
    rib = ring & (phase < 0.44) & (z + RIB_SLOPE * y < 108)
    front = (y > 52) & (np.abs(x) < 66)
    scene.paint(T.BONE, rib & ~front)
    scene.paint(T.MARROW, rib & ~front & (np.abs(cavity_mm - 5.8) < 1.6) & (np.abs(phase - 0.22) < 0.12))
    scene.paint(T.CARTILAGE, rib & front)
    scene.paint(T.BONE, ring & (y > 0) & (np.abs(x) < 13 + 8 * (z > 45)) & (z > -75) & (z < 72))
    for side in (-1, 1):
        turn = Rotation.from_euler("zx", (side * 36, 12), degrees=True).as_matrix()
        scene.ellipsoid(T.BONE, (side * 104.0, -64.0, 56.0), (44.0, 4.0, 56.0), over=(T.MUSCLE, T.FAT), turn=turn)
        scene.tube(T.BONE, [(side * 20.0, 44, 84), (side * 70.0, 34, 96), (side * 128.0, -2, 112)], (7.5, 6, 7))


def _lungs(scene: Scene, patient: Patient, cavity_mm: Floats, rng: np.random.Generator) -> Mask:
    """What the ribs, the mediastinum, the heart, the spine and the diaphragm leave of the cavity."""
    x, y, z = scene.at
    wobble = scene.field(waves(rng, 8, (30.0, 80.0), 2.0))
    hilum = np.exp(-(((y + 5) / 30) ** 2) - ((z + 8) / 36) ** 2)
    half = 9 + 13 * np.exp(-(((y + 62) / 26) ** 2)) + 24 * hilum + 17 / (1 + np.exp((50 - z) / 9)) + wobble
    half = half - 4 * (y > 30) + 16 * np.clip((-45 - z) / 50, 0, 1)
    lung = (cavity_mm < -1) & (np.abs(x + 3) > half)
    for side in (-1, 1):
        cap = APEX_MM - ((x - side * 46) ** 2 + (y + 22) ** 2) / 62
        mine = x * side > 0
        lung &= ~mine | ((z < cap) & (z > dome_mm(scene, patient, side) + wobble))
    centre, size, turn = _of_heart(patient)
    lung &= ellipsoid(scene.at, centre, size + 5, turn) > 1
    (spine_y,) = profile(SPINE, z)
    return lung & (np.hypot(x / 1.2, y - spine_y) > 19)


def dome_mm(scene: Scene, patient: Patient, side: int) -> Floats:
    """The height of the diaphragm on one side: it falls off towards the ribs, most behind."""
    x, y, _ = scene.at
    top = patient.domes[0 if side > 0 else 1]
    outwards = (x * side - 58) / 68
    across = np.where(outwards > 0, outwards, 0.35 * outwards) ** 2 + ((y - 8) / 84) ** 2
    return top - 34 * across - 18 * np.clip(-y / 80, 0, 1)


def _spine(scene: Scene) -> None:
    """Vertebral bodies and discs, the canal, arches and processes."""
    box = scene.box((-45, -130, -400), (45, -20, 400))
    x, y, z = scene.at[(slice(None), *box)]
    (centre,) = profile(SPINE, z)
    y = y - centre
    level = ((z + 0.15 * y) / RIB_PITCH_MM) % 1
    body = np.hypot(x / 1.2, y) - 14.5
    scene.paint(T.FAT, body < 4, box, (T.LUNG,))
    arch = np.hypot(x, y + 22) - 8.5
    scene.paint(T.MUSCLE, (y < -14) & (y > -50) & (np.abs(x) < 34) & (np.abs(x) > 5), box, WALL)
    scene.paint(T.BONE, (arch < 4.5) & (arch > 0), box)
    across = (np.abs(y + 25 + 0.25 * np.abs(x)) < 5.5) & (np.abs(x) < 33) & (np.abs(x) > 9) & (level < 0.42)
    behind = (np.abs(x) < 3.2) & (y < -30) & (y > -48) & (level < 0.6)
    scene.paint(T.BONE, across | behind, box, WALL)
    scene.paint(T.CORD, arch < 0, box)
    scene.paint(T.BONE, body < 0, box)
    scene.paint(T.MARROW, body < -2.2, box)
    scene.paint(T.CARTILAGE, (body < 0) & (level > 0.8), box)


def _abdomen(scene: Scene, patient: Patient, rng: np.random.Generator) -> None:
    """Under the diaphragm: liver, spleen, the stomach with its gas, loops of bowel with theirs."""
    x, y, z = scene.at
    under = {side: dome_mm(scene, patient, side) - z for side in (-1, 1)}
    left = patient.domes[1]
    inside = (T.FAT,)
    scene.paint(T.MUSCLE, (x > -4) & (under[1] > 0) & (under[1] < 3), over=inside)
    scene.paint(T.MUSCLE, (x <= -4) & (under[-1] > 0) & (under[-1] < 3), over=inside)
    liver = (x > -38 + 0.35 * (-60 - z)) & (np.where(x < 0, under[-1], under[1]) > 3)
    scene.paint(T.LIVER, liver & (y > -80) & ((x > 5) | (y > 5)), over=inside)
    centre, size = (-50.0, 18.0, left - 44.0), (42.0, 40.0, 36.0)
    box = scene.box(np.subtract(centre, size), np.add(centre, size))
    stomach = ellipsoid(scene.at[(slice(None), *box)], centre, size)
    level = centre[1] + size[1] * (2 * patient.filled - 1)
    scene.paint(T.MUSCLE, stomach < 1, box, (T.FAT, T.LIVER))
    scene.paint(T.FOOD, stomach < 0.9, box, (T.MUSCLE,))
    scene.paint(T.GAS, (stomach < 0.9) & (y[box] > level), box, (T.FOOD,))
    scene.ellipsoid(T.SPLEEN, (-92.0, -38.0, left - 48.0), (27.0, 42.0, 40.0), over=inside)
    for _ in range(3):
        centre = (float(rng.uniform(-105, -75)), float(rng.uniform(10, 55)), float(left - rng.uniform(36, 62)))
        half = rng.uniform(11, 21, 3)
        scene.ellipsoid(T.MUSCLE, centre, half + 2.5, over=(T.FAT, T.SPLEEN))
        scene.ellipsoid(T.GAS, centre, half, over=(T.MUSCLE,))


def _of_heart(patient: Patient) -> tuple[Floats, Floats, Floats]:
    """Centre, half-axes and turn of the heart's ellipsoid."""
    centre = np.array([-18.0, 22.0, patient.domes[1] + 40 * patient.heart])
    turn = Rotation.from_euler("zy", (-32, -28), degrees=True).as_matrix()
    return centre, patient.heart * np.array([60.0, 40.0, 41.0]), turn


def draw_heart(scene: Scene, patient: Patient) -> None:
    """Four chambers in a wall of muscle, with fat around it."""
    centre, size, turn = _of_heart(patient)
    room = (T.FAT, T.MUSCLE, T.LIVER)
    scene.ellipsoid(T.FAT, centre, size + 4, over=(T.LUNG, T.MUSCLE, T.LIVER), turn=turn)
    scene.ellipsoid(T.MYOCARDIUM, centre, size, over=room, turn=turn)
    chambers = (((-20, 4, -6), (33, 19, 19)), ((8, 16, -4), (26, 15, 20)), ((28, -2, 8), (22, 20, 22)),
                ((-2, -24, 12), (28, 12, 15)))  # fmt: skip
    for offset, half in chambers:
        place = centre + patient.heart * np.array(offset)
        scene.ellipsoid(T.BLOOD, place, patient.heart * np.array(half), over=(T.MYOCARDIUM,), turn=turn)


def _great_vessels(scene: Scene) -> None:
    """Aorta, pulmonary arteries, caval veins, the branches of the arch, and the gullet."""
    room = (*INSIDE, T.MUSCLE)
    arch = [(10, 18, -38), (14, 18, 0), (12, 14, 28), (2, 0, 44), (-12, -22, 44), (-20, -40, 30), (-21, -46, 0)]
    scene.tube(T.BLOOD, [*arch, (-19, -42, -60), (-12, -34, -170)], (15, 16, 15, 14, 13.5, 13, 12.5, 12, 11), over=room)
    scene.tube(T.BLOOD, [(-14, 30, -36), (-16, 18, -8), (-20, 2, -2), (-46, -12, -2)], (14, 14, 12, 9), over=room)
    scene.tube(T.BLOOD, [(-16, 12, -6), (8, -6, -8), (44, -8, -12)], (12, 11, 9), over=room)
    scene.tube(T.VEIN, [(32, 8, -30), (27, 10, 30), (24, 14, 62), (22, 18, 84)], (10, 9, 8, 6), over=room)
    scene.tube(T.VEIN, [(24, 14, 56), (0, 26, 66), (-26, 22, 78)], (7, 6.5, 6), over=room)
    scene.tube(T.VEIN, [(26, -8, -60), (24, -14, -170)], (11, 12), over=(*room, T.LIVER))
    for start, end in (((6, 8, 48), (24, -4, 120)), ((-8, -6, 50), (-14, 0, 120)), ((-16, -24, 48), (-26, -18, 120))):
        scene.tube(T.BLOOD, [start, end], (6, 4.5), over=room)
    scene.tube(T.WALL, [(0, -40, 125), (-5, -44, 40), (-6, -44, -40), (-14, -26, -110)], (7.5, 8, 8, 8), over=room)


def _airways(scene: Scene, rng: np.random.Generator) -> None:
    """The trachea, the main bronchi and their first branches, with their walls; a bubble of air in the gullet."""
    trachea = [(2, -10, 130), (2, -18, 70), (2, -26, 4)]
    right = [(2, -26, 4), (24, -26, -12), (40, -22, -24)]
    left = [(2, -26, 4), (-28, -30, -16), (-46, -30, -30)]
    for wall in (2.0, 0.0):
        value = T.WALL if wall else T.GAS
        scene.tube(value, trachea, (9.5 + wall,) * 3)
        scene.tube(value, right, (7.5 + wall, 7 + wall, 6 + wall))
        scene.tube(value, left, (7 + wall, 6.5 + wall, 5.5 + wall))
    if rng.random() < 0.6:
        z = float(rng.uniform(-50, 90))
        scene.ellipsoid(T.GAS, (-4.0, -42.0, z), (3.5, 4.5, 22.0), over=(T.WALL,))


def _lobar_bronchi(scene: Scene) -> None:
    """The first branches of the main bronchi, which count as lung."""
    paths = (((28, -26, -14), (42, -18, 4), (52, -12, 20)), ((40, -22, -24), (46, -30, -40), (54, -36, -58)),
             ((-46, -30, -30), (-52, -14, -16), (-58, -4, -8)), ((-46, -30, -30), (-52, -38, -56)))  # fmt: skip
    for wall in (1.5, 0.0):
        for path in paths:
            radii = (4.2 + wall,) + (3.0 + wall / 2,) * (len(path) - 1)
            scene.tube(T.WALL if wall else T.GAS, path, radii, over=(T.LUNG, T.VESSEL, T.WALL))


def _vessel_trees(scene: Scene, rng: np.random.Generator) -> None:
    """Arteries and veins that branch from each hilum towards the pleura; each child is shorter and thinner."""
    for side in (-1, 1):
        for _ in range(11):
            towards = np.array([side * rng.uniform(0.15, 1), rng.uniform(-1, 0.9), rng.uniform(-1.25, 1.1)])
            branch(scene, np.array([side * 40.0, -8.0, -10.0]), towards, 46.0, 4.9, 5, rng)


def branch(
    scene: Scene, start: Floats, towards: Floats, length: float, radius: float, left: int, rng: np.random.Generator,
    value: int = T.VESSEL, over: Sequence[int] = (T.LUNG,),
) -> None:  # fmt: skip
    """Paint a vessel that splits in two, `left` generations in all, each shorter and thinner than the last.

    Args:
        scene: what to paint on.
        start: (3,) where it begins.
        towards: (3,) its direction, of any length.
        length, radius: of the first generation, in mm.
        left: how many generations there are.
        rng: chooses lengths and forks.
        value: the vessel's tissue.
        over: the tissues it is painted over.
    """
    direction = towards / np.linalg.norm(towards)
    end = start + direction * length * rng.uniform(0.75, 1.25)
    scene.tube(value, [start, end], (radius, 0.8 * radius), over=over)
    for _ in range(2 if left > 1 else 0):
        onward = direction + rng.normal(0, 0.42, 3)
        branch(scene, end, onward, 0.72 * length, 0.72 * radius, left - 1, rng, value, over)


def _consolidation(scene: Scene, patient: Patient, lung: Mask, rng: np.random.Generator) -> None:
    """Lung whose air is replaced by fluid, with a seam of ground glass and some air left in it."""
    if not patient.consolidated:
        return
    centre = np.array([patient.side * rng.uniform(60, 88), rng.uniform(-55, -10), rng.uniform(-75, 25)])
    half = patient.consolidated * rng.uniform(0.75, 1.25, 3)
    field = waves(rng, 12, (14.0, 50.0), 0.22, channels=2)
    box = scene.box(centre - 1.8 * half, centre + 1.8 * half)
    at = scene.at[(slice(None), *box)]
    rough, spots = field(at.reshape(3, -1)).reshape(2, *at.shape[1:])
    depth = ellipsoid(at, centre, half) + rough
    mine = lung[box] & (at[0] * patient.side > 0)
    scene.paint(T.GLASS, mine & (depth < 1.2), box, (T.LUNG,))
    scene.paint(T.CONSOLIDATED, mine & (depth < 1) & (spots < 0.42), box, (T.LUNG, T.GLASS, T.VESSEL))
