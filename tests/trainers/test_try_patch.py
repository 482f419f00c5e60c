import pytest
import torch
from monai.networks.nets import DynUNet

from medseg.errors import UsageError
from medseg.trainers import try_patch

CPU = torch.device("cpu")


def network():
    return DynUNet(3, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 8, 8])


def test_a_size_that_fits_leaves_the_network_as_it_was():
    net = network().train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    try_patch(net, 1, [8, 12, 4], CPU)
    assert net.training and all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize(("channels", "size"), [(1, [8, 10, 8]), (2, [8, 8, 8])])
def test_a_size_that_does_not_fit_is_refused(channels, size):
    with pytest.raises(UsageError, match=r"E903.*the network cannot take a patch of this size \(.+\); found"):
        try_patch(network(), channels, size, CPU)


def test_an_output_of_another_size_is_refused():
    """Convolutions that are not padded leave less than they were given; loss and masks want all of it."""
    with pytest.raises(UsageError, match=r"E903.*another size.*expected \(64, 64\); found \(62, 62\).*mirror=true"):
        try_patch(torch.nn.Conv2d(1, 2, 3), 1, [64, 64], CPU)


@pytest.mark.parametrize(
    ("channels", "labels", "fits"),
    [
        (2, {"background": 0, "liver": 1}, True),
        (1, {"background": 0, "liver": 1}, True),
        (3, {"background": 0, "liver": [1, 2], "tumour": 2}, True),
        (2, {"background": 0, "liver": [1, 2], "tumour": 2}, False),
        (1, {"background": 0, "left": 1, "right": 2}, False),
        (2, {"background": 0, "tumour": 4}, False),
        (1, None, True),
    ],
)
def test_labels_without_a_channel_are_refused(channels, labels, fits):
    net = torch.nn.Conv2d(1, channels, 3, padding=1)
    if fits:
        try_patch(net, 1, [8, 8], CPU, labels)
    else:
        with pytest.raises(UsageError, match=r"E903.*too few channels for the labels background.*out_channels=\d"):
            try_patch(net, 1, [8, 8], CPU, labels)
