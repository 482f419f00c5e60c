"""Networks whose convolutions are quicker on a CPU where the channels of a voxel lie side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.networks.nets import DynUNet, UNet
from torch.overrides import TorchFunctionMode

NETWORKS = (DynUNet, UNet)  # no view of a map that this layout forbids; transformers gain nothing
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def gains(network: object) -> bool:
    """Whether a step with one sample is quicker channels last: by an eighth; group normalisation is slower by far."""
    return isinstance(network, NETWORKS) and not any(isinstance(part, torch.nn.GroupNorm) for part in network.modules())


def channels_last(sample: torch.Tensor) -> torch.Tensor:
    """The same sample (1, C, X, Y[, Z]) with the channels of a voxel side by side; signals (1, C, X) as they are.

    Strides say so for one channel too, for which PyTorch takes either layout for the other.
    """
    if sample.ndim not in FORMATS:
        return sample
    sample = sample.contiguous(memory_format=FORMATS[sample.ndim])
    if sample.shape[1] > 1:
        return sample
    return sample.as_strided(sample.shape, (sample.stride(0), 1, *sample.stride()[2:]))


class OneSample(TorchFunctionMode):
    """Instance normalisation of one sample as the batch normalisation that it is, which keeps the layout.

    PyTorch's instance normalisation copies maps to channels first, and each convolution would turn them round again.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.functional.instance_norm and len(args[0]) == 1 and kwargs["running_mean"] is None:
            return torch.nn.functional.batch_norm(
                args[0], None, None, kwargs["weight"], kwargs["bias"], training=True, eps=kwargs["eps"]
            )
        return func(*args, **kwargs)
