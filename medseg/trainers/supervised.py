"""MONAI's supervised trainer with the guards it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import monai.engines
import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys

from medseg.errors import Fault, TrainingError
from medseg.processes import average_, several
from medseg.seeds import pure_seed
from medseg.trainers.sampler import EpochSampler
from medseg.trainers.sigterm import noticed_sigterm, spare_workers


class SupervisedTrainer(monai.engines.SupervisedTrainer):
    """One network, one optimiser: `monai.engines.SupervisedTrainer` that clips gradients and stops at a bad loss.

    The loss that it leaves in its output is the mean over the processes.

    Args:
        networks: ``{"model": …}``, the network that predicts.
        optimizers: ``{"optimizer": …}``.
        schedulers: learning-rate schedulers, stepped once an iteration; may be empty. What waits for a validation is a
            handler (`medseg.handlers.ReduceRateOnPlateau`).
        average: a moving average of the weights (`medseg.handlers.MovingAverage`), or None.
        clip_norm: largest norm of all gradients together; None does not clip.
        clip_value: largest absolute value of each gradient, after `clip_norm`; None does not clip.
        seed: step i draws from (seed, i), so that no random state has to be saved.
        kwargs: MONAI's own arguments (``max_epochs``, ``train_data_loader``, ``loss_function``, …).

    Attributes:
        parts: by name, everything with a ``state_dict`` that belongs in a checkpoint: the networks, optimizers,
            schedulers, the gradient scaler; handlers add what is theirs.
        stopping: whether SIGTERM asks training to stop; `medseg.handlers.Checkpoint` does so.

    Raises:
        TrainingError: E801, when the loss or its gradients are not finite; no optimiser step is made with them. (A
            gradient scaler leaves out such steps itself.)
    """

    def __init__(
        self,
        networks: Mapping[str, torch.nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        schedulers: Mapping[str, Any] | None = None,
        average: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        self.networks, self.optimizers, self.schedulers = dict(networks), dict(optimizers), dict(schedulers or {})
        self.average, self.clip_norm, self.clip_value, self.seed = average, clip_norm, clip_value, seed
        self.parts: dict[str, Any] = {**self.networks, **self.optimizers, **self.schedulers}
        self.stopping = False
        super().__init__(network=networks["model"], optimizer=optimizers["optimizer"], **kwargs)
        if self.scaler is not None:
            self.parts["scaler"] = self.scaler
        spare_workers(self.data_loader)
        self.add_event_handler(Events.EPOCH_STARTED, _set_epoch)
        self.add_event_handler(Events.ITERATION_STARTED, _seed_step)
        self.add_event_handler(IterationEvents.LOSS_COMPLETED, _refuse_bad_loss)
        self.add_event_handler(IterationEvents.BACKWARD_COMPLETED, _clip_gradients)
        self.add_event_handler(IterationEvents.MODEL_COMPLETED, _step_schedulers)
        self.add_event_handler(IterationEvents.MODEL_COMPLETED, _share_buffers)
        self.add_event_handler(IterationEvents.BACKWARD_COMPLETED, _share_loss)
        if average is not None:
            average.attach(self)

    def run(self) -> None:  # type: ignore[override]
        """Train until the last epoch."""
        try:
            with noticed_sigterm(self):
                super().run()
        finally:
            _end_workers(self.data_loader)


def _end_workers(loader: Any) -> None:
    """End persistent workers. The garbage collector would wait 5 s for each, as it closes their queues first."""
    iterator = getattr(loader, "_iterator", None)
    if iterator is not None:
        iterator._shutdown_workers()
        loader._iterator = None


def _set_epoch(engine: Engine) -> None:
    sampler = getattr(engine.data_loader, "sampler", None)
    if isinstance(sampler, EpochSampler):
        done = engine.state.iteration % engine.state.epoch_length
        sampler.epoch, sampler.skip = engine.state.epoch, done * engine.data_loader.batch_size


def _seed_step(engine: Engine) -> None:
    torch.manual_seed(pure_seed("step", engine.seed, engine.state.iteration))


def _refuse_bad_loss(engine: Engine) -> None:
    loss = engine.state.output[CommonKeys.LOSS].detach()
    if not torch.isfinite(loss).all():
        raise _not_finite(engine, "the loss is", loss)


def _clip_gradients(engine: Engine) -> None:
    if engine.scaler is not None and not (engine.clip_norm is None and engine.clip_value is None):
        engine.scaler.unscale_(engine.optimizer)
    parameters = [parameter for parameter in engine.network.parameters() if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters])
    if engine.scaler is None and not torch.isfinite(norm):
        raise _not_finite(engine, "the gradients are", norm)
    if engine.clip_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, engine.clip_norm, norm)
    if engine.clip_value is not None:
        torch.nn.utils.clip_grad_value_(parameters, engine.clip_value)


def _not_finite(engine: Engine, what: str, found: torch.Tensor) -> TrainingError:
    batch = engine.state.batch
    cases = ", ".join(str(case) for case in batch.get("case", ())) if isinstance(batch, Mapping) else ""
    fix = "lower the learning rate, or look at these cases; checkpoints are from before this step"
    where = f"iteration {engine.state.iteration}"
    return TrainingError(Fault("E801", f"{what} not finite at {where}", fix, found=str(float(found)), case=cases))


def _share_buffers(engine: Engine) -> None:
    """Batch normalisation's running statistics: their mean over the processes, each of which saw other samples."""
    for buffer in engine.network.buffers():
        if buffer.is_floating_point():
            average_(buffer)


def _share_loss(engine: Engine) -> None:
    if several():
        loss = engine.state.output[CommonKeys.LOSS].detach().clone()
        average_(loss)
        engine.state.output[CommonKeys.LOSS] = loss


def _step_schedulers(engine: Engine) -> None:
    for scheduler in engine.schedulers.values():
        scheduler.step()
