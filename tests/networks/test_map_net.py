import pytest
import torch
from networks.contract import NetworkContract
from torch import nn

from medseg.errors import UsageError
from medseg.networks.map_net import ChannelSqueeze, MAPNet, SpatialPooling


class TestMAPNet(NetworkContract):
    network = MAPNet
    counts = [
        ({"in_channels": 3, "out_channels": 1}, 24_001_184),
        ({"in_channels": 1, "out_channels": 1}, 24_000_032),
    ]
    narrow = {"width": 4}


@pytest.fixture(scope="module")
def full():
    """The network at the paper's width, and what goes into and comes out of its parts for an image of 64 x 96."""
    torch.manual_seed(0)
    network = MAPNet(in_channels=3, out_channels=1).eval()
    return network, seen(network, torch.rand(1, 3, 64, 96))


def seen(network, images):
    """What goes into and comes out of each module of the network, by its name."""
    found = {}

    def hook(name):
        def keep(_, given, result):
            found[name] = given[0], result

        return keep

    hooks = [module.register_forward_hook(hook(name)) for name, module in network.named_modules()]
    with torch.no_grad():
        network(images)
    for each in hooks:
        each.remove()
    return found


def shapes(paths):
    return [tuple(path.shape[1:]) for path in paths]


def repeated(maps, times):
    """Each pixel as a square of `times` pixels a side."""
    return maps.repeat_interleave(times, 2).repeat_interleave(times, 3)


def layers(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def test_paths_have_a_quarter_an_eighth_and_a_sixteenth_of_the_image(full):
    _, found = full
    quarter, eighth, sixteenth = (64, 16, 24), (128, 8, 12), (256, 4, 6)
    assert shapes([found["stem"][1], found["stage1"][1]]) == [(64, 16, 24), (256, 16, 24)]
    for name in ("transition1", "stage2.0", "stage2.1"):
        assert shapes(found[name][1]) == [quarter, eighth], name
    for name in ("transition2", "stage3.0", "stage3.1", "stage3.2"):
        assert shapes(found[name][1]) == [quarter, eighth, sixteenth], name


def test_a_transition_convolves_each_path_and_takes_the_new_one_from_the_last(full):
    network, found = full
    layer = network.transition2
    with torch.no_grad():
        fine, middle = found["stage2.1"][1]
        expected = [layer.paths[0](fine), layer.paths[1](middle), layer.new(middle)]
    for path, wanted in zip(found["transition2"][1], expected, strict=True):
        torch.testing.assert_close(path, wanted)


def test_channels_are_squeezed_by_weights_between_0_and_1(full):
    network, found = full
    maps, squeezed = found["squeeze"]
    _, weights = found["squeeze.weights"]
    assert shapes([maps]) == [(448, 16, 24)] and weights.shape == (1, 448)
    assert 0 < weights.min() < weights.max() < 1
    torch.testing.assert_close(squeezed, maps * weights.reshape(1, 448, 1, 1))
    one, _, two, _ = network.squeeze.weights
    assert [(one.in_features, one.out_features), (two.in_features, two.out_features)] == [(448, 448)] * 2
    torch.testing.assert_close(weights, torch.sigmoid(two(torch.relu(one(maps.mean(3).mean(2))))))


def test_spatial_pooling_sees_the_two_coarse_paths_alone(full):
    _, found = full
    maps, pooled = found["pooling"]
    assert shapes([maps, pooled]) == [(384, 16, 24), (1920, 16, 24)]
    paths = found["stage3.2"][1]
    coarse = [found[f"enlarge.{n}.0"][1] for n in (0, 1)]
    enlarged = [repeated(each, times) for each, times in zip(coarse, (2, 4), strict=True)]
    assert torch.equal(maps, torch.cat(enlarged, 1))
    assert torch.equal(found["squeeze"][0], torch.cat([*enlarged, paths[0]], 1))
    assert torch.equal(found["head.0"][0], torch.cat([pooled, found["squeeze"][1]], 1))


def test_the_last_module_of_stage_3_alone_does_not_fuse():
    torch.manual_seed(0)
    network = MAPNet(1, 1, 4).eval()
    for module, fuses in zip(network.stage3, (True, True, False), strict=True):
        paths = [torch.rand(1, n, side, side, requires_grad=True) for n, side in ((4, 8), (8, 4), (16, 2))]
        for target, path in enumerate(module(paths)):
            grads = torch.autograd.grad(path.sum(), paths, allow_unused=True, retain_graph=True)
            assert [grad is not None for grad in grads] == [fuses or source == target for source in range(3)]


def test_a_fusion_adds_the_other_paths_at_its_size():
    torch.manual_seed(0)
    stage = MAPNet(1, 1, 2).eval().stage3[0]
    paths = [torch.rand(1, n, side, side) for n, side in ((2, 16), (4, 8), (8, 4))]
    with torch.no_grad():
        own, fused = stage.blocks(paths), stage(paths)
        exchange = stage.exchange
        for target, path in enumerate(own):
            expected = path.clone()
            for source, other in enumerate(own):
                if source > target:  # 1x1 to the target's channels, then each pixel 2^k times
                    times = 2 ** (source - target)
                    expected += repeated(exchange[target][source][0](other), times)
                for step in range(target - source):  # 1x1, then the largest of 2x2; channels change at the last
                    convolved = exchange[target][source][2 * step](other)
                    last = step == target - source - 1
                    assert convolved.shape[1] == (path if last else other).shape[1]
                    n, c, x, y = convolved.shape
                    other = convolved.reshape(n, c, x // 2, 2, y // 2, 2).amax((3, 5))
                if source < target:
                    expected += other
            torch.testing.assert_close(fused[target], expected)


def test_blocks_and_convolutions_are_counted_as_in_the_authors_code():
    network = MAPNet(1, 1, 2)
    kinds = {(3, 1): 0, (3, 2): 0, (1, 1): 0}
    for layer in layers(network, nn.Conv2d):
        assert layer.bias is None
        kinds[layer.kernel_size[0], layer.stride[0]] += 1
    blocks = 2 * 2 * 4 + 3 * 3 * 4  # modules, paths, residual blocks
    # stem, bottlenecks, residual blocks, transitions, head; and the strided ones: stem and two new paths
    assert kinds[3, 1] == 2 + 4 + 2 * blocks + 1 + 2 + 2 and kinds[3, 2] == 3
    # bottlenecks and their projection, exchanges (one for each pair; two of them in two steps), enlarging, head
    assert kinds[1, 1] == 2 * 4 + 1 + 2 * 2 + 2 * 7 + 2 + 2


def test_all_convolutions_but_the_stems_follow_normalisation_and_relu():
    network = MAPNet(1, 1, 2)
    convolved = [module for name, module in network.named_modules()
                 if isinstance(module, nn.Sequential) and not name.startswith("stem")
                 and len(module) == 3 and isinstance(module[0], nn.BatchNorm2d)]  # fmt: skip
    assert all(isinstance(module[1], nn.ReLU) for module in convolved)
    assert len(convolved) == len(layers(network, nn.Conv2d)) - 3


@pytest.mark.parametrize(("given", "momentum"), [({}, 0.1), ({"norm_momentum": 0.01}, 0.01)])
def test_the_momentum_of_batch_normalisation(given, momentum):
    norms = layers(MAPNet(1, 1, 2, **given), nn.BatchNorm2d)
    assert {(norm.momentum, norm.eps) for norm in norms} == {(momentum, 1e-3)}


@pytest.mark.parametrize("momentum", [0, 1, -0.1, "fast"])
def test_a_momentum_that_makes_no_sense_is_refused(momentum):
    with pytest.raises(UsageError, match=r"E903.*norm_momentum"):
        MAPNet(1, 1, 2, norm_momentum=momentum)


def test_weights_are_drawn_with_the_variance_of_one_over_the_number_of_values_summed(full):
    network, _ = full
    for layer in layers(network, nn.Conv2d):
        weights = layer.weight.detach()
        deviation = weights[0].numel() ** -0.5
        assert float(weights.abs().max()) <= 2 * deviation / 0.8796 + 1e-6
        if weights.numel() > 30_000:
            assert float(weights.std()) == pytest.approx(deviation, rel=0.03)
    assert all(not layer.bias.any() for layer in layers(network, nn.Linear))


def test_spatial_pooling_of_a_map_by_hand():
    pooled = SpatialPooling()(torch.arange(36.0).reshape(1, 1, 6, 6))
    assert pooled.shape == (1, 5, 6, 6)
    twos, threes, fives, sixes, maps = pooled[0]
    assert twos[0].tolist() == pytest.approx([7, 7.5, 8.5, 9.5, 10.5, 11])  # between 7, 9 and 11
    assert threes[0].tolist() == pytest.approx([14, 14, 15, 16, 17, 17])
    torch.testing.assert_close(fives, torch.full((6, 6), 28.0))
    torch.testing.assert_close(sixes, torch.full((6, 6), 35.0))
    assert torch.equal(maps, torch.arange(36.0).reshape(6, 6))


def test_a_strided_convolution_looks_at_the_second_of_each_pair():
    network = MAPNet(1, 1, 2)
    pad, layer = network.stem[0]
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, :, 1, 1] = 1
        found = layer(pad(torch.arange(16.0).reshape(1, 1, 4, 4)))
    assert found[0, 0].tolist() == [[5, 7], [13, 15]]


@pytest.mark.parametrize(("size", "inside"), [((33, 64), (48, 64)), ((5, 17), (32, 32)), ((64, 48), (64, 48))])
def test_images_are_padded_to_a_multiple_of_16_of_at_least_32(size, inside):
    network, images = MAPNet(1, 2, 2).eval(), torch.rand(1, 1, *size)
    found = seen(network, images)
    assert found["stem"][0].shape[2:] == inside and found["head"][1].shape[2:] == inside
    assert torch.equal(found[""][1], found["head"][1][:, :, : size[0], : size[1]])


def test_logits_go_below_0_and_above_1():
    network, images = MAPNet(1, 1, 2).eval(), torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        network.head[-1][-1].weight.mul_(1e3)
        low, high = network(images).aminmax()
        assert max(-low, high) > 1
        network.head[-1][-1].weight.neg_()
        torch.testing.assert_close(network(images).aminmax(), torch.return_types.aminmax((-high, -low)))


def test_the_squeeze_of_constant_maps_by_hand():
    squeeze = ChannelSqueeze(2)
    with torch.no_grad():
        squeeze.weights[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        squeeze.weights[2].weight.copy_(torch.eye(2))
        for n in (0, 2):
            squeeze.weights[n].bias.zero_()
        maps = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4)
        sigmoid_1 = 1 / (1 + torch.exp(torch.tensor(-1.0)))
        torch.testing.assert_close(squeeze(maps)[0, :, 0, 0], torch.stack([sigmoid_1, torch.tensor(1.5)]))


@pytest.mark.parametrize(("name", "value"), [("in_channels", 0), ("out_channels", 0), ("width", 1)])
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(UsageError, match=f"E903.*{name}"):
        MAPNet(**{"in_channels": 1, "out_channels": 1, name: value})
