"""Names of labels dealt into layers that share no value, so that one map of small integers holds a layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medseg.labels import Labels

LabelMap = npt.NDArray[np.integer]
Codes = npt.NDArray[np.uint8]
N_CODES = 256


@dataclass(frozen=True)
class Layer:
    """Names that share no value.

    Attributes:
        names: their codes are 1, 2, … in this order; 0 is everything else.
        values: what each name stands for in a label map.
    """

    names: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]

    @property
    def holds_zero(self) -> bool:
        """Whether 0, the background of label maps, belongs to a name."""
        return any(0 in values for values in self.values)

    def codes(self, label_map: LabelMap) -> Codes:
        """The code of each voxel, in the shape of `label_map`; the map itself where it holds the codes already."""
        if label_map.dtype != np.uint8:
            found = np.zeros(label_map.shape, np.uint8)
            for code, values in enumerate(self.values, start=1):
                for value in values:
                    found[label_map == value] = code
            return found
        table = np.zeros(N_CODES, np.uint8)
        for code, values in enumerate(self.values, start=1):
            table[[value for value in values if value < N_CODES]] = code
        highest = int(label_map.max(initial=0))
        if np.array_equal(table[: highest + 1], np.arange(highest + 1)):
            return label_map.view(np.uint8)
        coded = label_map.tobytes().translate(table.tobytes())  # twice as fast as np.take
        return np.frombuffer(coded, np.uint8).reshape(label_map.shape)


def layers(labels: Labels) -> Iterator[Layer]:
    """The foreground names in few layers; mostly one.

    ``liver`` = 1 or 2 and ``tumour`` = 2 share a value and come in two.
    """
    left = sorted(labels.foreground, key=lambda name: labels.values[name])
    while left:
        names: list[str] = []
        taken: set[int] = set()
        for name in left:
            if len(names) < N_CODES - 1 and taken.isdisjoint(labels.values[name]):
                names.append(name)
                taken.update(labels.values[name])
        yield Layer(tuple(names), tuple(labels.values[name] for name in names))
        left = [name for name in left if name not in names]
