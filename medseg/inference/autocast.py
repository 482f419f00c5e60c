"""Lower precision where the machine is quicker at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer, SimpleInferer

from medseg.settings import choice

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
        with torch.autocast(inputs.device.type, self.dtype, enabled=self.dtype != torch.float32):
            output = self.inferer(inputs, network, *args, **kwargs)
        return _as_float(output)


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
