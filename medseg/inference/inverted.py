"""What a network says is outside of a structure, turned back into the structure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer

from medseg.classical.body import find_body
from medseg.errors import Fault, UsageError

NOWHERE = -1.0e4  # a logit whose sigmoid is 0, in bfloat16 too


class InvertedInferer(Inferer):
    """The logit of what lies in the body and not in the label that the network was trained on.

    For networks trained on `medseg.transforms.InvertWithinBodyd`: of one channel, whose logit changes its sign within
    the body and is below -1000 outside. The body is found in the image that is fed.

    Args:
        inferer: how the network is applied.
        channels: how many the network gives.

    Raises:
        UsageError: E903, `channels` is not 1: what is outside of a label is one.
        ValueError: the network gives more than one channel.
    """

    def __init__(self, inferer: Inferer, channels: int = 1) -> None:
        if channels != 1:
            fix = "leave network_def::out_channels at 1, or train without inverse_mask"
            raise UsageError(Fault("E903", "what is outside of a label is one channel", fix, "1", str(channels)))
        self.inferer = inferer

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Logits (B, 1, X, Y, Z) for `inputs` (B, C, X, Y, Z)."""
        outside = self.inferer(inputs, network, *args, **kwargs)
        if outside.shape[1] != 1:
            raise ValueError(f"what is outside of a label is one channel, found {outside.shape[1]}")
        bodies = [torch.from_numpy(find_body(torch.as_tensor(image[0]).float().cpu().numpy())) for image in inputs]
        inside = torch.stack(bodies)[:, None].to(outside.device)
        return torch.where(inside, -outside, torch.full_like(outside, NOWHERE))
