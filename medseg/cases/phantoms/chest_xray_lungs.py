"""Phantoms of the lungs on chest X-rays, laid out as the Shenzhen and Montgomery sets are on Kaggle.

A radiograph is simulated from formulas: how much a ray meets of the body, of the air in the lungs, and of bone; nothing
is taken from a real image. The air around the body, in the windpipe and in the stomach is as dark as the lungs, and
ribs, vessels, breasts and opacities are as bright as what surrounds them, so intensity alone does not find the lungs.
The test split is drawn from other poses, chests and exposures than the training split. A mask is of the lung fields
that can be seen beside heart and diaphragm, opacities included, as in Candemir et al., "Lung Segmentation in Chest
Radiographs Using Anatomical Atlases With Nonrigid Registration", IEEE Transactions on Medical Imaging 33:577 (2014),
https://doi.org/10.1109/TMI.2013.2290491. The images are those of Jaeger et al., "Two public chest X-ray datasets for
computer-aided screening of pulmonary diseases", Quantitative Imaging in Medicine and Surgery 4:475 (2014),
https://doi.org/10.3978/j.issn.2223-4292.2014.11.20.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, gaussian_filter

from medseg import files
from medseg.cases.phantoms._fields import (
    Canvas,
    Floats,
    Mask,
    Pose,
    Range,
    Shape,
    centres,
    cloud,
    field,
    pebble,
    speckle,
    through,
    within,
)
from medseg.cases.phantoms.layouts._drawing import grey, n_tests, picture, rgb, white

LabelMap = npt.NDArray[np.uint8]

# The atlas: x from the spine outwards (-1 to 1 is the chest), y downwards; the left of the picture is the patient's
# right. Control points of the borders of the right and the left lung: lateral, diaphragm, medial.
RIGHT = (
    [(-0.36, -0.93), (-0.56, -0.84), (-0.70, -0.60), (-0.80, -0.25), (-0.86, 0.15), (-0.89, 0.50), (-0.88, 0.74)],
    [(-0.88, 0.74), (-0.74, 0.57), (-0.50, 0.46), (-0.29, 0.47), (-0.13, 0.56)],
    [(-0.13, 0.56), (-0.19, 0.32), (-0.14, 0.05), (-0.15, -0.25), (-0.14, -0.55), (-0.20, -0.82), (-0.36, -0.93)],
)
LEFT = (
    [(0.36, -0.93), (0.56, -0.84), (0.70, -0.60), (0.80, -0.25), (0.86, 0.15), (0.89, 0.50), (0.88, 0.80)],
    [(0.88, 0.80), (0.74, 0.64), (0.60, 0.57), (0.47, 0.60)],
    [(0.47, 0.60), (0.44, 0.38), (0.30, 0.10), (0.20, -0.08), (0.16, -0.22), (0.21, -0.36), (0.13, -0.55),
     (0.20, -0.82), (0.36, -0.93)],
)  # fmt: skip
TRUNK = [(0.30, -1.9), (0.31, -1.35), (0.42, -1.14), (0.85, -1.04), (1.12, -0.92), (1.18, -0.62), (1.03, -0.36),
         (1.04, 0.2), (1.06, 0.8), (1.02, 1.9)]  # fmt: skip
ARM = [(1.05, -0.88), (1.22, -0.62), (1.34, 0.0), (1.42, 0.8), (1.46, 1.9)]
ARM_WIDTH = 0.36
FIELD, MIDDLE = (1.15, 1.15), (0.0, -0.12)  # half of the picture's width and height in the atlas, and its middle
SPINE, VERTEBRA_APART = (-1.9, 1.9), 0.17
VERTEBRA = [(-0.13, 0.0), (0.13, 0.0), (0.115, 0.07), (0.13, 0.14), (-0.13, 0.14), (-0.115, 0.07)]
RIB_ENDS, TILT_OF_RIBS = ((0, 1, 2, 4, 8, 11), (0.5, 0.68, 0.8, 0.9, 0.97, 0.9)), 0.30  # of which rib, how far out
CLAVICLE = [(0.05, -0.7), (0.3, -0.79), (0.6, -0.93), (0.85, -0.97), (1.08, -0.95)]
SCAPULA = [(0.84, -0.88), (1.12, -0.86), (1.02, -0.35), (0.88, -0.02), (0.8, -0.45)]
HUMERUS = [(1.19, -0.81), (1.36, 0.0), (1.46, 1.9)]
HILUM, STOMACH = np.array((0.17, -0.05)), (0.48, 0.82)
# Of the markers R and L: where they are, as a fraction of the picture's width, and their strokes.
LETTERS: tuple[tuple[float, list[list[Range]]], ...] = (
    (0.06, [[(0, 0), (0, 1)], [(0, 0), (0.5, 0.05), (0.5, 0.45), (0, 0.5)], [(0.2, 0.5), (0.6, 1)]]),
    (0.90, [[(0, 0), (0, 1)], [(0, 1), (0.55, 1)]]),
)
# How deep rays pass, in units of the chest's depth: what lungs' air and other gas take away, what the others add.
BODY_RADIUS, LUNG_RADIUS = 0.75, 0.30  # how far from its border a body is as deep as it gets, in units of the atlas
AIR, GAS, BONE, VESSELS = 0.60, 0.55, 0.10, 0.12
MARROW = 0.65  # of a long bone's depth at its borders
SCATTER_PX, SHARPNESS_PX = 14.0, 0.6
SAMPLES = 40  # points on a drawn curve


@dataclass(frozen=True)
class Distribution:
    """From where a split's cases are drawn: each pair is the lowest and the highest of a uniform draw.

    Attributes:
        turn_deg: absolute angle by which the patient leans.
        size: of the chest in the picture, 1 where it nearly fills it.
        slender: height over width of the chest, 1 for the atlas.
        shift: distance from the picture's middle, as a fraction of its size.
        breath: how far the diaphragm lies below the atlas' one.
        heart: width of the heart over the atlas' one.
        black, white: depths that are shown black and white.
        gamma: of the film's curve.
        scatter: share of the light that does not come straight.
        noise: standard deviation, 1 is white.
    """

    turn_deg: Range
    size: Range
    slender: Range
    shift: Range
    breath: Range
    heart: Range
    black: Range
    white: Range
    gamma: Range
    scatter: Range
    noise: Range


TRAINING = Distribution(
    turn_deg=(0, 3), size=(0.88, 1.0), slender=(0.92, 1.08), shift=(0, 0.03), breath=(-0.05, 0.08), heart=(0.8, 1.1),
    black=(0.26, 0.36), white=(1.15, 1.35), gamma=(0.85, 1.1), scatter=(0.1, 0.2), noise=(0.008, 0.018),
)  # fmt: skip
TEST = Distribution(
    turn_deg=(3, 6), size=(0.84, 0.93), slender=(1.06, 1.16), shift=(0.03, 0.05), breath=(-0.10, -0.02),
    heart=(1.1, 1.3), black=(0.16, 0.22), white=(1.35, 1.5), gamma=(0.7, 0.85), scatter=(0.2, 0.3), noise=(0.018, 0.03),
)  # fmt: skip


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` training images and `max(2, cases // 4)` test images, as the data set looks when downloaded.

    PNG of 160 to 220 pixels in 8 bits, every fifth stored as RGB though grey; masks are 0 and 255. Two of three bear
    the Shenzhen set's names and one the Montgomery set's; every other patient is ill (``_1``) and may have opacities.
    Beyond what the download gives, ``masks/`` holds the truth of the images in ``test/`` too. A case depends on the
    seed, its split and its place in it, and on nothing else; the same call gives the same bytes.

    Args:
        folder: where ``Lung Segmentation/`` goes, with ``CXR_png``, ``masks``, ``test`` and ``ClinicalReadings``.
        cases: number of training cases.
        seed: a non-negative integer.

    Returns:
        `folder`.

    Raises:
        MedsegError: E701, the folder cannot be written.
    """
    root = Path(folder) / "Lung Segmentation"
    first = 1
    for split, (place, distribution, n) in enumerate((("CXR_png", TRAINING, cases), ("test", TEST, n_tests(cases)))):
        for index in range(n):
            ill = index % 2
            source, ending = ("MCU", "") if index % 3 == 2 else ("CHN", "_mask")
            name = f"{source}CXR_{first + index:04d}_{ill}"
            image, label = draw(distribution, np.random.default_rng((seed, split, index)), bool(ill))
            picture(root / place / f"{name}.png", rgb(image, (1, 1, 1)) if index % 5 == 4 else grey(image))
            picture(root / "masks" / f"{name}{ending}.png", white(label))
            finding = "opacity" if ill else "normal"
            files.write_text(root / "ClinicalReadings" / f"{name}.txt", f"a phantom, no patient\n{finding}\n")
        first += n
    return Path(folder)


def draw(distribution: Distribution, rng: np.random.Generator, ill: bool = False) -> tuple[Floats, LabelMap]:
    """Draw one case.

    Args:
        distribution: where pose and exposure come from.
        rng: the only source of chance.
        ill: whether there are opacities in the lungs.

    Returns:
        (X, Y) image from 0 to 1, and label (uint8: 0 background, 1 lung).
    """
    shape = (int(rng.integers(160, 221)), int(rng.integers(160, 221)))
    pose = _pose(distribution, shape, rng)
    outlines = _lungs(distribution, rng)
    lungs = _filled(shape, [pose(outline) for outline in outlines])
    body = _filled(shape, [pose(outline) for outline in _body(rng)])
    depth = _rounded(body > 0.5, BODY_RADIUS * pose.unit) + _organs(shape, pose, rng)
    depth = depth - AIR * _air(lungs, pose.unit, rng) - GAS * _gas(shape, pose, rng)
    depth = depth + body * (BONE * _bones(shape, pose, rng) + 0.02 * cloud(rng, shape, (4, 9, 20)))
    depth = depth + lungs * (VESSELS * _lung_vessels(shape, pose, rng) + 0.025 * cloud(rng, shape, (3, 6, 12)))
    depth = depth + lungs * _opacities(shape, pose, outlines, rng) if ill else depth
    image = _with_marker(_exposed(depth, distribution, rng), pose.unit, rng)
    return image, (lungs >= 0.5).astype(np.uint8)


def _pose(distribution: Distribution, shape: Shape, rng: np.random.Generator) -> Pose:
    """From the atlas to the picture, which the chest nearly fills."""
    unit = min(shape[0] / FIELD[0], shape[1] / FIELD[1]) / 2 * within(rng, distribution.size)
    stretch = np.sqrt(within(rng, distribution.slender))
    angle = rng.choice((-1, 1)) * within(rng, distribution.turn_deg)
    shift = rng.choice((-1, 1), 2) * rng.uniform(*distribution.shift, 2)
    middle = np.array(shape) * (0.5 + shift) - unit * np.array(MIDDLE)
    return Pose(middle, unit, angle, (1 / stretch, stretch))


def _lungs(distribution: Distribution, rng: np.random.Generator) -> list[Floats]:
    """The outlines of the right and the left lung in the atlas."""
    breath, heart = within(rng, distribution.breath), within(rng, distribution.heart)
    outlines = []
    for borders in (RIGHT, LEFT):
        side = np.sign(borders[0][1][0])
        lift = breath + rng.uniform(-0.04, 0.04)
        pieces = []
        for place, border in enumerate(borders):
            x, y = np.array(border).T + np.pad(rng.normal(0, 0.018, (2, len(border) - 2)), ((0, 0), (1, 1)))
            if place > 0:
                beside = np.clip((y + 0.3) / 0.8, 0, 1) * (np.abs(x) < 0.5)
                x = x + (x - 0.1 * side) * (heart - 1) * beside
            pieces.append(through(np.stack([x, y + lift * np.clip((y + 0.2) / 0.8, 0, 1)], 1), SAMPLES))
        pieces[1][[0, -1]] = pieces[0][-1], pieces[2][0]
        outlines.append(np.concatenate(pieces))
    return outlines


def _body(rng: np.random.Generator) -> list[Floats]:
    """The outlines of the trunk with the neck, and of the two arms, in the atlas."""
    thick, away = rng.uniform(0.97, 1.05), rng.uniform(-0.02, 0.1)
    half = through(TRUNK, SAMPLES) * (thick, 1)
    trunk = np.concatenate([half, half[::-1] * (-1, 1)])
    arm = through(ARM, SAMPLES) + np.outer(np.linspace(0, 1, SAMPLES), (away, 0))
    width = ARM_WIDTH / 2 * np.array([1, 0])
    outline = np.concatenate([arm - width, (arm + width)[::-1]])
    return [trunk, outline, outline * (-1, 1)]


def _filled(shape: Shape, outlines: list[Floats]) -> Floats:
    canvas = Canvas(shape)
    for outline in outlines:
        canvas.area(outline)
    return canvas.pixels()


def _rounded(mask: Mask, radius_px: float) -> Floats:
    """How thick a body with the outline of `mask` is, 1 at `radius_px` from its border and further in."""
    inwards = np.clip(distance_transform_edt(mask) / radius_px, 0, 1)
    return gaussian_filter(np.sqrt(1 - (1 - inwards) ** 2), 0.5).astype(np.float32)


def _air(lungs: Floats, unit: float, rng: np.random.Generator) -> Floats:
    """How much air a ray meets in the lungs, about 1 in their middle."""
    thick = _rounded(lungs >= 0.5, LUNG_RADIUS * unit)
    return lungs * (0.35 + 0.65 * thick) * (1 + 0.08 * field(rng, lungs.shape, 0.8 * unit))


def _organs(shape: Shape, pose: Pose, rng: np.random.Generator) -> Floats:
    """Soft tissue over and beside the lungs: heart, liver, in half of the patients breasts."""
    x, y = centres(shape)

    def ellipsoid(centre: Range, half_axes: Range) -> Floats:
        (cx, cy), (rx, ry) = pose([centre])[0], np.array(half_axes) * pose.unit
        return np.sqrt(np.maximum(1 - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2, 0))

    depth = 0.15 * ellipsoid((0.12, 0.3), (0.42, 0.42)) + 0.1 * ellipsoid((-0.3, 0.9), (0.7, 0.5))
    if rng.random() < 0.5:
        size, low = rng.uniform(0.3, 0.45), rng.uniform(0.3, 0.5)
        for side in (-1, 1):
            depth += rng.uniform(0.1, 0.2) * ellipsoid((side * 0.52, low), (size, size))
    return depth


def _gas(shape: Shape, pose: Pose, rng: np.random.Generator) -> Floats:
    """Gas outside the lungs: windpipe and bronchi, stomach, bowel."""
    gas = Canvas(shape)
    gas.stroke(pose(through([(0.0, -1.5), (0.01, -1.0), (0.0, -0.7), (-0.03, -0.38)], SAMPLES)), 0.12 * pose.unit, 0.45)
    for side in (-1, 1):
        bronchus = through([(-0.03, -0.4), (side * 0.1 - 0.02, -0.25), (side * 0.2, -0.12)], SAMPLES)
        gas.stroke(pose(bronchus), 0.07 * pose.unit, 0.35)
    bowel = [(rng.uniform(-0.8, 0.8), rng.uniform(1.0, 1.3)) for _ in range(2)]
    for centre, radius in ((STOMACH, 0.17), *((place, 0.1) for place in bowel)):
        gas.area(pose(pebble(rng, radius) * (1.3, 1.0) + centre), rng.uniform(0.5, 1))
    return gaussian_filter(gas.pixels(), 0.02 * pose.unit)


def _bones(shape: Shape, pose: Pose, rng: np.random.Generator) -> Floats:
    """How much bone a ray meets; 1 is a rib."""
    back, front, others = Canvas(shape), Canvas(shape), Canvas(shape)
    tilt = TILT_OF_RIBS + rng.uniform(-0.06, 0.06)
    for side in (-1, 1):
        for rib, wide in enumerate(np.interp(range(12), *RIB_ENDS)):
            y = -1.0 + 0.165 * rib
            outer = y + tilt * (0.6 + 0.1 * rib)
            course = [(0.08, y), (0.35 * wide + 0.05, y - 0.03), (0.72 * wide, y + 0.35 * (outer - y)), (wide, outer)]
            _bone(back, pose(through(course, SAMPLES) * (side, 1)), 0.085 * pose.unit)
            if 0 < rib < 8:
                course = [(wide, outer), (0.85 * wide, outer + 0.14), (0.3 + 0.02 * rib, outer + 0.22 - 0.01 * rib)]
                _bone(front, pose(through(course, SAMPLES) * (side, 1)), 0.08 * pose.unit)
        others.area(pose(np.array(SCAPULA) * (side, 1)), 0.5)
        others.stroke(pose(through(HUMERUS, SAMPLES) * (side, 1)), 0.14 * pose.unit, 0.8)
        others.disc(pose([(side * HUMERUS[0][0], HUMERUS[0][1])])[0], 0.12 * pose.unit, 0.9)
        _bone(others, pose(through(CLAVICLE, SAMPLES) * (side, 1)), 0.085 * pose.unit)
    for y in np.arange(SPINE[0], SPINE[1], VERTEBRA_APART):
        others.area(pose(np.add(VERTEBRA, (0, y))), 0.75)
        for side in (-1, 1):
            others.disc(pose([(side * 0.075, y + 0.05)])[0], 0.025 * pose.unit, 1)
    return back.pixels() + 0.6 * front.pixels() + 2 * others.pixels()


def _bone(canvas: Canvas, course: Floats, width_px: float) -> None:
    """A long bone, denser at its borders."""
    canvas.stroke(course, width_px, 1.0)
    canvas.stroke(course, 0.6 * width_px, MARROW)


def _lung_vessels(shape: Shape, pose: Pose, rng: np.random.Generator) -> Floats:
    """Vessels that leave the hila and grow thin."""
    canvas = Canvas(shape)
    for side in (-1, 1):
        for angle in np.deg2rad(rng.uniform(-75, 75, 12)):
            bend, reach = angle + rng.normal(0, 0.35), rng.uniform(0.12, 0.28)
            middle = HILUM + reach * np.array((np.cos(angle), np.sin(angle)))
            course = [HILUM, middle, middle + reach * np.array((np.cos(bend), np.sin(bend)))]
            widths = np.linspace(rng.uniform(0.04, 0.07), 0.01, SAMPLES) * pose.unit
            canvas.stroke(pose(through(np.array(course), SAMPLES) * (side, 1)), widths, rng.uniform(0.5, 1))
    return gaussian_filter(canvas.pixels(), 0.6)


def _opacities(shape: Shape, pose: Pose, outlines: list[Floats], rng: np.random.Generator) -> Floats:
    """What fills the air of an ill patient's lungs, in most of them: patches as bright as soft tissue."""
    depth, (x, y) = np.zeros(shape, np.float32), centres(shape)
    for outline in outlines:
        if rng.random() < 0.3:
            continue
        cx, cy = pose((outline.mean(0) + rng.normal(0, (0.1, 0.3)))[None])[0]
        near = np.hypot(x - cx, y - cy) / (rng.uniform(0.2, 0.45) * pose.unit)
        patches = 1 / (1 + np.exp(4 * (near - 0.8 + 0.35 * cloud(rng, shape, (6, 14, 30)))))
        depth = depth + rng.uniform(0.25, 0.6) * patches
    return depth


def _exposed(depth: Floats, distribution: Distribution, rng: np.random.Generator) -> Floats:
    """The radiograph: scatter, the film's curve, unsharpness, uneven light, noise."""
    black, bright = within(rng, distribution.black), within(rng, distribution.white)
    shown = np.clip((depth - black) / (bright - black), 0, 1)
    scatter = within(rng, distribution.scatter)
    shown = (1 - scatter) * shown + scatter * gaussian_filter(shown, SCATTER_PX)
    shown = shown ** within(rng, distribution.gamma) * (1 + 0.06 * field(rng, depth.shape, 150))
    shown = gaussian_filter(shown, SHARPNESS_PX) + speckle(rng, depth.shape, within(rng, distribution.noise))
    return np.clip(0.04 + 0.92 * shown, 0, 1).astype(np.float32)


def _with_marker(image: Floats, unit: float, rng: np.random.Generator) -> Floats:
    """The letter L or R of lead that says which side is which, in an upper corner; some images have none."""
    if rng.random() < 0.3:
        return image
    canvas, (x, strokes) = Canvas(image.shape), LETTERS[rng.integers(2)]
    corner = Pose(np.array(image.shape) * (x, rng.uniform(0.05, 0.2)), rng.uniform(0.1, 0.16) * unit)
    for stroke in strokes:
        canvas.stroke(corner(through(stroke, SAMPLES)), 0.16 * corner.unit)
    return np.maximum(image, rng.uniform(0.8, 1) * canvas.pixels())
