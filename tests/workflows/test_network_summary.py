import pytest
import torch
from torch import nn

from medseg.workflows.network_summary import summarise_network


class Shared(nn.Module):
    """A convolution used twice, a parameter of its own, and a part that is never called."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 4, 8, 8))
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.again = nn.Sequential(self.first, nn.BatchNorm2d(4))
        self.steps = nn.ModuleList([nn.Conv2d(4, 4, 1, bias=False), nn.Conv2d(4, 2, 1)])
        self.idle = nn.Linear(3, 5)
        self.first.weight.requires_grad_(False)

    def forward(self, x):
        x = self.again[1](self.first(x)) + self.position
        for step in self.steps:
            x = step(x)
        return x


def test_parameters_shapes_and_operations_by_hand():
    """3 x 3 from 1 to 4 channels: 36 weights and 4 biases; 1 x 1 from 4 to 2: 8 and 2. A multiplication and an addition
    for each weight and pixel of 8 x 8: 2 x (36 + 8) x 64."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    found = summarise_network(network, torch.zeros(1, 1, 8, 8))
    assert [(g.name, g.kind, g.shape, g.parameters) for g in found.groups] == [
        ("0", "Conv2d", (4, 8, 8), 40), ("2", "Conv2d", (2, 8, 8), 10)
    ]  # fmt: skip
    assert (found.name, found.parameters, found.operations, found.patch) == ("Sequential", 50, 5632, (1, 8, 8))


def test_every_parameter_is_counted_once():
    network = Shared()
    found = summarise_network(network, torch.zeros(1, 1, 8, 8))
    assert (
        sum(each.parameters for each in found.groups)
        == found.parameters
        == sum(p.numel() for p in network.parameters())
    )
    assert found.trainable == found.parameters - 36
    by_name = {each.name: each for each in found.groups}
    assert by_name["(position)"].parameters == 256 and by_name["first"].parameters == 40
    assert by_name["steps.0"].shape == (4, 8, 8) and by_name["steps.1"].parameters == 10
    assert by_name["idle"].shape == () and by_name["idle"].parameters == 20


def test_a_network_of_one_layer_and_one_without_parameters():
    assert [each.parameters for each in summarise_network(nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 4, 4)).groups] == [2]
    found = summarise_network(nn.Sequential(nn.ReLU()), torch.zeros(1, 1, 4, 4))
    assert found.groups == () and found.parameters == found.operations == 0


def test_the_network_stays_as_it_was():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    summarise_network(network, torch.ones(1, 1, 8, 8))
    assert network.training and all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network[0]._forward_hooks
    with pytest.raises(RuntimeError):
        summarise_network(network, torch.ones(1, 3, 8, 8))
    assert network.training and not network[0]._forward_hooks
