"""Names and numbers of labels: name to integers, unions, colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medseg.errors import DataError, Fault, UsageError

# Okabe & Ito's palette (https://jfly.uni-koeln.de/color/), told apart by colour-blind readers too.
WHITE = 255  # how most programs store 1 in a picture
PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
ROUNDING = 1e-3
SMEAR = 16  # how far JPEG moves 0 and 255 away from an edge
LEAST_BETWEEN = 8  # values between 0 and 255 at the edges of a smeared mask
WIDEST_EDGE = 3  # half of the pixels that such an edge is wide, at most
HIGHEST = (1 << 31) - 1


class Labels:
    """What the integers of a label map mean.

    Args:
        names: name to an integer, or to several for a union (``{"background": 0, "liver": [1, 2], "tumour": 2}``).
            Background is the name whose integer is 0.

    Raises:
        UsageError: E903, no table of names, a value that is no integer from 0 upwards, or no name that stands for 0.
    """

    def __init__(self, names: Mapping[str, int | Sequence[int]]) -> None:
        if not isinstance(names, Mapping):
            raise _no_labels("labels are no table of names and values", names)
        self.values: dict[str, tuple[int, ...]] = {
            str(name): tuple(value) if isinstance(value, Sequence) else (value,) for name, value in names.items()
        }
        flat = [value for values in self.values.values() for value in values]
        wrong = any(not isinstance(value, int) or isinstance(value, bool) or value < 0 for value in flat)
        if wrong or not all(self.values.values()):
            raise _no_labels("label values are integers from 0 upwards", dict(names))
        if 0 not in flat:
            raise _no_labels("one name must stand for 0, the background", dict(names))

    @property
    def foreground(self) -> list[str]:
        """The names to be scored, background left out, in their order."""
        return [name for name, values in self.values.items() if values != (0,)]

    @property
    def known_values(self) -> set[int]:
        """Every integer that may occur in a label map."""
        return {value for values in self.values.values() for value in values}

    @property
    def n_classes(self) -> int:
        """Channels of a network that tells all of them apart (background included)."""
        return max(self.known_values) + 1

    def mask(self, label_map: npt.NDArray[np.integer], name: str) -> npt.NDArray[np.bool_]:
        """Where `label_map` (any shape) holds `name`, as booleans of the same shape."""
        values = self.values[name]
        return label_map == values[0] if len(values) == 1 else np.isin(label_map, values)

    def is_binary(self) -> bool:
        """Whether there is one label beside the background, and it is 1."""
        return self.known_values == {0, 1}

    def colour(self, name: str) -> tuple[int, int, int]:
        """A colour (red, green, blue from 0 to 255) for a foreground name."""
        return PALETTE[self.foreground.index(name) % len(PALETTE)]


def _no_labels(what: str, found: object) -> UsageError:
    example = "{'background': 0, 'liver': [1, 2], 'tumour': 2}"
    fix = "give every label a name and a value, the background too"
    return UsageError(Fault("E903", what, fix, example, str(found)))


def parse_labels(text: str) -> Labels:
    """``background=0,liver=1+2,tumour=2`` as `Labels`.

    Raises:
        UsageError: E903, for anything else.
    """
    try:
        pairs = [part.split("=") for part in text.split(",")]
        names = [name.strip() for name, _ in pairs]
        if len(set(names)) < len(names) or "" in names:
            raise ValueError("a name is missing, or there twice")
        values = {name: [int(value) for value in given.split("+")]
                  for name, (_, given) in zip(names, pairs, strict=True)}  # fmt: skip
    except ValueError as error:
        fix = "give each name its value"
        raise UsageError(
            Fault("E903", f"not label names and values ({error})", fix, "background=0,liver=1", text)
        ) from error
    return Labels(values)


def as_label_map(array: npt.NDArray, path: str | Path = "", case: str = "") -> npt.NDArray[np.integer]:
    """A label map of any shape as the smallest of uint8, uint16 and int32 that holds it.

    Floats within 0.001 of an integer are rounded (resampling tools leave 0.9999 behind).

    Raises:
        DataError: E303 for fractions, E401 for NaN or infinity, E301 for values below 0 or above 2^31 - 1.
    """
    if array.dtype.kind == "f":
        if not np.all(np.isfinite(array)):
            raise DataError(Fault("E401", "NaN or infinity in a label", "correct the label", file=path, case=case))
        rounded = np.rint(array)
        worst = float(np.abs(array - rounded).max(initial=0.0))
        if worst > ROUNDING:
            fix = "resample labels with nearest neighbour, or threshold probabilities"
            found = f"a value {worst:.3f} away from an integer"
            raise DataError(Fault("E303", "label values are not integers", fix, "integers", found, path, case))
        array = rounded
    lowest, highest = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if lowest < 0 or highest > HIGHEST:
        fix = "write background as 0 and labels as positive integers"
        found = str(lowest if lowest < 0 else highest)
        raise DataError(Fault("E301", "label value out of range", fix, f"0 to {HIGHEST}", found, path, case))
    return array.astype(np.uint8 if highest < 1 << 8 else np.uint16 if highest < 1 << 16 else np.int32, copy=False)


def unknown_values(
    label_map: npt.NDArray[np.integer], labels: Labels, path: str | Path = "", case: str = ""
) -> list[Fault]:
    """E301 where a label map of any shape holds values that no label names."""
    known = sorted(labels.known_values)
    if int(label_map.max()) < len(known) == known[-1] + 1:  # the usual case, without a look at every voxel
        return []
    values, counts = np.unique(label_map[~np.isin(label_map, known)], return_counts=True)
    if not len(values):
        return []
    found = ", ".join(f"{value} ({n} voxels)" for value, n in zip(values[:5], counts[:5], strict=True))
    fix = "name the value in the labels, or correct the map"
    return [Fault("E301", "unknown label value", fix, str(known), found, path, case)]


def is_smeared(picture: npt.NDArray, labels: Labels | None = None) -> bool:
    """Whether a label in a picture (X, Y, pages) was a mask of 0 and 255 once, and has values between at its edges.

    JPEG leaves such masks, and resizing with anything but nearest neighbour. A label map is told from them by values
    that fill an area, not an edge alone, and by `labels` that name a value between.
    """
    if picture.dtype != np.uint8 or picture.size == 0:
        return False
    between = (picture > SMEAR) & (picture < WHITE - SMEAR)
    if not between.any() or np.unique(picture[between]).size < LEAST_BETWEEN:
        return False
    if labels is not None and not labels.known_values.isdisjoint(range(SMEAR + 1, WHITE - SMEAR)):
        return False
    n_white = int(np.count_nonzero(picture >= WHITE - SMEAR))
    inner = between
    for _ in range(WIDEST_EDGE):  # erosion by squares of 3 x 3
        inner = inner[:-2] & inner[1:-1] & inner[2:]
        inner = inner[:, :-2] & inner[:, 1:-1] & inner[:, 2:]
    return n_white >= int(np.count_nonzero(between)) and not inner.any()


def is_black_and_white(label_map: npt.NDArray[np.integer]) -> bool:
    """Whether every value is 0 or 255, and 255 occurs: a mask as most programs store one in a picture."""
    if label_map.size == 0 or int(label_map.max()) != WHITE:
        return False
    return int(np.count_nonzero(label_map == WHITE)) == int(np.count_nonzero(label_map))
