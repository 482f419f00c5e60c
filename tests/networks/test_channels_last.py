"""Weights of 2D convolutions are laid out with the channels last, which a CPU is quicker with."""

import pytest
import torch

from medseg.networks import AttentionUnet, BCDUNet, MAPNet, MCGUNet, R2UNet, SmallUNet, UNet


@pytest.mark.parametrize("network", [AttentionUnet, BCDUNet, MAPNet, MCGUNet, R2UNet, SmallUNet, UNet])
def test_weights_lie_channels_last_after_loading_too(network):
    made = network(in_channels=3, out_channels=2, width=16)
    made.load_state_dict({name: tensor.contiguous() for name, tensor in made.state_dict().items()})
    weights = [each.weight for each in made.modules() if isinstance(each, torch.nn.Conv2d)]
    assert weights and all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    assert not all(weight.is_contiguous() for weight in weights)  # the layouts do differ
