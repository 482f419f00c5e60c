"""One case: its images, its label, where it belongs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medseg.volumes import is_volume

NO_COLUMNS = ("subset", "ignore_value")


@dataclass(frozen=True)
class Case:
    """A case as a layout found it.

    Attributes:
        id: unique within the data set.
        images: one path a channel, in channel order.
        label: the label map, or None where there is none. None is an error for supervised work unless `negative`.
            Several files are joined: a voxel is labelled where it is in any of them.
        group: what must not be split between folds (a patient); the id where nothing better is known.
        image_labels: labels of the whole image (for weak supervision), name to value.
        negative: the case is known to hold nothing but background.
        meta: further columns for tables and strata.
    """

    id: str
    images: tuple[Path, ...]
    label: Path | tuple[Path, ...] | None = None
    group: str = ""
    image_labels: Mapping[str, int] = field(default_factory=dict)
    negative: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", tuple(Path(path) for path in self.images))
        object.__setattr__(self, "group", self.group or self.id)

    @property
    def columns(self) -> dict[str, str]:
        """What a table of cases may hold of `meta`: no paths, nothing that has its own column."""
        return {name: str(value) for name, value in self.meta.items()
                if name not in NO_COLUMNS and not is_volume(str(value))}  # fmt: skip

    @property
    def labels(self) -> tuple[Path, ...]:
        """The files of the label."""
        if self.label is None:
            return ()
        return self.label if isinstance(self.label, tuple) else (self.label,)
