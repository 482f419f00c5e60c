import monai.networks.nets
import pytest
import torch
from networks.contract import NetworkContract

from medseg.networks import AutoEncoder

VOLUME = (128, 128, 64)
REPORTED = [  # of the report on liver segmentation with autoencoders: arguments and parameters
    ({"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": (4,), "strides": (2,),
      "inter_channels": (8, 8, 8), "inter_dilations": (1, 2, 4), "num_inter_units": 2}, 10_145),
    ({"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": (2, 4, 8), "strides": (2, 2, 2),
      "kernel_size": (3, 5, 3), "up_kernel_size": (3, 5, 3), "num_res_units": 2}, 10_689),
]  # fmt: skip


class TestAutoEncoder(NetworkContract):
    network = AutoEncoder
    counts = REPORTED
    narrow = {"spatial_dims": 2, "channels": (8, 16), "strides": (2, 2), "num_res_units": 1}


@pytest.mark.parametrize(("arguments", "_"), REPORTED)
@torch.no_grad()
def test_reported_networks_predict_a_volume(arguments, _):
    logits = AutoEncoder(**arguments).eval()(torch.rand(1, 1, *VOLUME))
    assert logits.shape == (1, 2, *VOLUME) and torch.isfinite(logits).all()


@pytest.mark.parametrize(("arguments", "_"), REPORTED)
def test_reported_networks_train_a_step(arguments, _):
    torch.manual_seed(0)
    network, images = AutoEncoder(**arguments).train(), torch.rand(2, 1, 24, 17, 16)
    optimizer = torch.optim.SGD(network.parameters(), 0.05)
    weights = [weight for name, weight in network.named_parameters() if not name.endswith("bias")]
    before = [weight.detach().clone() for weight in weights]
    loss = torch.nn.functional.cross_entropy(network(images), (images[:, 0] > 0.5).long())
    loss.backward()
    optimizer.step()
    assert loss.isfinite() and not any(torch.equal(a, b) for a, b in zip(before, weights, strict=True))


@torch.no_grad()
def test_logits_begin_where_monais_do():
    arguments = REPORTED[1][0]
    ours, monais = AutoEncoder(**arguments).eval(), monai.networks.nets.AutoEncoder(**arguments).eval()
    monais.load_state_dict(ours.state_dict())
    even, odd = torch.rand(1, 1, 16, 24, 32), torch.rand(1, 1, 13, 17, 32)
    assert torch.equal(ours(even), monais(even))
    assert monais(odd).shape[2:] == (16, 24, 32) and torch.equal(ours(odd), monais(odd)[:, :, :13, :17])
