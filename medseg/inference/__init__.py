"""How networks are applied."""

from medseg.inference.autocast import AutocastInferer, best_precision
from medseg.inference.mirror import MirrorInferer

__all__ = ["AutocastInferer", "MirrorInferer", "best_precision"]
