import copy

import pytest
import torch
from monai.inferers import SimpleInferer
from monai.networks.layers import DropPath
from monai.networks.nets import BasicUNet, DynUNet, SegResNet, UNet

from medseg.inference import AutocastInferer, ThreadedInferer

pytestmark = pytest.mark.usefixtures("two_threads")

INPUTS = torch.rand(3, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
WHOLE, SHARED = (AutocastInferer(inferer, "bfloat16") for inferer in (SimpleInferer(), ThreadedInferer()))


NETWORKS = {  # the first runs in shares of the batch; the others sample by sample, channels last
    "segresnet": lambda: SegResNet(3, 4, 1, 2, blocks_down=(1, 1), blocks_up=(1,), norm=("instance", {"affine": True})),
    "dynunet": lambda: DynUNet(3, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2], filters=[4, 8, 8]),
    "unet": lambda: UNet(3, 1, 2, (4, 8, 8), (2, 2), num_res_units=1, bias=False),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    return NETWORKS[request.param]()


def gradients(network, inferer):
    """Of the input, for which an adversarial trainer asks, and of the parameters."""
    network.zero_grad()
    inputs = INPUTS.clone().requires_grad_()
    (inferer(inputs, network) ** 2).mean().backward()
    return [inputs.grad, *(parameter.grad for parameter in network.parameters())]


class Counted(torch.nn.Module):
    """A network that remembers the sizes of the batches it saw."""

    def __init__(self, *parts):
        super().__init__()
        self.parts, self.seen = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3), *parts), []

    def forward(self, inputs):
        self.seen.append(len(inputs))
        return self.parts(inputs)


def same(ones, others, rtol):
    """Equal but for `rtol` of the largest value; DynUNet has heads that are not used: None."""
    return all(
        one is other is None or torch.allclose(one, other, rtol=0, atol=rtol * one.abs().max().item())
        for one, other in zip(ones, others, strict=True)
    )


def test_output_and_gradients_are_those_of_the_whole_batch(network, monkeypatch):
    """In float64, where nothing but a mistake makes a difference; autocast, which only opens the way, is taken out."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: torch.enable_grad())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: True)
    network, found = network.double(), []
    for inferer in (SimpleInferer(), ThreadedInferer()):
        network.zero_grad()
        inputs = INPUTS.double().requires_grad_()
        output = inferer(inputs, network)
        output.square().sum().backward()
        found.append([output.detach(), inputs.grad, *(parameter.grad for parameter in network.parameters())])
    assert type(output.grad_fn).__name__ == "_SharedBackward"
    assert found[0][1].any()
    assert same(*found, rtol=1e-12)


def test_lower_precision_reaches_the_threads(network):
    inside = []
    network.register_forward_hook(lambda _module, _inputs, output: inside.append(output.dtype))
    assert torch.allclose(SHARED(INPUTS, network), WHOLE(INPUTS, network), atol=0.05)
    assert set(inside) == {torch.bfloat16}
    assert same(gradients(network, WHOLE), gradients(network, SHARED), rtol=0.1)


def test_the_same_bits_each_time(network):
    first = [None if gradient is None else gradient.clone() for gradient in gradients(network, SHARED)]
    assert all(same(first, gradients(network, SHARED), rtol=0.0) for _ in range(5))


def test_a_gradient_of_a_gradient_is_refused(network):
    """A gradient penalty would reach no weight, in silence."""
    inputs = INPUTS.clone().requires_grad_()
    with pytest.raises(RuntimeError, match="no second derivatives"):
        torch.autograd.grad(SHARED(inputs, network).sum(), inputs, create_graph=True)


def test_a_graph_serves_one_backward_pass(network):
    value = SHARED(INPUTS, network).sum()
    value.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward pass"):
        value.backward()


def test_a_copy_after_use_works_as_the_first():
    network = Counted()
    SHARED(INPUTS, network)
    copy.deepcopy(SHARED)(INPUTS, network)
    assert sorted(network.seen) == [1, 1, 2, 2]


def test_the_batch_is_shared_out():
    network = Counted()
    SHARED(INPUTS, network)
    with torch.no_grad():
        output = SHARED(INPUTS, network)
    assert sorted(network.seen) == [1, 1, 2, 2]
    assert not output.requires_grad and torch.allclose(output, network(INPUTS), atol=0.02)


@pytest.mark.parametrize("part", [
    torch.nn.BatchNorm3d(2), torch.nn.BatchNorm3d(2, track_running_stats=False), torch.nn.Dropout3d(0.5),
    DropPath(0.5), torch.nn.RReLU(), torch.nn.InstanceNorm3d(2, track_running_stats=True),
    torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv3d(2, 2, 1)),
])  # fmt: skip
def test_samples_that_hang_together_stay_together(part):
    network = Counted(part)
    SHARED(INPUTS, network)
    network.eval()
    SHARED(INPUTS, network)
    assert network.seen[0] == 3 and sorted(network.seen[1:]) == [1, 2]


def test_deep_supervision_leaves_the_batch_whole():
    """DynUNet keeps its heads' outputs as attributes, which threads would overwrite."""
    torch.manual_seed(0)
    settings = {"filters": [4, 8, 8, 8], "deep_supervision": True, "deep_supr_num": 1}
    network = DynUNet(3, 1, 2, [3] * 4, [1, 2, 2, 2], [2] * 3, **settings)
    assert torch.equal(SHARED(INPUTS, network), WHOLE(INPUTS, network))


def test_dropout_of_nothing_is_no_dropout():
    """Transformers hold such, where their configuration drops nothing."""
    network = Counted(torch.nn.Dropout(0.0))
    SHARED(INPUTS, network)
    assert sorted(network.seen) == [1, 2]


def test_one_sample_or_float32_or_one_thread_is_not_shared():
    network = Counted()
    SHARED(INPUTS[:1], network)
    AutocastInferer(ThreadedInferer(), "float32")(INPUTS, network)
    torch.set_num_threads(1)
    SHARED(INPUTS, network)
    assert network.seen == [1, 3, 3]


def test_what_is_not_a_module_is_applied_as_it_is():
    assert torch.equal(SHARED(INPUTS, lambda inputs: inputs + 1), INPUTS + 1)


def test_networks_that_give_several_tensors():
    class Two(torch.nn.Module):
        def forward(self, inputs):
            return inputs, inputs

    with pytest.raises(TypeError, match="one tensor, found tuple"):
        SHARED(INPUTS, Two())


def test_errors_in_a_thread_are_raised():
    network = BasicUNet(3, 2, 2, features=(4, 4, 4, 4, 4, 4), norm=("instance", {})).eval()
    with pytest.raises(RuntimeError, match="channels"):
        SHARED(INPUTS, network)
