"""The field of view of a photograph: what the camera saw, without the dark around it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

CORNER = 0.03  # of the shorter side: corners are squares of that size, which a round field leaves dark
DARK = 0.25  # corners brighter than this share of the picture's bright parts are no dark surround
ABOVE = 0.1  # of the way from dark to bright a pixel must be to belong to the field
SMOOTH = 0.002  # of the shorter side: standard deviation of the blur that takes noise away
LEAST = 0.1  # of the picture; something smaller is no field of view


def field_of_view(picture: npt.NDArray) -> Mask:
    """Where a photograph shows anything: the largest bright component, without holes.

    Bright is what lies a tenth of the way from the dark of the corners to the bright parts of the picture (its 95th
    percentile), in the brightest of its colours, which is red in a photograph of the retina. Where the corners are not
    dark (or all is), or the component fills less than a tenth of the picture, the whole picture is the field.

    Args:
        picture: (C, X, Y), intensities from 0 upwards.

    Returns:
        (X, Y).
    """
    shorter = min(picture.shape[1:])
    brightness = ndimage.gaussian_filter(picture.max(axis=0).astype(np.float32), SMOOTH * shorter)
    size = max(1, round(CORNER * shorter))
    ends = (slice(None, size), slice(-size, None))
    dark = float(np.median([np.median(brightness[x, y]) for x in ends for y in ends]))
    bright = float(np.percentile(brightness, 95))
    everything = np.ones(brightness.shape, dtype=np.bool_)
    if dark >= DARK * bright:
        return everything
    components, _ = ndimage.label(brightness > dark + ABOVE * (bright - dark))
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    found = np.asarray(ndimage.binary_fill_holes(components == sizes.argmax()), dtype=np.bool_)
    return found if found.mean() >= LEAST else everything
