"""ignite handlers that MONAI lacks."""

from medseg.handlers.case_scores import CaseScores, SaveCases
from medseg.handlers.checkpoint import Checkpoint
from medseg.handlers.checkpoint_loader import CheckpointLoader
from medseg.handlers.early_stop import EarlyStop
from medseg.handlers.moving_average import MovingAverage
from medseg.handlers.plateau import ReduceRateOnPlateau
from medseg.handlers.previews import Previews
from medseg.handlers.progress import Progress
from medseg.handlers.run_folder import RunFolder

__all__ = [
    "CaseScores",
    "Checkpoint",
    "CheckpointLoader",
    "EarlyStop",
    "MovingAverage",
    "Previews",
    "Progress",
    "ReduceRateOnPlateau",
    "RunFolder",
    "SaveCases",
]
