"""One volume of several in a file: ``X_train.npy::12``, ``BRATS_001.nii.gz::3``."""

from __future__ import annotations

import re
from pathlib import Path

MEMBER = re.compile(r"(.+\.(?:npy|nii|nii\.gz))::([0-9]+)", re.IGNORECASE | re.DOTALL)


def member_of(path: str | Path) -> tuple[Path, int | None]:
    """The file of a path, and the index that ``::`` gives after ``.npy``, ``.nii`` or ``.nii.gz``, or None."""
    found = MEMBER.fullmatch(str(path))
    return (Path(found[1]), int(found[2])) if found else (Path(path), None)
