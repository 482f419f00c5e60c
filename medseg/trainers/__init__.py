"""ignite workflows and their order of samples."""

from medseg.trainers.plan_epochs import plan_epochs, validation_interval
from medseg.trainers.sampler import EpochSampler, ShareSampler
from medseg.trainers.supervised import SupervisedTrainer
from medseg.trainers.try_patch import try_patch
from medseg.trainers.untrained import apply_only

__all__ = [
    "EpochSampler",
    "ShareSampler",
    "SupervisedTrainer",
    "apply_only",
    "plan_epochs",
    "try_patch",
    "validation_interval",
]
