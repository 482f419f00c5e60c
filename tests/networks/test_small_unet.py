import pytest
import torch
from networks.contract import NetworkContract
from torch import nn

from medseg.errors import UsageError
from medseg.networks.small_unet import SmallUNet


class TestSmallUNet(NetworkContract):
    network = SmallUNet
    counts = [
        ({"in_channels": 1, "out_channels": 1}, 23_017),
        ({"in_channels": 3, "out_channels": 1}, 23_017 + 2 * 9 * 8),
    ]
    narrow = {"width": 4}


def made(width=8):
    torch.manual_seed(0)
    return SmallUNet(in_channels=1, out_channels=1, width=width).eval()


def seen(network, images):
    """The convolutions and what comes out of them, in the order of the forward pass."""
    found = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda layer, _, maps: found.append((layer, maps.clone())))
    with torch.no_grad():
        network(images)
    return found


def test_layers_are_the_kernels():
    found = seen(made(), torch.rand(1, 1, 32, 32))
    assert [(layer.kernel_size[0], maps.shape[1], maps.shape[2]) for layer, maps in found] == [
        (3, 8, 32), (3, 16, 16), (3, 32, 8), (1, 32, 4),
        (2, 32, 8), (2, 24, 16), (2, 16, 32), (1, 64, 32), (1, 1, 32),
    ]  # fmt: skip


def test_skips_join_the_enlarged_maps_before_each_convolution():
    network = made()
    found = []
    for level in (*network.encoder, network.bottom, *network.decoder):
        level.register_forward_hook(lambda _, maps, result: found.append((maps[0], result)))
    with torch.no_grad():
        network(torch.rand(1, 1, 32, 32))
    levels = [maps for _, maps in found[:3]]
    for (maps, _), skip, (_, coarse) in zip(found[4:], reversed(levels), found[3:-1], strict=True):
        enlarged = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
        assert torch.equal(maps, torch.cat([enlarged, skip], 1))


def test_half_of_the_last_maps_are_dropped_in_training_alone():
    network, images = made(), torch.rand(1, 1, 16, 16)
    assert [module.p for module in network.modules() if isinstance(module, nn.Dropout)] == [0.5]
    assert isinstance(network.head[2], nn.Dropout) and torch.equal(network(images), network(images))
    assert not torch.equal(network.train()(images), network(images))


def test_weights_are_drawn_as_keras_does():
    layer = made(width=64).decoder[0][1]  # 2x2, from 512 to 256 channels
    limit = (6 / (4 * (512 + 256))) ** 0.5
    assert float(layer.weight.detach().abs().max()) == pytest.approx(limit, rel=1e-3) and not layer.bias.any()


@pytest.mark.parametrize("name", ["in_channels", "out_channels", "width"])
def test_settings_that_make_no_sense_are_refused(name):
    with pytest.raises(UsageError, match=f"E903.*{name}"):
        SmallUNet(**{"in_channels": 1, "out_channels": 1, name: 0})
