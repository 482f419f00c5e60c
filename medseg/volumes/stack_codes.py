"""The 256 codes that stand for a case's intensities on pages, and whether those are Hounsfield units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

CODES = 256
CT_LEVELS = ((-1024.0, 1), (-200.0, 56), (300.0, 206), (1500.0, 246))  # HU and the code that stands for it
CT_NAMES = ("ct", "computed tomography")
OTHER_NAMES = ("mr", "mri", "pet", "us", "x-ray", "fundus", "dermoscopy")  # of what has no Hounsfield units
BELOW_WATER = -20.0  # where CT that is no longer in Hounsfield units (8 bits, shares, deviations) does not reach
AIR = -500.0  # below it reaches nothing but CT
ROBUST_PERCENTILES, MARGIN = (0.5, 99.5), 0.25  # of the range between them, beyond each end
TAIL = 16  # codes for what lies beyond the margin, up to the lowest and the highest intensity
SAMPLE = 200_000

Floats = npt.NDArray[np.float32]


def is_hounsfield(values: npt.NDArray, modality: str = "") -> bool:
    """Whether intensities are Hounsfield units, by what the data set calls the image, else by what they look like.

    Args:
        values: finite intensities, of any shape.
        modality: as the data set says it, of several channels joined by commas: the first one counts.
    """
    name = modality.partition(",")[0].strip().casefold()
    lowest = float(values.min())
    return name not in OTHER_NAMES and lowest < (BELOW_WATER if name in CT_NAMES else AIR)


def choose_levels(channels: Sequence[Floats], modality: str = "") -> Floats:
    """(256,) ascending intensities, one a code.

    Exactly the image's where it has no more distinct values; densest where soft tissue lies in CT; else evenly between
    the 0.5th and the 99.5th percentile and a margin, with a few codes for what lies beyond.
    """
    values = np.unique(np.stack(channels))
    if len(values) <= CODES:
        return np.pad(values, (0, CODES - len(values)), mode="edge")
    lowest, highest = float(values[0]), float(values[-1])
    inner = CT_LEVELS if is_hounsfield(channels[0], modality) else _robust(channels)
    within = [level for level in inner if lowest < level[0] < highest]
    heights, codes = zip((lowest, 0), *within, (highest, CODES - 1), strict=True)
    return np.interp(np.arange(CODES), codes, heights).astype(np.float32)


def encode(values: Floats, levels: Floats | None) -> npt.NDArray[np.uint8]:
    """The code of the nearest level; without levels (8-bit colours) the values themselves."""
    if levels is None:
        return np.rint(values).astype(np.uint8)
    between = (levels[1:].astype(np.float64) + levels[:-1]) / 2
    return np.searchsorted(between, values).astype(np.uint8)


def _robust(channels: Sequence[Floats]) -> tuple[tuple[float, int], ...]:
    """What most intensities lie between, with a margin, and the codes of its ends; nothing where most are equal."""
    step = max(1, sum(channel.size for channel in channels) // SAMPLE)
    sample = np.concatenate([channel.ravel()[::step] for channel in channels])
    low, high = (float(value) for value in np.percentile(sample, ROBUST_PERCENTILES))
    margin = MARGIN * (high - low)
    return ((low - margin, TAIL), (high + margin, CODES - 1 - TAIL)) if high > low else ()
