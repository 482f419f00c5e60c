"""Phantoms of pigmented skin lesions under the dermatoscope, laid out as task 1 of the ISIC challenge of 2018.

Skin is simulated from formulas: light that pigment and blood absorb; nothing is taken from a real image. The light
falls off as much as a lesion darkens, corners, hairs, freckles and tanned skin are as dark or as brown as lesions, and
lesions have parts as pale as the skin around them, so colour alone does not find them: their border and their pattern
do. The test split is drawn from other skins, lights and lesions than the training split. The layout is that of Codella
et al., "Skin Lesion Analysis Toward Melanoma Detection 2018: A Challenge Hosted by the International Skin Imaging
Collaboration (ISIC)", https://doi.org/10.48550/arXiv.1902.03368; the images are those of Tschandl et al., "The HAM10000
dataset", Scientific Data 5:180161 (2018), https://doi.org/10.1038/sdata.2018.161.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from medseg import files
from medseg.cases.phantoms._fields import (
    Canvas,
    Floats,
    Pose,
    Range,
    Shape,
    centres,
    cloud,
    field,
    one_piece,
    pebble,
    speckle,
    through,
    within,
)
from medseg.cases.phantoms.layouts._drawing import grey, n_tests, picture, white

LabelMap = npt.NDArray[np.uint8]

# What a unit of pigment and of blood does to red, green and blue, as a logarithm; and what light skin looks like.
PIGMENT = np.array([0.55, 0.95, 1.30], np.float32)
BLOOD = np.array([0.12, 0.75, 0.60], np.float32)
PALE = np.array([0.93, 0.80, 0.76], np.float32)
VEIL = np.array([0.42, 0.45, 0.55], np.float32)  # blue-white: pigment deep under the surface
INK = np.array([0.30, 0.15, 0.50], np.float32)
SHARPNESS_PX = 0.7
FIRST_TEST = 12000  # ISIC's numbers of training and test images are far apart


@dataclass(frozen=True)
class Distribution:
    """From where a split's photographs are drawn: each pair is the lowest and the highest of a uniform draw.

    Attributes:
        tone: pigment of the skin; 0 is the palest.
        flush: blood in the skin.
        uneven: how much pigment and blood vary from place to place.
        contrast: pigment of the lesion beyond the skin's.
        size: mean radius of the lesion, as a fraction of the picture's shorter side.
        longer: its length over its width.
        ragged: how irregular its border is.
        shade: how uneven the light is, as the deviation of its logarithm.
        corners: logarithm of the light that the corners lack.
        warm: how much more red and less blue the light is.
        hairs: how many there are.
        noise: standard deviation, 1 is white.
    """

    tone: Range
    flush: Range
    uneven: Range
    contrast: Range
    size: Range
    longer: Range
    ragged: Range
    shade: Range
    corners: Range
    warm: Range
    hairs: tuple[int, int]
    noise: Range


TRAINING = Distribution(
    tone=(0.05, 0.45), flush=(0.1, 0.4), uneven=(0.10, 0.15), contrast=(0.35, 0.7), size=(0.19, 0.30),
    longer=(1.0, 1.4), ragged=(0.12, 0.22), shade=(0.12, 0.2), corners=(0.4, 1.2), warm=(-0.04, 0.04),
    hairs=(0, 14), noise=(0.008, 0.016),
)  # fmt: skip
TEST = Distribution(
    tone=(0.45, 0.7), flush=(0.2, 0.5), uneven=(0.10, 0.14), contrast=(0.4, 0.7), size=(0.17, 0.24),
    longer=(1.2, 1.6), ragged=(0.18, 0.26), shade=(0.16, 0.22), corners=(0.8, 1.5), warm=(0.04, 0.09),
    hairs=(6, 20), noise=(0.014, 0.022),
)  # fmt: skip


def write(folder: Path, cases: int, seed: int) -> Path:
    """Write `cases` training and `max(2, cases // 4)` test photographs, as the data set looks when downloaded.

    RGB of 160 to 256 pixels as JPEG, masks of 0 and 255 as PNG; ``ATTRIBUTION.txt`` and ``LICENSE.txt`` lie among the
    photographs. A case depends on the seed, its split and its place in it, and on nothing else; the same call gives the
    same bytes.

    Args:
        folder: where ``ISIC2018_Task1-2_Training_Input``, ``ISIC2018_Task1_Training_GroundTruth`` and the two folders
            of the test images go.
        cases: number of training cases.
        seed: a non-negative integer.

    Returns:
        `folder`.

    Raises:
        MedsegError: E701, the folder cannot be written.
    """
    folder = Path(folder)
    subsets = (("Training", TRAINING, cases, 0), ("Test", TEST, n_tests(cases), FIRST_TEST))
    for split, (subset, distribution, n, first) in enumerate(subsets):
        inputs, truth = folder / f"ISIC2018_Task1-2_{subset}_Input", folder / f"ISIC2018_Task1_{subset}_GroundTruth"
        for index in range(n):
            image, label = draw(distribution, np.random.default_rng((seed, split, index)))
            picture(inputs / f"ISIC_{first + index:07d}.jpg", grey(image))
            picture(truth / f"ISIC_{first + index:07d}_segmentation.png", white(label))
        for text in ("ATTRIBUTION", "LICENSE"):
            files.write_text(inputs / f"{text}.txt", "Phantoms: no photograph of anybody. CC0 1.0\n")
    return folder


def draw(distribution: Distribution, rng: np.random.Generator) -> tuple[Floats, LabelMap]:
    """Draw one case.

    Args:
        distribution: where skin, lesion and light come from.
        rng: the only source of chance.

    Returns:
        (X, Y, 3) photograph from 0 to 1, and label (uint8: 0 background, 1 lesion).
    """
    short = int(rng.integers(160, 201))
    shape = (int(short * rng.uniform(1.1, 1.28)), short)
    inside = _lesion(shape, distribution, rng)
    soft = gaussian_filter(inside.astype(np.float32), rng.uniform(0.8, 2.5))
    pigment, blood = _skin(shape, distribution, rng)
    more, redder, veil = _pattern(soft, distribution, rng)
    absorbed = (pigment + more)[..., None] * PIGMENT + (blood + redder)[..., None] * BLOOD
    colours = PALE * np.exp(-absorbed)
    colours = colours + veil[..., None] * (VEIL - colours)
    colours = _with_hairs(_with_ruler(colours, rng), distribution, rng)
    return _photographed(colours, distribution, rng), inside.astype(np.uint8)


def _lesion(shape: Shape, distribution: Distribution, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Where the lesion is: an ellipse with an irregular border, in one piece and without holes."""
    middle = np.array(shape) * (0.5 + rng.uniform(-0.1, 0.1, 2))
    x, y = (axis - place for axis, place in zip(centres(shape), middle, strict=True))
    radius, longer = within(rng, distribution.size) * min(shape), np.sqrt(within(rng, distribution.longer))
    cos, sin = np.cos(angle := rng.uniform(0, np.pi)), np.sin(angle)
    away = np.hypot((cos * x + sin * y) / longer, (cos * y - sin * x) * longer) / radius
    ragged = within(rng, distribution.ragged) * (field(rng, shape, 1.1 * radius) + 0.4 * cloud(rng, shape, (6, 14)))
    return one_piece(away + ragged * np.minimum(away, 1) < 1)


def _skin(shape: Shape, distribution: Distribution, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(X, Y) pigment and blood of the skin: uneven, with furrows and freckles."""
    uneven = within(rng, distribution.uneven)
    pigment = within(rng, distribution.tone) + uneven * (field(rng, shape, 60) + 0.2 * cloud(rng, shape, (3, 6, 12)))
    pigment = pigment + 0.05 * np.exp(-((field(rng, shape, 9) / 0.25) ** 2))
    blood = within(rng, distribution.flush) + uneven * (field(rng, shape, 50) + 0.3 * field(rng, shape, 12))
    spots = Canvas(shape)
    for _ in range(int(rng.integers(2, 12))):
        spots.area(pebble(rng, rng.uniform(1.5, 6.0)) + rng.uniform(0, shape), rng.uniform(0.3, 1))
    return pigment + 0.5 * gaussian_filter(spots.pixels(), 1.2), blood


def _pattern(soft: Floats, distribution: Distribution, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """(X, Y) what a lesion adds to pigment and to blood, and where a blue-white veil covers it."""
    shape, contrast = soft.shape, within(rng, distribution.contrast)
    patches = 1 + 0.5 * cloud(rng, shape, (12, 25, 50))
    net = np.exp(-((field(rng, shape, rng.uniform(5, 8)) / 0.35) ** 2)) - 0.3
    globules = np.clip(3 * (field(rng, shape, rng.uniform(4, 6)) - 1.2), 0, 1)
    drawn = rng.uniform(0.1, 0.5) * net + rng.uniform(0, 0.8) * globules
    deep = np.clip(3 * gaussian_filter(soft, 5) - 1.8, 0, 1)
    gone = deep * np.clip(1.2 * (field(rng, shape, 30) - rng.uniform(0.2, 1.5)), 0, 1)  # where the lesion has regressed
    more = contrast * soft * (np.clip(patches, 0.15, None) + drawn) * (1 - 0.9 * gone)
    redder = soft * (rng.uniform(-0.1, 0.25) + 0.15 * field(rng, shape, 25))
    veil = soft * np.clip(field(rng, shape, 30) - rng.uniform(0.9, 2.0), 0, 1) * rng.uniform(0.2, 0.6)
    return more, redder, veil


def _with_hairs(colours: Floats, distribution: Distribution, rng: np.random.Generator) -> Floats:
    """Dark hairs across the picture, each with a shine."""
    shape = colours.shape[:2]
    dark, shine = Canvas(shape), Canvas(shape)
    for _ in range(int(rng.integers(*distribution.hairs))):
        start, heading = rng.uniform(0, shape), rng.uniform(0, 2 * np.pi)
        reach, bow = rng.uniform(0.3, 1.0) * max(shape), rng.uniform(-0.25, 0.25)
        hair = Pose(start, reach, np.rad2deg(heading))(through([(0, 0), (0.5, bow), (1, 0)], 30))
        width = rng.uniform(0.7, 2.0) * np.linspace(1, 0.5, 30)
        dark.stroke(hair, width, rng.uniform(0.6, 0.95))
        shine.stroke(hair + 0.2, 0.3 * width, 1.0)
    colour = np.array([0.13, 0.09, 0.07], np.float32)
    colours = colours + dark.pixels()[..., None] * (colour - colours)
    return colours + 0.12 * shine.pixels()[..., None]


def _with_ruler(colours: Floats, rng: np.random.Generator) -> Floats:
    """The scale of the dermatoscope along an edge, or strokes of a surgeon's pen, or nothing."""
    shape, what = colours.shape[:2], rng.random()
    canvas = Canvas(shape)
    if what < 0.3:
        edge, apart = rng.uniform(0.86, 0.96) * shape[1], rng.uniform(7, 12)
        for number, x in enumerate(np.arange(rng.uniform(0, apart), shape[0], apart)):
            length = 9 if number % 5 == 0 else 5
            canvas.stroke(np.array([(x, edge), (x, edge - length)]), 0.9, 0.8)
        return colours * (1 - canvas.pixels()[..., None])
    if what < 0.5:
        for _ in range(int(rng.integers(1, 4))):
            corner = np.array(shape) * rng.choice((0.08, 0.92), 2)
            canvas.stroke(through(corner + rng.normal(0, 14, (3, 2)), 20), rng.uniform(3, 6), 0.7)
        return colours + gaussian_filter(canvas.pixels(), 0.8)[..., None] * (INK - colours)
    return colours


def _photographed(colours: Floats, distribution: Distribution, rng: np.random.Generator) -> Floats:
    """(X, Y, 3) as the camera shows it: gel bubbles, light, dark corners, unsharpness, noise."""
    shape = colours.shape[:2]
    x, y = centres(shape)
    away = np.hypot((x - shape[0] / 2) / shape[0], (y - shape[1] / 2) / shape[1]) * np.sqrt(2)
    light = within(rng, distribution.shade) * field(rng, shape, 140) - within(rng, distribution.corners) * away**3
    if rng.random() < 0.35:  # the round tube of the dermatoscope
        light = light - 3 * np.clip((np.hypot(x - shape[0] / 2, y - shape[1] / 2) / (0.54 * shape[0]) - 1) * 12, 0, 1)
    warm = within(rng, distribution.warm) * np.array([1, 0, -1.5], np.float32)
    lit = colours * np.exp(light[..., None] + warm)
    bubbles = Canvas(shape)
    for _ in range(int(rng.integers(0, 9))):
        centre, radius = rng.uniform(0, shape), rng.uniform(2, 7)
        bubbles.disc(centre, radius, 0.35)
        bubbles.disc(centre, radius - 0.9, 0.06)
        bubbles.disc(centre - 0.35 * radius, 0.9, 0.9)
    lit = lit + 0.6 * bubbles.pixels()[..., None] * (1 - lit)
    lit = gaussian_filter(lit, (SHARPNESS_PX, SHARPNESS_PX, 0))
    return np.clip(lit + speckle(rng, lit.shape, within(rng, distribution.noise)), 0, 1)
