"""Phantoms of the vessels on photographs of the retina, laid out as DRIVE.

Every photograph is drawn from formulas: trees of arteries and veins that leave the optic disc, branch and grow thin;
nothing is taken from a real image. Light falls unevenly on the fundus, the macula and haemorrhages are as dark as
vessels, and the thinnest vessels are faint, so intensity alone does not find them. The test split is drawn from other
poses, colours and light than the training split. The layout is that of Staal et al., "Ridge-Based Vessel Segmentation
in Color Images of the Retina", IEEE Transactions on Medical Imaging 23:501 (2004),
https://doi.org/10.1109/TMI.2004.825627.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from medseg.cases.phantoms._fields import (
    Canvas,
    Floats,
    Mask,
    Pose,
    Range,
    centres,
    cloud,
    field,
    pebble,
    speckle,
    through,
    within,
)
from medseg.cases.phantoms.layouts._drawing import grey, n_tests, picture, white

LabelMap = npt.NDArray[np.uint8]

SHAPE = (200, 208)  # DRIVE's 565 x 584, smaller
RADIUS = 95.0  # of the field of view, in pixels
# The fundus in radii of the field of view: x from the fovea towards the nose, y downwards.
DISC, DISC_RADIUS = (0.62, 0.02), 0.13
FOVEA_RADIUS, MACULA_RADIUS = 0.13, 0.20  # no vessel comes nearer than the first; the second is dark
# Trunks: control points from the disc on, and the calibre of artery and vein there, in radii of the field of view.
ARCADE = [(0.61, -0.01), (0.56, -0.20), (0.36, -0.42), (0.02, -0.53), (-0.34, -0.50), (-0.72, -0.36), (-1.1, -0.16)]
NASAL = [(0.63, -0.01), (0.72, -0.18), (0.94, -0.38), (1.2, -0.52), (1.6, -0.7)]
STRAIGHT = [(0.63, 0.0), (0.85, 0.04), (1.2, 0.10), (1.6, 0.2)]
TO_MACULA = [(0.61, 0.0), (0.45, -0.06), (0.30, -0.07), (0.14, -0.05)]
CALIBRES = {"arcade": (0.034, 0.043), "nasal": (0.026, 0.032), "thin": (0.016, 0.018)}
APART = 0.07  # between an artery and its vein
TAPER = 0.5  # of its calibre a trunk has lost at its end, and half as much a branch
STEP_PX = 3.0
THINNEST_PX, THIN_PX = 1.3, 2.0
GENERATIONS = 3
# What a unit of blood, of pigment and of fat does to red, green and blue, as a logarithm.
BLOOD = np.array([0.22, 0.85, 0.60], np.float32)
PIGMENT = np.array([0.35, 0.55, 0.60], np.float32)
YELLOW = np.array([0.95, 0.88, 0.50], np.float32)
NOISE_OF_COLOURS = np.array([0.8, 0.8, 1.3], np.float32)
DEEPEST = 1.3  # blood, where a canvas is white
SHARPNESS_PX = 0.55


@dataclass(frozen=True)
class Distribution:
    """From where a split's photographs are drawn: each pair is the lowest and the highest of a uniform draw.

    Attributes:
        turn_deg: absolute angle by which the eye is turned about its axis.
        shift: distance of the fovea from the middle of the field of view, in its radii.
        calibre: of all vessels, 1 is usual.
        red, green, blue: colour of the fundus.
        choroid: how much the blood behind the retina varies.
        blood: how much darker vessels are.
        shade: how uneven the light is, as the deviation of its logarithm.
        bleeds: how many haemorrhages there are.
        noise: standard deviation, 1 is white.
    """

    turn_deg: Range
    shift: Range
    calibre: Range
    red: Range
    green: Range
    blue: Range
    choroid: Range
    blood: Range
    shade: Range
    bleeds: tuple[int, int]
    noise: Range


@dataclass(frozen=True)
class Vessel:
    """A piece of a vessel without branches: (n, 2) points in pixels and a width in pixels at each of them."""

    points: Floats
    widths: Floats
    is_vein: bool


TRAINING = Distribution(
    turn_deg=(0, 8), shift=(0, 0.12), calibre=(0.9, 1.1), red=(0.75, 0.9), green=(0.40, 0.5), blue=(0.18, 0.28),
    choroid=(0.11, 0.15), blood=(0.55, 0.8), shade=(0.15, 0.25), bleeds=(4, 12), noise=(0.010, 0.018),
)  # fmt: skip
TEST = Distribution(
    turn_deg=(8, 14), shift=(0.12, 0.2), calibre=(1.0, 1.15), red=(0.6, 0.75), green=(0.30, 0.38), blue=(0.10, 0.16),
    choroid=(0.12, 0.16), blood=(0.5, 0.65), shade=(0.22, 0.3), bleeds=(10, 18), noise=(0.015, 0.022),
)  # fmt: skip


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` training and `max(2, cases // 4)` test photographs, as the data set looks when downloaded.

    RGB of 200 x 208 pixels as TIFF, masks of 0 and 255 as GIF. The test half is numbered from 01, the training half
    after it. Beyond today's download, ``test/1st_manual/`` holds the test half's truth; ``2nd_manual/`` is of an
    observer who misses thin vessels and draws others wider or narrower. A case depends on the seed, its split and its
    place in it, and on nothing else; the same call gives the same bytes.

    Args:
        folder: where ``DRIVE/training/`` and ``DRIVE/test/`` go.
        cases: number of training cases.
        seed: a non-negative integer.

    Returns:
        `folder`.

    Raises:
        MedsegError: E701, the folder cannot be written.
    """
    tests = n_tests(cases)
    halves = (("training", TRAINING, cases, tests + 1), ("test", TEST, tests, 1))
    for split, (half, distribution, n, first) in enumerate(halves):
        root = Path(folder) / "DRIVE" / half
        for index in range(n):
            name = f"{first + index:02d}"
            image, label, second, view = draw(distribution, np.random.default_rng((seed, split, index)))
            picture(root / "images" / f"{name}_{half}.tif", grey(image))
            picture(root / "1st_manual" / f"{name}_manual1.gif", white(label))
            picture(root / "mask" / f"{name}_{half}_mask.gif", white(view))
            if half == "test":
                picture(root / "2nd_manual" / f"{name}_manual2.gif", white(second))
    return Path(folder)


def draw(distribution: Distribution, rng: np.random.Generator) -> tuple[Floats, LabelMap, LabelMap, LabelMap]:
    """Draw one case.

    Args:
        distribution: where pose, colours and light come from.
        rng: the only source of chance.

    Returns:
        (X, Y, 3) photograph from 0 to 1; vessels, the second observer's vessels and the field of view, (X, Y) uint8 of
        0 and 1.
    """
    pose = _pose(distribution, rng)
    vessels = _vessels(pose, within(rng, distribution.calibre), rng)
    view = _away(np.array(SHAPE) / 2) < RADIUS
    blood = _blood(vessels, rng) + _bleeds(distribution, rng)
    colours = _fundus(pose, distribution, rng) * np.exp(-within(rng, distribution.blood) * blood[..., None] * BLOOD)
    image = _photographed(colours, distribution, rng)
    first, second = _outlined(vessels) & view, _outlined(_seen_again(vessels, rng)) & view
    return image, first.astype(np.uint8), second.astype(np.uint8), view.astype(np.uint8)


def _pose(distribution: Distribution, rng: np.random.Generator) -> Pose:
    """Of a right eye, whose nose is to the right, or of a left one."""
    to, angle = rng.uniform(0, 2 * np.pi), rng.choice((-1, 1)) * within(rng, distribution.turn_deg)
    side = rng.choice((-1.0, 1.0))
    shift = within(rng, distribution.shift) * np.array([np.cos(to), np.sin(to)]) - (side * 0.12, 0)
    return Pose(np.array(SHAPE) / 2 + RADIUS * shift, RADIUS, angle, (side, 1.0))


def _away(middle: Floats) -> Floats:
    """(X, Y) distances from `middle` in pixels."""
    x, y = centres(SHAPE)
    return np.hypot(x - middle[0], y - middle[1])


def _vessels(pose: Pose, calibre: float, rng: np.random.Generator) -> list[Vessel]:
    """All vessels, trunks and their branches."""
    found = []
    courses = [(ARCADE, "arcade"), (NASAL, "nasal")]
    for course, kind in [*courses, (STRAIGHT, "thin"), *[(TO_MACULA, "thin")] * 2]:
        for up in (1, -1) if kind != "thin" else (rng.choice((-1, 1)),):
            for is_vein in (False, True):
                bent = np.array(course) * (1, up)
                bent[1:] += rng.normal(0, 0.03, 2) + rng.normal(0, 0.02, (len(bent) - 1, 2))
                bent[2:] *= 1 + APART * (rng.uniform(-1, 0) if is_vein else rng.uniform(0, 1))
                points = pose(through(bent, 60))
                width = CALIBRES[kind][is_vein] * calibre * RADIUS * rng.uniform(0.85, 1.1)
                trunk = Vessel(points, np.maximum(width * np.linspace(1, 1 - TAPER, 60), THINNEST_PX), is_vein)
                found += [trunk, *_branches(trunk, pose, 1, rng)]
    return found


def _branches(parent: Vessel, pose: Pose, generation: int, rng: np.random.Generator) -> list[Vessel]:
    """The branches of a vessel and theirs, on either side in turn."""
    found: list[Vessel] = []
    side = rng.choice((-1, 1))
    place = int(rng.integers(4, 10)) + (5 if generation == 1 else 0)
    while place < len(parent.points) - 2:
        width = parent.widths[place] * rng.uniform(0.55, 0.85)
        if width >= THINNEST_PX:
            along = np.diff(parent.points[place : place + 2], axis=0)[0]
            heading = np.arctan2(along[1], along[0]) + side * np.deg2rad(rng.uniform(30, 65))
            points = _grown(parent.points[place], heading, -side, width, pose, rng)
            if len(points) > 3:
                taper = np.linspace(1, 1 - TAPER / 2, len(points))
                branch = Vessel(points, np.maximum(width * taper, THINNEST_PX), parent.is_vein)
                found.append(branch)
                found += _branches(branch, pose, generation + 1, rng) if generation < GENERATIONS else []
        side = -side
        place += int(rng.integers(5, 11))
    return found


def _grown(start: Floats, heading: float, bend: int, width: float, pose: Pose, rng: np.random.Generator) -> Floats:
    """A course that winds on from `start`, until it is long enough, leaves the field of view or nears the fovea."""
    n = int(RADIUS / STEP_PX * rng.uniform(0.25, 0.5) * (0.7 + 0.15 * width))
    turns = np.convolve(rng.normal(0, 0.10, n + 4), np.ones(5) / 2, "valid") + bend * rng.uniform(0, 0.05)
    angles = heading + np.cumsum(turns)
    steps = STEP_PX * np.stack([np.cos(angles), np.sin(angles)], 1)
    points = np.concatenate([start[None], start + np.cumsum(steps, 0)])
    out = np.hypot(*(points - np.array(SHAPE) / 2).T) > RADIUS + 4
    near = np.hypot(*(points - pose([(0.0, 0.0)])).T) < FOVEA_RADIUS * pose.unit
    ends = np.flatnonzero(out | near)
    return points[: ends[0]] if len(ends) else points


def _seen_again(vessels: list[Vessel], rng: np.random.Generator) -> list[Vessel]:
    """What another observer draws: some thin vessels are missed, the others are wider or narrower."""
    seen = [each for each in vessels if each.widths.mean() > THIN_PX or rng.random() < 0.6]
    return [
        Vessel(each.points + rng.normal(0, 0.2, 2), each.widths * rng.uniform(0.85, 1.2), each.is_vein) for each in seen
    ]


def _outlined(vessels: list[Vessel]) -> Mask:
    canvas = Canvas(SHAPE)
    for each in vessels:
        canvas.stroke(each.points, each.widths)
    return canvas.pixels() >= 0.5


def _blood(vessels: list[Vessel], rng: np.random.Generator) -> Floats:
    """(X, Y) how much blood the light passes in the vessels: less in thin ones and arteries, which often shine."""
    canvas = Canvas(SHAPE)
    for each in sorted(vessels, key=lambda vessel: vessel.widths[0]):
        dark = (0.8 if each.is_vein else 0.6) * min(1.0, 0.5 + 0.13 * each.widths.mean()) * rng.uniform(0.85, 1.15)
        canvas.stroke(each.points, each.widths, dark)
        wide = each.widths > 2.6
        if wide.sum() > 3 and (not each.is_vein or rng.random() < 0.3):
            canvas.stroke(each.points[wide], 0.3 * each.widths[wide], 0.55 * dark)
    return DEEPEST * canvas.pixels()


def _bleeds(distribution: Distribution, rng: np.random.Generator) -> Floats:
    """(X, Y) haemorrhages: dots, blots and flames."""
    canvas = Canvas(SHAPE)
    for _ in range(int(rng.integers(*distribution.bleeds))):
        turn, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.85)
        centre = np.array(SHAPE) / 2 + RADIUS * far * np.array([np.cos(turn), np.sin(turn)])
        flame = Pose(centre, rng.uniform(1.0, 4.5), rng.uniform(0, 180), (rng.uniform(1, 1.8), 1.0))
        canvas.area(flame(pebble(rng, 1.0)), rng.uniform(0.5, 0.85))
    return DEEPEST * gaussian_filter(canvas.pixels(), 0.4)


def _fundus(pose: Pose, distribution: Distribution, rng: np.random.Generator) -> Floats:
    """(X, Y, 3) the retina without its vessels: choroid, macula, fatty exudates, optic disc."""
    colour = np.array([within(rng, each) for each in (distribution.red, distribution.green, distribution.blue)])
    fovea, disc = (_away(pose([place])[0]) / RADIUS for place in ((0.0, 0.0), DISC))
    choroid = within(rng, distribution.choroid) * (0.6 * cloud(rng, SHAPE, (6, 10, 16)) + 0.8 * field(rng, SHAPE, 50))
    pigment = 0.08 * cloud(rng, SHAPE, (5, 12, 30)) + 0.12 * field(rng, SHAPE, 60)
    pigment += rng.uniform(0.35, 0.55) * np.exp(-((fovea / MACULA_RADIUS) ** 2)) + 0.25 * np.exp(-((fovea / 0.06) ** 2))
    image = colour.astype(np.float32) * np.exp(-pigment[..., None] * PIGMENT - choroid[..., None] * BLOOD)
    where = pose([tuple(rng.uniform(-0.35, 0.35, 2))])[0]
    near = np.exp(-((_away(where) / (0.3 * RADIUS)) ** 2))
    fat = np.clip((field(rng, SHAPE, 5) + 0.6 * field(rng, SHAPE, 9)) * 2 - rng.uniform(3.0, 7.0) + 1.5 * near, 0, 1)
    image += (0.8 * fat * (near > 0.2))[..., None] * (YELLOW - image)
    edge = 1 / (1 + np.exp((disc - DISC_RADIUS * (1 + 0.06 * field(rng, SHAPE, 20))) / 0.012))
    cup = np.exp(-((disc / (DISC_RADIUS * rng.uniform(0.4, 0.6))) ** 2))
    image += (edge * (0.55 + 0.35 * cup))[..., None] * (YELLOW - image)
    return image


def _photographed(colours: Floats, distribution: Distribution, rng: np.random.Generator) -> Floats:
    """(X, Y, 3) as the camera shows it: uneven light, unsharpness, the round field of view, noise."""
    away = _away(np.array(SHAPE) / 2) / RADIUS
    light = within(rng, distribution.shade) * field(rng, SHAPE, 110) - rng.uniform(0.2, 0.5) * away**2 + 0.1
    lit = gaussian_filter(colours * np.exp(light)[..., None], (SHARPNESS_PX, SHARPNESS_PX, 0))
    inside = np.clip((1 - away) * RADIUS + 0.5, 0, 1)[..., None]
    noise = speckle(rng, (*SHAPE, 3), within(rng, distribution.noise)) * NOISE_OF_COLOURS
    return np.clip(0.01 + inside * lit + noise * (0.15 + 0.85 * inside), 0, 1)
