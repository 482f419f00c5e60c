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
# convolutions, and which of their arguments is the dilation; of all of them the fourth is the stride
CONVOLUTIONS = {torch.conv2d: 5, torch.conv3d: 5, torch.conv_transpose2d: 7, torch.conv_transpose3d: 7}
STRIDE = 3


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
    """Autocast; on a CPU, maps that are smaller than a kernel, or than its stride, are convolved in float32.

    Of such maps (as of 2 x 2 x 2 voxels, which a patch of 32 is on the fifth level) PyTorch 2.13 with oneDNN computes
    some wrongly in lower precision on a CPU: the weights' gradients, and with AMX the maps themselves. It reads memory
    that it did not write, which gives other bits each time, or values that are no numbers, and with strides it writes
    beyond its own (the process aborts).
    """
    with torch.autocast(device_type, dtype, enabled=dtype != torch.float32):
        if device_type == "cpu" and dtype != torch.float32:
            with _SmallMapsInFloat32():
                yield
        else:
            yield


class _SmallMapsInFloat32(TorchFunctionMode):
    """Convolutions of maps that are smaller than the kernel or no larger than the stride along any axis, unlowered."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in CONVOLUTIONS and len(args) > 1 and _is_small(func, args, kwargs or {}):
            with torch.autocast("cpu", enabled=False):
                return func(args[0].float(), *args[1:], **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _is_small(convolution: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether along an axis maps (B, C, X, Y[, Z]) have fewer voxels than a kernel spans, or no more than a stride."""
    kernel = args[1].shape[2:]

    def setting(name: str, place: int) -> Sequence[int]:
        value = args[place] if len(args) > place else kwargs.get(name, 1)
        return value if isinstance(value, Sequence) else [value] * len(kernel)

    axes = zip(args[0].shape[2:], kernel, setting("stride", STRIDE), setting("dilation", CONVOLUTIONS[convolution]),
               strict=True)  # fmt: skip
    return any(size < step * (n - 1) + 1 or size <= stride > 1 for size, n, stride, step in axes)


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
