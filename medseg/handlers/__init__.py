"""ignite handlers that MONAI lacks."""

from medseg.handlers.case_scores import CaseScores, SaveCases
from medseg.handlers.checkpoint import Checkpoint
from medseg.handlers.checkpoint_loader import CheckpointLoader
from medseg.handlers.early_stop import EarlyStop
from medseg.handlers.image_error import ImageError
from medseg.handlers.inference_time import InferenceTime
from medseg.handlers.moving_average import MovingAverage
from medseg.handlers.plateau import ReduceRateOnPlateau
from medseg.handlers.previews import Previews
from medseg.handlers.progress import Progress
from medseg.handlers.run_folder import RunFolder
from medseg.handlers.start_from import StartFrom

__all__ = [
    "CaseScores",
    "Checkpoint",
    "CheckpointLoader",
    "EarlyStop",
    "ImageError",
    "InferenceTime",
    "MovingAverage",
    "Previews",
    "Progress",
    "ReduceRateOnPlateau",
    "RunFolder",
    "SaveCases",
    "StartFrom",
]
