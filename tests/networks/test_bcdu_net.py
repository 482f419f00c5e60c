import pytest
import torch
from networks.contract import NetworkContract, parameter_count
from networks.hooks import seen
from networks.keras_count import keras_total
from torch import nn

from medseg.errors import UsageError
from medseg.networks.bcdu_net import BCDUNet
from medseg.networks.conv_lstm import BidirectionalConvLSTM, ConvLSTM


class TestBCDUNet(NetworkContract):
    network = BCDUNet
    counts = [
        ({"in_channels": 1, "out_channels": 1}, 20_658_821),
        ({"in_channels": 1, "out_channels": 1, "dense_blocks": 1}, 8_861_189 - 896),
    ]


class TestBidirectional(NetworkContract):
    network = BCDUNet
    # beyond the one ConvLSTM of each level: a second, and the 3 x 3 convolution of both outputs with its bias
    counts = [
        (
            {"in_channels": 1, "out_channels": 1, "bidirectional": True},
            20_658_821
            + sum(9 * (2 * f + f) * 4 * f + 4 * f for f in (128, 64, 32))
            + sum(9 * 2 * f * f + f for f in (128, 64, 32)),
        )
    ]
    narrow = {"width": 8, "bidirectional": True, "dense_blocks": 1}


def narrow(**arguments):
    torch.manual_seed(0)
    return BCDUNet(in_channels=1, out_channels=1, **{"width": 8, **arguments})


def image(size=(32, 24)):
    return torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("in_channels", "dense_blocks", "total"), [(1, 1, 8_861_189), (1, 3, 20_659_717), (3, 3, 20_660_869)]
)
def test_keras_counts_the_same_total(in_channels, dense_blocks, total):
    with torch.device("meta"):
        network = BCDUNet(in_channels=in_channels, out_channels=1, dense_blocks=dense_blocks)
    assert keras_total(network) == total


def test_a_sequence_is_the_skip_and_then_the_upsampled_features_read_backwards():
    network = narrow().eval()
    assert [type(up.merge) for up in network.ups] == [ConvLSTM] * 3
    assert all(up.merge.backwards for up in network.ups)
    for depth, up in enumerate(network.ups):
        level = network.levels[2 - depth]
        found = seen(network, image(), level=level, upsampled=up.upsample, merge=up.merge)
        (skip, upsampled), merged = found["merge"]
        assert torch.equal(skip, found["level"][1]) and torch.equal(upsampled, found["upsampled"][1])
        assert merged.shape[1] == skip.shape[1] // 2
        assert merged.shape[2:] == skip.shape[2:]


def test_both_directions_where_asked():
    assert all(isinstance(up.merge, BidirectionalConvLSTM) for up in narrow(bidirectional=True).ups)


def test_dropout_falls_on_the_third_skip_and_not_on_what_is_pooled():
    network = narrow().train()
    found = seen(network, image(), level=network.levels[2], dense=network.dense, merge=network.ups[0].merge)
    plain, (skip, _) = found["level"][1], found["merge"][0]
    positive = plain > 0
    assert torch.equal(found["dense"][0], nn.functional.max_pool2d(plain, 2))
    assert 0.4 < (skip[positive] == 0).float().mean() < 0.6
    kept = positive & (skip != 0)
    torch.testing.assert_close(skip[kept], 2 * plain[kept])
    for depth in (1, 2):
        found = seen(network, image(), level=network.levels[2 - depth], merge=network.ups[depth].merge)
        assert torch.equal(found["merge"][0][0], found["level"][1])


def test_the_third_dense_block_reads_the_second_and_the_first_after_dropout():
    network = narrow().train()
    second, third = network.dense.others
    found = seen(network, image(), first=network.dense.first, second=second, third=third, dense=network.dense)
    assert torch.equal(found["second"][0], found["first"][1])
    assert torch.equal(found["third"][0], torch.cat([found["second"][1], found["first"][1]], dim=1))
    assert torch.equal(found["dense"][1], found["third"][1])
    for block in (network.dense.first, second, third):
        assert [type(layer) for layer in block][-1] is nn.Dropout and block[-1].p == 0.5


def test_dropout_is_off_in_evaluation():
    network = narrow()
    assert torch.equal(network.eval()(image()), network(image()))
    network.train()
    torch.manual_seed(1)
    assert not torch.equal(network(image()), network(image()))


@pytest.mark.parametrize("out_channels", [1, 3])
def test_the_head_has_two_hidden_channels_a_logit(out_channels):
    hidden, _, last = BCDUNet(in_channels=1, out_channels=out_channels, width=8).head
    assert (hidden.out_channels, hidden.kernel_size) == (2 * out_channels, (3, 3))
    assert (last.out_channels, last.kernel_size) == (out_channels, (1, 1))


def test_batch_normalisation_as_in_keras_but_for_its_momentum():
    norms = [module for module in narrow().modules() if isinstance(module, nn.BatchNorm2d)]
    assert [(norm.num_features, norm.eps, norm.momentum) for norm in norms] == [
        (32, 1e-3, 0.1),
        (16, 1e-3, 0.1),
        (8, 1e-3, 0.1),
    ]


def test_weights_begin_as_released():
    network = narrow(width=32)
    lstm = network.ups[0].merge
    for layer, fan_in in [
        (network.levels[2][2], 9 * 128),
        (network.ups[0].upsample[0], 4 * 128),
        (lstm.input, 9 * 128),
    ]:
        assert layer.weight.detach().std() == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)
    assert not network.levels[2][2].bias.any()
    assert lstm.input.bias.chunk(4)[1].tolist() == [1] * 64  # the forget gate stays open


def test_width_scales_everything():
    assert parameter_count(narrow(width=32)) / parameter_count(narrow(width=16)) == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize("setting", [{"dense_blocks": 0}, {"dense_blocks": 1.5}, {"width": 1}])
def test_impossible_settings_are_refused(setting):
    (name,) = setting
    with pytest.raises(UsageError, match=name):
        narrow(**setting)
