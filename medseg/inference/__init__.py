"""How networks are applied."""

from medseg.inference.autocast import AutocastInferer, best_precision

__all__ = ["AutocastInferer", "best_precision"]
