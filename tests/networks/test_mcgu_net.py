import pytest
import torch
from monai.networks.blocks import ChannelSELayer
from networks.contract import NetworkContract
from networks.hooks import seen
from networks.keras_count import keras_total
from torch import nn

from medseg.errors import UsageError
from medseg.networks.conv_lstm import BidirectionalConvLSTM, ConvLSTM
from medseg.networks.mcgu_net import MCGUNet


class TestMCGUNet(NetworkContract):
    network = MCGUNet
    counts = [
        ({"in_channels": 3, "out_channels": 1}, 27_891_901 - 896),
        ({"in_channels": 1, "out_channels": 1}, 27_890_749 - 896),
    ]
    narrow = {"width": 16}  # at 8 some of the gates' one or two hidden units give 0 to all images


def narrow(**arguments):
    torch.manual_seed(0)
    return MCGUNet(in_channels=1, out_channels=1, **{"width": 8, **arguments})


def image():
    return torch.rand(1, 1, 32, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("in_channels", "total"), [(3, 27_891_901), (1, 27_890_749)])
def test_keras_counts_the_same_total(in_channels, total):
    with torch.device("meta"):
        network = MCGUNet(in_channels=in_channels, out_channels=1)
    assert keras_total(network) == total


def test_the_encoder_is_the_beginning_of_vgg16():
    with torch.device("meta"):
        network = MCGUNet(in_channels=3, out_channels=1)
    blocks = [*network.levels, network.dense.first]
    shapes = [[tuple(layer.weight.shape[:2]) for layer in block if isinstance(layer, nn.Conv2d)] for block in blocks]
    assert shapes == [
        [(64, 3), (64, 64)],
        [(128, 64), (128, 128)],
        [(256, 128), (256, 256), (256, 256)],
        [(512, 256), (512, 512), (512, 512)],
    ]


def test_dropout_stands_behind_the_second_and_third_dense_block_alone():
    network = narrow()
    dropouts = [module for module in network.modules() if isinstance(module, nn.Dropout)]
    assert dropouts == [block[-1] for block in network.dense.others]
    assert len(dropouts) == 2


def test_the_lstm_has_as_many_channels_as_its_level_and_reads_backwards():
    network = narrow()
    assert [up.merge.recurrent.in_channels for up in network.ups] == [32, 16, 8]
    assert all(isinstance(up.merge, ConvLSTM) and up.merge.backwards for up in network.ups)
    assert all(isinstance(up.merge, BidirectionalConvLSTM) for up in narrow(bidirectional=True).ups)


def test_channels_are_weighted_before_batch_normalisation_and_at_the_end_of_a_level():
    network = narrow(width=32).eval()
    assert [type(layer) for layer in network.ups[0].upsample] == [
        nn.ConvTranspose2d,
        ChannelSELayer,
        nn.BatchNorm2d,
        nn.ReLU,
    ]
    for up in network.ups:
        found = seen(network, image(), squeeze=up.squeeze, convolutions=up.convolutions, up=up)
        given, weighted = found["squeeze"]
        assert torch.equal(given, found["convolutions"][1]) and torch.equal(weighted, found["up"][1])
        ratio = (weighted / given)[0].flatten(1)
        for channel in ratio:
            weight = channel[channel.isfinite()]  # not where ReLU gave 0
            if len(weight):
                assert weight.min() > 0 and weight.max() < 1
                torch.testing.assert_close(weight, weight[:1].expand_as(weight))


def test_the_reduction_is_sixteen_and_leaves_at_least_one_channel():
    hidden = [[up.upsample[1].fc[0].out_features, up.squeeze.fc[0].out_features] for up in narrow(width=32).ups]
    assert hidden == [[8, 8], [4, 4], [2, 2]]
    assert narrow().ups[-1].squeeze.fc[0].out_features == 1


def test_impossible_settings_are_refused():
    with pytest.raises(UsageError, match="width"):
        narrow(width=1)
