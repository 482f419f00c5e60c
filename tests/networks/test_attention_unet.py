"""MONAI's Attention U-Net behind the contract of all networks."""

import monai.networks.nets
import torch
from networks.contract import NetworkContract

from medseg.networks import AttentionUnet, ComplementUNet, UNet


class TestAttentionUnet(NetworkContract):
    network = AttentionUnet
    counts = [({"in_channels": 1, "out_channels": 1}, 31_739_185), ({"in_channels": 3, "out_channels": 1}, 31_740_337)]
    biases_before_norm = True


def test_where_sizes_divide_it_is_monais():
    torch.manual_seed(0)
    ours = AttentionUnet(1, 2, width=8).eval()
    torch.manual_seed(0)
    theirs = monai.networks.nets.AttentionUnet(2, 1, 2, [8, 16, 32, 64, 128], [2, 2, 2, 2]).eval()
    images = torch.rand(1, 1, 48, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))  # not equal: our weights are laid out channels last


def test_a_networks_weights_say_whether_it_learnt_the_complement():
    torch.manual_seed(0)
    outside, inside = ComplementUNet(1, 1, width=4), UNet(1, 1, width=4)
    assert set(outside.state_dict()) - set(inside.state_dict()) == {"outside"}
    assert sum(p.numel() for p in outside.parameters()) == sum(p.numel() for p in inside.parameters())
    inside.load_state_dict({k: v for k, v in outside.state_dict().items() if k != "outside"})
    images = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(outside.eval()(images), inside.eval()(images))
