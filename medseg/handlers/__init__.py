"""ignite handlers that MONAI lacks."""

from medseg.handlers.case_scores import CaseScores, SaveCases
from medseg.handlers.checkpoint import Checkpoint
from medseg.handlers.checkpoint_loader import CheckpointLoader
from medseg.handlers.early_stop import EarlyStop
from medseg.handlers.held_out_patches import HeldOutPatches
from medseg.handlers.image_error import ImageError
from medseg.handlers.inference_time import InferenceTime
from medseg.handlers.moving_average import MovingAverage
from medseg.handlers.plateau import ReduceRateOnPlateau
from medseg.handlers.previews import Previews
from medseg.handlers.progress import Progress
from medseg.handlers.run_folder import RunFolder
from medseg.handlers.start_from import StartFrom
from medseg.handlers.training_dice import TrainingDice

__all__ = [
    "CaseScores",
    "Checkpoint",
    "CheckpointLoader",
    "EarlyStop",
    "HeldOutPatches",
    "ImageError",
    "InferenceTime",
    "MovingAverage",
    "Previews",
    "Progress",
    "ReduceRateOnPlateau",
    "RunFolder",
    "SaveCases",
    "StartFrom",
    "TrainingDice",
]
