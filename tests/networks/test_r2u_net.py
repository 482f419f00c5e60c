import pytest
import torch
from networks.contract import NetworkContract
from networks.hooks import seen
from torch import nn

from medseg.errors import UsageError
from medseg.networks.r2u_net import R2UNet, RecurrentBlock, RecurrentLayer

GREY, RGB = {"in_channels": 1, "out_channels": 1}, {"in_channels": 3, "out_channels": 1}


class TestR2UNet(NetworkContract):
    network = R2UNet
    counts = [(GREY, 39_091_265), (RGB, 39_091_393), ({**GREY, "steps": 3}, 39_091_265)]


class TestRUNet(NetworkContract):
    network = R2UNet
    counts = [({**GREY, "residual": False}, 39_091_265)]
    narrow = {"width": 8, "residual": False}


class TestR2AttUNet(NetworkContract):
    network = R2UNet
    counts = [({**GREY, "attention": True}, 39_442_797), ({**RGB, "attention": True}, 39_442_925)]
    narrow = {"width": 8, "attention": True, "steps": 1}
    biases_before_norm = True  # of MONAI's gates


def features(channels=3, size=(8, 6)):
    return torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(1))


def narrow(**arguments):
    torch.manual_seed(0)
    return R2UNet(in_channels=1, out_channels=2, width=4, **arguments).eval()


def image():
    return torch.rand(1, 1, 32, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_one_convolution_is_applied_steps_and_one_times(steps):
    network = narrow(steps=steps)
    calls = {}
    layers = [module for module in network.modules() if isinstance(module, RecurrentLayer)]
    for layer in layers:
        convolutions = [module for module in layer.modules() if isinstance(module, nn.Conv2d)]
        assert len(convolutions) == 1
        convolutions[0].register_forward_hook(lambda module, *_: calls.update({module: calls.get(module, 0) + 1}))
    network(image())
    assert len(layers) == len(calls) == 2 * (5 + 4)
    assert set(calls.values()) == {steps + 1}


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_recurrent_layer_worked_out_by_hand(steps):
    layer = RecurrentLayer(channels=1, steps=steps).eval()
    convolution, norm = layer.convolution[0], layer.convolution[1]
    nn.init.zeros_(convolution.weight)
    convolution.weight.data[0, 0, 1, 1] = 0.5  # looks at the pixel itself alone
    nn.init.constant_(convolution.bias, 1.0)
    norm.running_var.fill_(1 - norm.eps)  # so that batch normalisation changes nothing
    given = torch.tensor([[[[4.0, -1.0, -10.0]]]])
    # c(v) = max(0, v / 2 + 1);   4: 3, 4.5, 5.25, 5.625;   -1: 0.5, 0.75, 0.875, 0.9375;   -10: 0 always
    expected = {1: [4.5, 0.75, 0.0], 2: [5.25, 0.875, 0.0], 3: [5.625, 0.9375, 0.0]}[steps]
    torch.testing.assert_close(layer(given).flatten(), torch.tensor(expected))


def test_a_residual_block_adds_what_its_recurrent_layers_read():
    torch.manual_seed(0)
    residual, plain = (RecurrentBlock(3, 5, steps=2, residual=add).eval() for add in (True, False))
    plain.load_state_dict(residual.state_dict())
    projected = residual.project(features())
    first, second = residual.recurrent
    torch.testing.assert_close(plain(features()), second(first(projected)))
    torch.testing.assert_close(residual(features()), second(first(projected)) + projected)


def test_ru_net_and_r2u_net_differ_by_that_alone():
    residual, plain = narrow(), narrow(residual=False)
    plain.load_state_dict(residual.state_dict())
    assert not torch.allclose(residual(image()), plain(image()))
    for module in plain.modules():
        if isinstance(module, RecurrentBlock):
            module.residual = True
    assert torch.equal(residual(image()), plain(image()))


def test_a_skip_is_gated_by_the_upsampled_features_and_joined_first():
    network = narrow(attention=True)
    for index, gate in enumerate(network.gates):
        level, up, merge = network.levels[3 - index], network.ups[index], network.merges[index]
        found = seen(network, image(), level=level, up=up, psi=gate.psi, merge=merge)
        skip, upsampled, weight = (found[name][1] for name in ("level", "up", "psi"))
        expected = torch.relu(gate.W_g(upsampled) + gate.W_x(skip))
        torch.testing.assert_close(found["psi"][0], expected)
        assert weight.shape[1] == 1 and weight.min() > 0 and weight.max() < 1
        torch.testing.assert_close(found["merge"][0], torch.cat([skip * weight, upsampled], dim=1))


def test_without_attention_a_skip_is_joined_as_it_is():
    network = narrow()
    assert len(network.gates) == 0
    found = seen(network, image(), level=network.levels[0], up=network.ups[3], merge=network.merges[3])
    assert torch.equal(found["merge"][0], torch.cat([found["level"][1], found["up"][1]], dim=1))


def test_upsampling_repeats_pixels():
    result = narrow().ups[0][0](torch.tensor([[[[1.0, 2.0]]]]))
    assert result.tolist() == [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]


@pytest.mark.parametrize("setting", [{"steps": 0}, {"steps": 2.5}, {"width": 1}])
def test_impossible_settings_are_refused(setting):
    (name,) = setting
    with pytest.raises(UsageError, match=name):
        R2UNet(**{"in_channels": 1, "out_channels": 1, **setting})
