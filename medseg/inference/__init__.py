"""How networks are applied."""

from medseg.inference.autocast import AutocastInferer, best_precision
from medseg.inference.inverted import InvertedInferer
from medseg.inference.mirror import MirrorInferer
from medseg.inference.probability import ProbabilityInferer
from medseg.inference.slab import SlabInferer
from medseg.inference.threaded import ThreadedInferer

__all__ = [
    "AutocastInferer",
    "InvertedInferer",
    "MirrorInferer",
    "ProbabilityInferer",
    "SlabInferer",
    "ThreadedInferer",
    "best_precision",
]
