import math

import numpy as np
import onnxruntime
import pytest
import torch
from networks.contract import NetworkContract
from torch import nn

from medseg.errors import DataError, UsageError
from medseg.networks.unet import UNet, conv_2x2

FORMS = ("padded", "padded_transposed", "ronneberger", "primakov", "bcdu_baseline")


class TestPadded(NetworkContract):
    network = UNet
    counts = [({"in_channels": 1, "out_channels": 1}, 17_266_241)]
    narrow = {"width": 4}


class TestPaddedTransposed(NetworkContract):
    network = UNet
    counts = [({"in_channels": 1, "out_channels": 1, "form": "padded_transposed"}, 31_042_369)]
    narrow = {"width": 3, "form": "padded_transposed"}


class TestRonneberger(NetworkContract):
    network = UNet
    counts = [
        ({"in_channels": 1, "out_channels": 2, "form": "ronneberger"}, 31_030_658),
        ({"in_channels": 1, "out_channels": 1, "form": "ronneberger"}, 31_030_593),
    ]
    narrow = {"width": 2, "form": "ronneberger"}

    @pytest.mark.filterwarnings("ignore")  # tracing warns of every Python number
    def test_an_exported_network_mirrors_images_of_sizes_that_it_was_not_traced_with(self, tmp_path):
        network, path = self.make().eval(), tmp_path / "network.onnx"
        axes = {"image": {2: "x", 3: "y"}}
        torch.onnx.export(network, (self.images(batch=1),), path, input_names=["image"], dynamic_axes=axes,
                          opset_version=17, dynamo=False)  # fmt: skip
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for size in ((37, 51), (110, 2)):
            image = self.images(size, batch=1)
            (found,) = session.run(None, {"image": image.numpy()})
            np.testing.assert_allclose(found, network(image).detach().numpy(), atol=1e-4, rtol=1e-3)


class TestPrimakov(NetworkContract):
    network = UNet
    counts = [({"in_channels": 1, "out_channels": 1, "form": "primakov"}, 31_031_685)]
    narrow = {"width": 4, "form": "primakov"}


class TestBcduBaseline(NetworkContract):
    network = UNet
    counts = [
        ({"in_channels": 3, "out_channels": 1, "form": "bcdu_baseline"}, 9_091_461),
        ({"in_channels": 1, "out_channels": 1, "form": "bcdu_baseline"}, 9_090_309),
    ]
    narrow = {"width": 4, "form": "bcdu_baseline"}


def made(form, width=1, in_channels=1, out_channels=2, **more):
    torch.manual_seed(0)
    return UNet(in_channels, out_channels, width, form, **more).eval()


def image(*size):
    return torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1))


def of_kind(network, *kinds):
    return [module for module in network.modules() if isinstance(module, kinds)]


def seen(network, images, *modules):
    """What goes into and comes out of the modules, in the order of the forward pass."""
    found = []

    def keep(_, given, result):
        found.append((given[0].clone(), result.clone()))

    hooks = [module.register_forward_hook(keep) for module in modules]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return found


def test_ronnebergers_maps_have_the_sizes_and_channels_of_the_papers_first_figure():
    network = made("ronneberger", mirror=False)
    found = seen(network, image(572, 572), *of_kind(network, nn.Conv2d, nn.ConvTranspose2d))
    sizes = (570, 568, 282, 280, 138, 136, 66, 64, 30, 28, 56, 54, 52, 104, 102, 100, 200, 198, 196, 392, 390, 388, 388)
    assert [maps.shape[2:] for _, maps in found] == [(size, size) for size in sizes]
    channels = (64, 64, 128, 128, 256, 256, 512, 512, 1024, 1024,
                512, 512, 512, 256, 256, 256, 128, 128, 128, 64, 64, 64, 128)  # fmt: skip
    assert [64 * maps.shape[1] for _, maps in found] == list(channels)  # the last: two classes, of width 1


def test_ronnebergers_layers():
    network = made("ronneberger")
    *convolutions, last = of_kind(network, nn.Conv2d)
    assert len(convolutions) == 2 * 9 and {(c.kernel_size, c.padding) for c in convolutions} == {((3, 3), (0, 0))}
    assert last.kernel_size == (1, 1) and network.head is last
    ups = of_kind(network, nn.ConvTranspose2d)
    assert [(up.kernel_size, up.stride) for up in ups] == [((2, 2), (2, 2))] * 4
    assert [(up.in_channels, up.out_channels) for up in ups] == [(16, 8), (8, 4), (4, 2), (2, 1)]
    assert [pool.kernel_size for pool in of_kind(network, nn.MaxPool2d)] == [2] * 4
    assert not of_kind(network, nn.BatchNorm2d, nn.Dropout)


def test_ronnebergers_skips_are_cropped_at_the_centre_and_come_first():
    network = made("ronneberger", width=2, mirror=False)
    everything = seen(network, image(204, 220), *network.encoder, *network.ups, *network.decoder)
    skips, steps = everything[:4], everything[5:]
    margins = (4, 16, 40, 88)  # in the figure 64 and 56 differ by twice 4, 136 and 104 by twice 16, and so on
    for (_, skip), (_, up), (joined, _), k in zip(reversed(skips), steps[::2], steps[1::2], margins, strict=True):
        assert torch.equal(joined[:, : skip.shape[1]], skip[:, :, k:-k, k:-k])
        assert torch.equal(joined[:, skip.shape[1] :], up)


@pytest.mark.parametrize(("size", "left"), [(572, 388), (256, 68), (188, 4), (203, 4), (204, 20)])
def test_valid_convolutions_give_the_middle(size, left):
    assert made("ronneberger", mirror=False)(image(size, 188)).shape == (1, 2, left, 4)


def test_an_image_of_which_nothing_would_be_left_is_refused():
    with pytest.raises(DataError, match=r"E204.*188 or more; found \(188, 187\)"):
        made("ronneberger", mirror=False)(image(188, 187))


# 20 = 16 + 4 and 200 need another margin on each side; 3, 2 and 1 are mirrored more than once
@pytest.mark.parametrize("size", [(20, 200), (37, 51), (3, 2), (1, 5)])
def test_mirroring_gives_the_valid_logits_of_a_reflected_image(size):
    whole, small = made("ronneberger", width=2), image(*size)
    reflected = np.pad(small.numpy(), [(0, 0), (0, 0), *((92, 92 + (4 - n) % 16) for n in size)], mode="reflect")
    expected = made("ronneberger", width=2, mirror=False)(torch.from_numpy(reflected))
    assert expected.shape[2] - size[0] in range(16) and expected.shape[3] - size[1] in range(16)
    torch.testing.assert_close(whole(small), expected[:, :, : size[0], : size[1]])


def test_tiles_fit_together_without_a_seam():
    network, large = made("ronneberger", width=2, mirror=False), image(204, 220)
    whole = network(large)
    for x, y in ((0, 0), (16, 16), (0, 32)):
        tile = network(large[:, :, x : x + 188, y : y + 188])
        torch.testing.assert_close(tile, whole[:, :, x : x + 4, y : y + 4])


def test_a_pixels_logits_do_not_depend_on_the_images_size():
    network = made("ronneberger", width=2)
    large, x, y = image(212, 220), 96, 112  # more than the margin from each border, at a multiple of 16
    inside = network(large)[:, :, x : x + 4, y : y + 4]
    alone = made("ronneberger", width=2, mirror=False)(large[:, :, x - 92 : x + 96, y - 92 : y + 96])
    torch.testing.assert_close(inside, alone)


def test_padded_halves_channels_on_the_way_up_alone():
    network = made("padded", width=1)
    convolutions = of_kind(network, nn.Conv2d)
    pairs = [(1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 8), (8, 8), (16, 8), (8, 4),
             (8, 4), (4, 2), (4, 2), (2, 1), (2, 1), (1, 1), (1, 2)]  # fmt: skip
    assert [(c.in_channels, c.out_channels) for c in convolutions] == pairs
    assert len(of_kind(network, nn.BatchNorm2d)) == len(convolutions) - 1
    row = torch.tensor([0.0, 3.0]).expand(1, 1, 2, 2)
    torch.testing.assert_close(network.ups[0](row)[0, 0, 0], torch.tensor([0.0, 1.0, 2.0, 3.0]))  # corners kept


@pytest.mark.parametrize("form", ["primakov", "bcdu_baseline"])
def test_forms_from_keras(form):
    network = made(form, width=2, out_channels=1)
    assert [module.scale_factor for module in of_kind(network, nn.Upsample)] == [2] * len(network.ups)
    row = torch.tensor([1.0, 2.0]).expand(1, 1, 2, 2)
    assert of_kind(network, nn.Upsample)[0](row)[0, 0, 0].tolist() == [1, 1, 2, 2]
    assert {c.kernel_size for c in of_kind(network.ups, nn.Conv2d)} == {(2, 2)}
    before, rectifier, last = network.head
    assert (before.kernel_size, before.out_channels, last.kernel_size) == ((3, 3), 2, (1, 1))
    assert isinstance(rectifier, nn.ReLU) and made(form, out_channels=3).head[0].out_channels == 6
    dropped = [any(isinstance(layer, nn.Dropout) and layer.p == 0.5 for layer in level) for level in network.encoder]
    assert dropped == [False] * (len(dropped) - 2) + [True, True]


def test_a_skip_has_its_levels_dropout():
    network = made("bcdu_baseline", width=4).train()
    *_, (skip_and_up, _) = seen(network, image(16, 16), network.encoder[2], network.decoder[0])
    found = seen(network.eval(), image(16, 16), network.decoder[0])
    zeros = [(maps[:, :16] == 0).float().mean() for maps in (skip_and_up, found[0][0])]
    assert zeros[0] > zeros[1] + 0.1


def test_a_convolution_of_even_side_is_padded_at_the_end():
    layer = conv_2x2(1, 1)
    with torch.no_grad():
        layer[1].weight.copy_(torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]]))
        layer[1].bias.zero_()
    assert layer(torch.ones(1, 1, 2, 3))[0, 0].tolist() == [[1111, 1111, 101], [11, 11, 1]]


@pytest.mark.parametrize("form", FORMS[2:])
def test_weights_without_normalisation_are_drawn_by_the_number_of_values_summed(form):
    network = made(form, width=16)
    for layer in of_kind(network, nn.Conv2d, nn.ConvTranspose2d):
        assert not layer.bias.any()
        if layer.weight.numel() > 20_000:
            summed = layer.in_channels * (1 if isinstance(layer, nn.ConvTranspose2d) else math.prod(layer.kernel_size))
            assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / summed), rel=0.03)


@pytest.mark.parametrize("settings", [{"form": "valid"}, {"mirror": False}, {"mirror": "no", "form": "ronneberger"},
                                      {"width": 0}, {"out_channels": 0}, {"in_channels": 1.5}])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(UsageError, match=rf"E903.*{next(iter(settings))}"):
        UNet(**{"in_channels": 1, "out_channels": 1, **settings})
