"""An exponential moving average of the weights, which validates, predicts and is exported in their place."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents

from medseg.handlers.unwrapped import unwrapped
from medseg.settings import number


class MovingAverage:
    """average <- d average + (1 - d) weights after each step, with d = min(decay, (1 + step) / (10 + step)).

    During an evaluation the averaged weights stand in the network and the trained ones are put back after it.
    Polyak & Juditsky 1992 (doi:10.1137/0330046), with the warm-up of TensorFlow's ``ExponentialMovingAverage``.

    Args:
        network: the network that is trained and that `evaluator` applies.
        decay: 0 switches the average off.
        evaluator: the validation engine.

    Raises:
        UsageError: E903, `decay` is neither 0 nor a number below 1.
    """

    def __init__(self, network: torch.nn.Module, decay: float, evaluator: Engine) -> None:
        self.network, self.evaluator = network, evaluator
        self.decay = decay and number("average_decay", decay, 0.0, 1.0)
        self._average: dict[str, torch.Tensor] = {}
        self._trained: dict[str, torch.Tensor] = {}

    @property
    def active(self) -> bool:
        """Whether there is an average."""
        return bool(self._average)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The averaged weights, named as the network names them."""
        return dict(self._average)

    def load_state_dict(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take averaged weights, of a run that goes on; without an average there is nothing to take."""
        if self.decay:
            self._average = _cloned(weights)

    def trained_state_dict(self) -> dict[str, torch.Tensor]:
        """The weights as trained, also while the averaged ones stand in the network."""
        return dict(self._trained or self._state())

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if self.decay > 0.0:
            engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self._update)
            self.evaluator.add_event_handler(Events.STARTED, self._swap_in)
            self.evaluator.add_event_handler(Events.COMPLETED, self._swap_out)

    @torch.no_grad()
    def _update(self, engine: Engine) -> None:
        current = self._state()
        if not self._average:
            self._average = _cloned(current)
            return
        step = engine.state.iteration - 1
        decay = min(self.decay, (1 + step) / (10 + step))
        once = set({_place(tensor): name for name, tensor in self._average.items()}.values())
        real = [name for name in sorted(once) if current[name].is_floating_point()]
        torch._foreach_lerp_([self._average[name] for name in real], [current[name] for name in real], 1.0 - decay)
        for name in once - set(real):
            self._average[name].copy_(current[name])

    def _swap_in(self, evaluator: Engine) -> None:
        if self._average:
            self._trained = _cloned(self._state())
            unwrapped(self.network).load_state_dict(self._average)

    def _swap_out(self, evaluator: Engine) -> None:
        if self._trained:
            unwrapped(self.network).load_state_dict(self._trained)
            self._trained = {}

    def _state(self) -> dict[str, torch.Tensor]:
        return dict(unwrapped(self.network).state_dict())


def _cloned(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies that share their memory where the originals do (`DynUNet` names many of its tensors twice)."""
    copies = {_place(tensor): tensor.detach().clone() for tensor in state.values()}
    return {name: copies[_place(tensor)] for name, tensor in state.items()}


def _place(tensor: torch.Tensor) -> tuple[object, ...]:
    return tensor.data_ptr(), tensor.shape, tensor.stride()
