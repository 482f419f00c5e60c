"""medseg: segmentation of 2D and 3D medical images, built on MONAI bundles."""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    """Import a sub-module where it is first used, so that a bundle's ``$import medseg`` costs nothing."""
    try:
        return importlib.import_module(f"medseg.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"medseg.{name}":
            raise
        raise AttributeError(f"module 'medseg' has no attribute {name!r}") from None
