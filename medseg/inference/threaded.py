"""The samples of a batch in threads of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeGuard

import torch
from monai.inferers import Inferer, SimpleInferer
from monai.networks.layers import DropPath
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from medseg.inference.autocast import lowered
from medseg.inference.channels_last import OneSample, channels_last, gains

Tensors = Sequence[torch.Tensor | None]


class ThreadedInferer(Inferer):
    """On a CPU, share a batch out to threads, forward and backward, and give each its share of the cores.

    PyTorch runs one operation after another and splits each over the cores, which wait for each other several hundred
    times a step. Two threads with a sample each hardly wait (`tools/bench/train_step.py`). MONAI's ``DynUNet`` and
    ``UNet`` with instance normalisation run sample by sample and channels last, which is quicker again. The same
    machine, threads and batch give the same bits each time. Stands inside `AutocastInferer`.

    A batch is left whole on a GPU, with one thread or sample (but for those two networks), below
    ``DistributedDataParallel``, in float32 (PyTorch's 3D convolution is slow there for one sample on one thread), and
    where samples are not independent of each other or of the order of random draws, or the network keeps something of
    them: batch normalisation, dropout and deep supervision while they train.

    Args:
        inferer: what is applied to each share (B / threads or 1, C, …); None applies the network.

    Raises:
        TypeError: the network gives something else than one tensor (B, …).
    """

    def __init__(self, inferer: Inferer | None = None) -> None:
        self.inferer = SimpleInferer() if inferer is None else inferer
        self.pools: dict[int, ThreadPoolExecutor] = {}  # by the number of their threads

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"pools": {}}  # a copy starts threads of its own

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What the other inferer gives for `inputs` (B, C, …)."""
        threads = min(len(inputs), torch.get_num_threads())
        if inputs.device.type != "cpu" or not torch.is_autocast_enabled("cpu") or not _splits(network):
            return self.inferer(inputs, network, *args, **kwargs)
        one_by_one = gains(network)
        if threads < 2 and not one_by_one:
            return self.inferer(inputs, network, *args, **kwargs)
        shares = len(inputs) if one_by_one else threads
        if threads not in self.pools:
            cores = max(1, torch.get_num_threads() // threads)
            self.pools[threads] = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(cores,))
        pool = self.pools[threads]
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        with_gradients, precision = torch.is_grad_enabled(), torch.get_autocast_dtype("cpu")

        def apply(part: torch.Tensor) -> torch.Tensor:
            # a thread has states of its own
            with torch.set_grad_enabled(with_gradients), lowered("cpu", precision):
                if one_by_one:
                    with OneSample():
                        output = self.inferer(channels_last(part), network, *args, **kwargs)
                else:
                    output = self.inferer(part, network, *args, **kwargs)
            if not isinstance(output, torch.Tensor):
                raise TypeError(f"ThreadedInferer takes networks that give one tensor, found {type(output).__name__}")
            return output

        if with_gradients:
            return _Shared.apply(apply, pool, shares, inputs, *parameters)
        return torch.cat(list(pool.map(apply, inputs.tensor_split(shares))))


def _splits(network: Callable[..., Any]) -> TypeGuard[torch.nn.Module]:
    """Whether each sample's output hangs on that sample alone, and leaves nothing behind in the network."""
    if not isinstance(network, torch.nn.Module) or isinstance(network, torch.nn.parallel.DistributedDataParallel):
        return False
    return not any(_mixes(part) for part in network.modules() if part.training)


def _mixes(part: torch.nn.Module) -> bool:
    """Whether a part that trains joins samples, keeps something of them, or draws for one after the other.

    What drops nothing draws nothing. ``DynUNet`` with deep supervision keeps its heads' outputs as attributes.
    """
    keeps = isinstance(part, _BatchNorm) or any(buffer.is_floating_point() for buffer in part.buffers(recurse=False))
    drops = getattr(part, "p" if isinstance(part, _DropoutNd) else "drop_prob", 0) > 0
    draws = isinstance(part, torch.nn.RReLU) or (isinstance(part, (_DropoutNd, DropPath)) and drops)
    return keeps or draws or getattr(part, "deep_supervision", False) is True


class _Shared(torch.autograd.Function):
    """One node of the graph whose forward and backward run a graph for each share."""

    @staticmethod
    def forward(
        ctx: Any,
        apply: Callable[[torch.Tensor], torch.Tensor],
        pool: ThreadPoolExecutor,
        shares: int,
        inputs: torch.Tensor,
        *parameters: torch.Tensor,
    ) -> torch.Tensor:
        parts = [part.detach().requires_grad_(inputs.requires_grad) for part in inputs.tensor_split(shares)]
        with torch.enable_grad():
            outputs = list(pool.map(apply, parts))
        ctx.pool, ctx.parts, ctx.outputs, ctx.parameters = pool, parts, outputs, parameters
        return torch.cat([output.detach() for output in outputs])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        if torch.is_grad_enabled():  # create_graph: of a gradient penalty nothing would reach the weights, in silence
            raise RuntimeError("ThreadedInferer has no second derivatives; take another inferer for a gradient penalty")
        if ctx.parts is None:
            raise RuntimeError("ThreadedInferer keeps its graph for one backward pass; sum the losses before it")
        wanted = [part for part in ctx.parts if part.requires_grad]
        shares = gradient.split([len(output) for output in ctx.outputs])

        def back(index: int) -> Tensors:
            leaves = [*(ctx.parts[index : index + 1] if wanted else []), *ctx.parameters]
            return torch.autograd.grad(ctx.outputs[index], leaves, shares[index], allow_unused=True)

        of_inputs: list[torch.Tensor | None] = []
        of_parameters: list[torch.Tensor | None] = [None] * len(ctx.parameters)
        for found in ctx.pool.map(back, range(len(ctx.parts))):  # in the order of the samples: the same bits each time
            of_inputs += found[: bool(wanted)]
            of_parameters = list(map(_sum, of_parameters, found[bool(wanted) :]))
        ctx.outputs = ctx.parts = None
        return None, None, None, torch.cat(of_inputs) if wanted else None, *of_parameters


def _sum(one: torch.Tensor | None, other: torch.Tensor | None) -> torch.Tensor | None:
    """The sum of two gradients; None is that of what has no part in the output."""
    if one is None or other is None:
        return other if one is None else one
    return one + other
