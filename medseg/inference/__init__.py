"""How networks are applied."""

from medseg.inference.autocast import AutocastInferer, best_precision
from medseg.inference.mirror import MirrorInferer
from medseg.inference.threaded import ThreadedInferer

__all__ = ["AutocastInferer", "MirrorInferer", "ThreadedInferer", "best_precision"]
