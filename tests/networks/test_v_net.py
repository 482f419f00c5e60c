import warnings

import monai.networks.nets
import pytest
import torch
from networks.contract import parameter_count

from medseg.networks import VNet


def made(dims=2, **kwargs):
    torch.manual_seed(0)
    return VNet(spatial_dims=dims, in_channels=1, out_channels=2, **kwargs)


@pytest.mark.parametrize(("out_channels", "expected"), [(1, 45_593_892), (2, 45_597_898)])
def test_parameter_counts(out_channels, expected):
    with torch.device("meta"):
        network = VNet(spatial_dims=3, in_channels=1, out_channels=out_channels)
        assert network(torch.rand(1, 1, 128, 128, 64)).shape == (1, out_channels, 128, 128, 64)
    assert parameter_count(network) == expected


@torch.no_grad()
def test_volumes_of_any_size():
    network = made(3).eval()
    monais = monai.networks.nets.VNet(spatial_dims=3, in_channels=1, out_channels=2).eval()
    monais.load_state_dict(network.state_dict())
    image = torch.rand(1, 1, 9, 16, 17)
    repeated = torch.cat([image, image[:, :, -1:].expand(-1, -1, 7, -1, -1)], 2)
    repeated = torch.cat([repeated, repeated[..., -1:].expand(-1, -1, -1, -1, 15)], 4)
    torch.testing.assert_close(network(image), monais(repeated)[:, :, :9, :, :17])


def test_a_gradient_reaches_every_parameter_of_an_odd_picture():
    network = made().train()
    images = torch.rand(2, 1, 37, 51)
    torch.nn.functional.cross_entropy(network(images), (images[:, 0] > 0.5).long()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("dims", [2, 3])
def test_dropout_takes_channels_and_never_a_whole_sample(dims):
    drops = [module for module in made(dims).modules() if isinstance(module, torch.nn.modules.dropout._DropoutNd)]
    assert len(drops) == 8  # two of the ways down, two of those up, and the four skips
    maps = torch.ones(2, 64, *[2] * dims)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dropped = [drop.train()(maps)[(..., *[0] * dims)] for drop in drops]
    assert all(0 < (sample > 0).sum() < 64 for channels in dropped for sample in channels)


def test_monais_arguments_go_through():
    assert not [module for module in made(dropout_prob_down=None).down_tr128.children() if "Dropout" in str(module)]
