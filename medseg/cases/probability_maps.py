"""Maps of the foreground's probability beside predicted masks: found by name, and read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medseg.cases.faults import refuse
from medseg.cases.layouts.pairs import by_stem
from medseg.cases.listing import look
from medseg.cases.score_pairs import Pair
from medseg.errors import DataError, Fault, UsageError
from medseg.labels import Labels
from medseg.volumes import PICTURES, is_volume, read_volume


def with_maps(pairs: Sequence[Pair], folder: str | Path, labels: Labels | None) -> list[Pair]:
    """The pairs, each with a map of probabilities for every foreground label.

    Args:
        pairs: what is to be scored.
        folder: of the maps: ``<case>.nii.gz`` where there is one foreground label, else ``<case>_<label>.nii.gz``.
        labels: what values mean.

    Raises:
        UsageError: E903, labels without names.
        DataError: E101, no such folder; E501, two files of one name; E506, maps that are not there.
    """
    if labels is None:
        fix = "name them: --labels background=0,liver=1"
        raise UsageError(Fault("E903", "maps of probabilities belong to labels, which have no names", fix))
    if not Path(folder).is_dir():
        raise DataError(Fault("E101", "no such folder", "check the path", "maps of probabilities", file=folder))
    listing = look(Path(folder))
    named = by_stem(listing.root / place / name for place, names in listing.folders.items() for name in names
                    if is_volume(name))  # fmt: skip
    is_one = len(labels.foreground) == 1
    found, faults = [], []
    for pair in pairs:
        wanted = {label: [f"{pair.case}_{label}", *([pair.case] if is_one else [])] for label in labels.foreground}
        maps = {label: named[name] for label, names in wanted.items() for name in names if name in named}
        found.append(dataclasses.replace(pair, probabilities=maps))
        missing = ", ".join(names[-1] for label, names in wanted.items() if label not in maps)
        if missing:
            fix = "add it, named by the case and the label"
            faults.append(Fault("E506", "no map of probabilities of this name", fix, missing, file=folder,
                                case=pair.case))  # fmt: skip
    refuse(faults)
    return found


def read_probability(path: Path) -> npt.NDArray[np.floating]:
    """A map as probabilities from 0 to 1, (X, Y, Z). A picture of whole numbers holds 255ths, or 65535ths.

    Raises:
        DataError: what `read_volume` refuses; E401, NaN or infinity; E404, values that are no probabilities.
    """
    array = read_volume(path).array
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise DataError(Fault("E401", "NaN or infinity in a map of probabilities", "write them again", file=path))
    lowest, highest = array.min(), array.max()
    is_picture = path.suffix.lower() in PICTURES and array.dtype.kind == "u"
    if array.ndim != 3 or lowest < 0 or (highest > 1 and not is_picture):
        fix = "write the probability of the foreground, one number from 0 to 1 a voxel"
        found = f"{lowest:g} to {highest:g}" if array.ndim == 3 else "colours"
        raise DataError(Fault("E404", "not a map of probabilities", fix, "0 to 1", found, path))
    top = np.iinfo(array.dtype).max if is_picture else 1
    if highest > 0 and np.count_nonzero(array) == np.count_nonzero(array == highest) and highest in (1, top):
        fix = "write what the network gives before the threshold: of a mask these scores mean something else"
        raise DataError(Fault("E404", "a mask, not a map of probabilities", fix, "values between", "a mask", path))
    if is_picture:
        return np.divide(array, top, dtype=np.float32)
    return array if array.dtype.kind == "f" else array.astype(np.float32)
