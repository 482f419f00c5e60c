"""ignite workflows and their order of samples."""

from medseg.trainers.plan_epochs import plan_epochs, validation_interval
from medseg.trainers.sampler import EpochSampler
from medseg.trainers.supervised import SupervisedTrainer

__all__ = ["EpochSampler", "SupervisedTrainer", "plan_epochs", "validation_interval"]
