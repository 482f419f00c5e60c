import pytest
import torch
from monai.networks.nets import BasicUNet, DynUNet, UNet

from medseg.inference import AutocastInferer, ThreadedInferer
from medseg.inference.channels_last import OneSample, channels_last, gains

INFERER = AutocastInferer(ThreadedInferer(), "bfloat16")
FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}


def dynunet(axes, **settings):
    return DynUNet(axes, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 8, 8], **settings)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("threads", [1, 2])
def test_all_maps_lie_channels_last(axes, batch_size, threads, request):
    if threads == 2:
        request.getfixturevalue("two_threads")
    network, seen = dynunet(axes), []
    for part in network.modules():
        if isinstance(part, (torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.InstanceNorm2d, torch.nn.InstanceNorm3d)):
            part.register_forward_hook(lambda _part, _inputs, output: seen.append((len(output), output)))
    INFERER(torch.rand(batch_size, 1, *[16] * axes), network).sum().backward()
    assert len(seen) > 10 * batch_size
    assert all(samples == 1 and maps.is_contiguous(memory_format=FORMATS[axes]) for samples, maps in seen)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_one_channel_is_laid_out_too(axes, channels):
    """PyTorch takes the strides of one channel for either layout; its first convolution would choose channels first."""
    sample = torch.rand(1, channels, *range(4, 4 + axes))
    laid = channels_last(sample)
    assert torch.equal(laid, sample)
    assert laid.stride(1) == 1 and laid.stride(-1) == channels


def test_signals_have_one_layout():
    network, inputs = UNet(1, 1, 2, (4, 8), (2,), norm=("instance", {})), torch.rand(2, 1, 16)
    assert torch.allclose(INFERER(inputs, network), network(inputs), atol=0.05)


def test_which_networks_gain():
    assert gains(dynunet(3)) and gains(UNet(3, 1, 2, (4, 8), (2,)))
    assert not gains(dynunet(3, norm_name=("group", {"num_groups": 2})))
    assert not gains(BasicUNet(3, 1, 2)) and not gains(lambda inputs: inputs)


@pytest.mark.parametrize("affine", [False, True])
def test_instance_normalisation_of_one_sample(affine):
    sample = torch.randn(1, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0)).double()
    norm = torch.nn.InstanceNorm3d(3, affine=affine, eps=1e-3).double()
    if affine:
        torch.nn.init.normal_(norm.weight), torch.nn.init.normal_(norm.bias)
    expected = norm(sample)
    with OneSample():
        found = norm(channels_last(sample))
        assert torch.allclose(norm(torch.cat([sample, 2 * sample])), torch.cat([expected, norm(2 * sample)]))
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    assert found.is_contiguous(memory_format=torch.channels_last_3d)


def test_running_statistics_are_not_lost():
    """With them instance normalisation is left as it is."""
    norm = torch.nn.InstanceNorm3d(2, track_running_stats=True)
    with OneSample():
        norm(torch.ones(1, 2, 4, 4, 4))
    assert torch.allclose(norm.running_mean, torch.full((2,), 0.1))
