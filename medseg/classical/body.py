"""Where the body is in a slice of CT, from the image alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage


def find_body(image: npt.NDArray) -> npt.NDArray[np.bool_]:
    """The largest part of each axial slice that is brighter than air, with what it encloses: (X, Y, Z) to (X, Y, Z).

    Air and tissue are told apart by Otsu's threshold of the whole image, so that Hounsfield units and rescaled
    intensities do alike. Lungs are enclosed, and so is gas elsewhere in the body; a couch is another part. An image of
    one intensity has no body.
    """
    from skimage.filters import threshold_otsu  # takes a moment to start

    body = np.zeros(image.shape, dtype=np.bool_)
    if image.max() == image.min():
        return body
    tissue = image > threshold_otsu(np.asarray(image))
    for z in range(image.shape[2]):
        parts, count = ndimage.label(tissue[..., z])
        if count:
            largest = np.bincount(parts.ravel())[1:].argmax() + 1
            body[..., z] = ndimage.binary_fill_holes(parts == largest)
    return body
