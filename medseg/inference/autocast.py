"""Lower precision where the machine is quicker at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from monai.inferers import Inferer, SimpleInferer
from torch.overrides import TorchFunctionMode

from medseg.settings import choice

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# convolutions, and which of their arguments is the dilation
CONVOLUTIONS = {torch.conv2d: 5, torch.conv3d: 5, torch.conv_transpose2d: 7, torch.conv_transpose3d: 7}


class AutocastInferer(Inferer):
    """Run another inferer under autocast and give float32 back; loss and scores are computed in float32.

    MONAI's ``amp`` knows CUDA alone; this works on CPUs too, in training and in prediction.

    Args:
        inferer: what splits the input into windows; None applies the network to the whole input.
        precision: ``float32`` (no autocast), ``bfloat16`` or ``float16``.

    Raises:
        UsageError: E903, another precision.
    """

    def __init__(self, inferer: Inferer | None = None, precision: str = "float32") -> None:
        self.inferer = SimpleInferer() if inferer is None else inferer
        self.dtype = PRECISIONS[choice("precision", precision, PRECISIONS)]

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What the other inferer gives for `inputs` (B, C, …), in float32."""
        with lowered(inputs.device.type, self.dtype):
            output = self.inferer(inputs, network, *args, **kwargs)
        return _as_float(output)


@contextmanager
def lowered(device_type: str, dtype: torch.dtype) -> Iterator[None]:
    """Autocast; while gradients are recorded on a CPU, maps that are smaller than a kernel are convolved in float32.

    Of such maps (as of 2 x 2 x 2 voxels, which a patch of 32 is on the fifth level) PyTorch 2.13 with oneDNN computes
    the weights' gradients wrongly in lower precision on a CPU: it reads memory that it did not write, which gives other
    bits each time, or values that are no numbers, and with strides it writes beyond its own (the process aborts).
    """
    with torch.autocast(device_type, dtype, enabled=dtype != torch.float32):
        if device_type == "cpu" and dtype != torch.float32 and torch.is_grad_enabled():
            with _SmallMapsInFloat32():
                yield
        else:
            yield


class _SmallMapsInFloat32(TorchFunctionMode):
    """Convolutions of maps that are smaller than the kernel along any axis, without autocast."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in CONVOLUTIONS and len(args) > 1 and _is_small(func, args):
            with torch.autocast("cpu", enabled=False):
                return func(args[0].float(), *args[1:], **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _is_small(convolution: Callable[..., Any], args: Sequence[Any]) -> bool:
    """Whether the maps (B, C, X, Y[, Z]) have fewer voxels along an axis than the kernel reaches over."""
    maps, weight, place = args[0], args[1], CONVOLUTIONS[convolution]
    kernel = weight.shape[2:]
    dilation = args[place] if len(args) > place else 1
    steps = dilation if isinstance(dilation, Sequence) else [dilation] * len(kernel)
    return any(size < step * (n - 1) + 1 for size, step, n in zip(maps.shape[2:], steps, kernel, strict=True))


def best_precision(device: torch.device) -> str:
    """``bfloat16`` where the device computes it natively (Ampere and later; AVX512-BF16 or AMX), else ``float32``."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"
    return "float32"


def _as_float(output: Any) -> Any:
    if isinstance(output, (list, tuple)):
        return type(output)(_as_float(part) for part in output)
    return output.float() if isinstance(output, torch.Tensor) and output.is_floating_point() else output
