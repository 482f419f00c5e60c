import copy
import io

import monai.networks.nets
import pytest
import torch
from networks.contract import parameter_count
from networks.in_onnx import assert_onnx_gives_the_same
from networks.one_process import wrapped
from torch.utils.data import DataLoader

from medseg.errors import DataError, UsageError
from medseg.inference import AutocastInferer, ThreadedInferer
from medseg.losses import WithKL, gaussian_kl
from medseg.networks import VarAutoEncoder
from medseg.trainers import SupervisedTrainer, plan_epochs

VOLUME = (128, 128, 64)
REPORTED = [  # the first has kernels of (3, 5, 3, 3) in the report, which no network in 3D can have
    ({"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "img_size": VOLUME, "latent_size": 2,
      "channels": (16, 32, 48, 64), "strides": (2, 2, 2, 2), "kernel_size": (3, 5, 3), "up_kernel_size": (3, 5, 3),
      "num_res_units": 3}, 1_662_287),
    ({"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "img_size": VOLUME, "latent_size": 2,
      "channels": (8, 16, 32, 48), "strides": (2, 2, 2, 2), "kernel_size": 3, "up_kernel_size": 3,
      "num_res_units": 0}, 204_341),
]  # fmt: skip
SMALL = {"spatial_dims": 3, "in_channels": 1, "out_channels": 1, "img_size": (16, 8, 13), "latent_size": 3,
         "channels": (4, 6), "strides": (2, 2)}  # fmt: skip


def made(**kwargs):
    torch.manual_seed(0)
    return VarAutoEncoder(**(SMALL | kwargs))


def monais(network):
    """MONAI's class with the weights of ours; its image divides by the strides, so that nothing is cropped."""
    shape = {"in_shape": (1, 16, 8, 12), "out_channels": 1}
    same = monai.networks.nets.VarAutoEncoder(3, latent_size=3, channels=(4, 6), strides=(2, 2), **shape)
    same.load_state_dict(network.state_dict())
    return same


def images(*size, batch=2):
    return torch.rand(batch, 1, *(size or SMALL["img_size"]), generator=torch.Generator().manual_seed(1))


def loader(items=4):
    volumes = images(batch=items)
    return DataLoader([{"image": image, "label": (image > 0.5).float()} for image in volumes], batch_size=2)


@pytest.mark.parametrize(("arguments", "expected"), REPORTED)
def test_reported_parameter_counts(arguments, expected):
    with torch.device("meta"):
        assert parameter_count(VarAutoEncoder(**arguments)) == expected


@pytest.mark.parametrize(("arguments", "_"), REPORTED)
@torch.no_grad()
def test_reported_networks_predict_a_volume(arguments, _):
    logits = VarAutoEncoder(**arguments).eval()(torch.rand(1, 1, *VOLUME))
    assert logits.shape == (1, 2, *VOLUME) and torch.isfinite(logits).all()


@torch.no_grad()
def test_evaluation_decodes_the_mean_without_a_sigmoid():
    network = made(img_size=(16, 8, 12)).eval()
    same, given = monais(network).eval(), images(16, 8, 12)
    same.use_mean_at_inference = True
    logits = network(given)
    assert logits.min() < 0
    torch.testing.assert_close(torch.sigmoid(logits), same(given)[0])  # MONAI's default has a sigmoid


@torch.no_grad()
def test_training_gives_logits_of_a_draw_with_its_mean_and_variance():
    network = made(img_size=(16, 8, 12)).train()
    same, given = monais(network).train(), images(16, 8, 12)
    torch.manual_seed(5)
    logits, mu, logvar = network(given)
    torch.manual_seed(5)
    expected, expected_mu, expected_logvar, _ = same(given)
    torch.testing.assert_close(torch.sigmoid(logits), expected)
    assert torch.equal(mu, expected_mu) and torch.equal(logvar, expected_logvar)
    assert not torch.equal(network(given)[0], logits)  # another draw


@torch.no_grad()
def test_draws_are_of_the_distribution():
    mu, logvar = torch.tensor([1.0, -2.0]).expand(20_000, 2), torch.tensor([0.0, -1.0]).expand(20_000, 2)
    network = made().train()
    drawn = network.reparameterize(mu, logvar)
    torch.testing.assert_close(drawn.mean(0), mu[0], atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.std(0), torch.exp(0.5 * logvar[0]), atol=0.03, rtol=0)
    assert torch.equal(network.eval().reparameterize(mu, logvar), mu)


def test_a_gradient_reaches_every_parameter():
    network = made().train()
    WithKL(torch.nn.BCEWithLogitsLoss())(network(images()), (images() > 0.5).float()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_it_trains_in_several_processes(tmp_path):
    loss, label = WithKL(torch.nn.BCEWithLogitsLoss()), (images() > 0.5).float()
    with wrapped(made().train(), tmp_path) as network:
        for _ in range(3):
            loss(network(images()), label).backward()
        assert network.module.logvar.weight.grad.any()
        assert isinstance(network.eval()(images()), torch.Tensor)


def kl_after_training(weight, threads=None):
    """The divergence of every loss that a training of ours saw, and the network."""
    network, seen = made(), []

    class Watched(WithKL):
        def forward(self, prediction, label):
            value = super().forward(prediction, label)
            seen.append(float(gaussian_kl(*prediction[1:]).detach().mean()))
            return value

    SupervisedTrainer(
        networks={"model": network}, optimizers={"optimizer": torch.optim.Adam(network.parameters(), 0.02)},
        device="cpu", max_epochs=10, train_data_loader=loader(),
        loss_function=Watched(torch.nn.BCEWithLogitsLoss(), weight),
        inferer=AutocastInferer(ThreadedInferer(), "bfloat16"),
    ).run()  # fmt: skip
    return seen, network


@pytest.mark.usefixtures("two_threads")
def test_it_trains_as_bundles_do_and_the_weight_pulls_the_divergence_down():
    heavy, network = kl_after_training(10.0)
    light, _ = kl_after_training(1e-6)
    assert max(heavy[-4:]) < 1 and min(light[-4:]) > 10  # nats
    again, same = kl_after_training(10.0)
    assert heavy == again and all(
        torch.equal(a, b) for a, b in zip(network.parameters(), same.parameters(), strict=True)
    )


@pytest.mark.usefixtures("two_threads")
def test_threads_are_left_out_where_it_draws_and_used_where_it_does_not():
    network, sizes = made(), []
    network.encode.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    inferer = AutocastInferer(ThreadedInferer(), "bfloat16")
    logits, mu, logvar = inferer(images(), network.train())
    assert logits.dtype == mu.dtype == logvar.dtype == torch.float32 and sizes == [2]
    with torch.no_grad():
        assert inferer(images(), network.eval()).shape == images().shape and sizes == [2, 1, 1]


def test_a_time_budget_is_planned_on_a_copy():
    network = made()
    before = copy.deepcopy(network.state_dict())
    loss = WithKL(torch.nn.BCEWithLogitsLoss())
    assert plan_epochs(1, 0.002, network, AutocastInferer(), loss, loader(), torch.device("cpu")) >= 1
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_state_dict_makes_a_round_trip_and_is_named_as_monais():
    stream, network = io.BytesIO(), made()
    torch.save(network.state_dict(), stream)
    stream.seek(0)
    torch.manual_seed(9)
    other = VarAutoEncoder(**SMALL)
    other.load_state_dict(torch.load(stream, weights_only=True))
    assert torch.equal(network.eval()(images()), other.eval()(images()))


def test_reconstructions_are_those_of_evaluation_whatever_the_mode():
    network = made(dropout=0.5).train()
    found = network.reconstruct(images())
    assert network.training and network.draw.training and not found.requires_grad
    assert torch.equal(found, network.reconstruct(images())) and torch.equal(found, network.eval()(images()))


def test_samples_depend_on_seed_and_index_alone():
    network = made(dropout=0.5).train()
    four = network.sample(4, seed=3)
    torch.rand(7)  # another random state
    assert four.shape == (4, 1, *SMALL["img_size"]) and network.training and not four.requires_grad
    assert torch.equal(network.sample(2, seed=3), four[:2])
    assert not torch.allclose(four[0], four[1]) and not torch.allclose(network.sample(1, seed=4), four[:1])


def test_samples_are_decoded_from_the_prior(monkeypatch):
    network, seen = made(latent_size=64), []
    network.decodeL.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    network.sample(64)
    assert [len(each) for each in seen] == [1] * 64  # one by one: of a batch the last bits hang on its size
    seen = torch.cat(seen)
    assert abs(float(seen.mean())) < 0.05 and abs(float(seen.std()) - 1) < 0.05


@pytest.mark.parametrize("size", [(8, 16, 13), (16, 8, 16)])  # MONAI's would take both, and decode another size
def test_an_image_of_another_size_is_refused(size):
    with pytest.raises(DataError, match=r"E204.*expected \(16, 8, 13\); found \({}, {}, {}\)".format(*size)):
        made()(images(*size))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": (3, 5, 3, 3)}, r"kernel_size has the wrong length; expected 3; found 4: \(3, 5, 3, 3\)"),
        ({"up_kernel_size": (3, 5)}, "up_kernel_size has the wrong length"),
        ({"img_size": (1, 16, 8, 13)}, "img_size has the wrong length"),
        ({"img_size": (16, 8, 0)}, "img_size has no such value"),
        ({"latent_size": 0}, "latent_size has no such value"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UsageError, match=f"E903.*{message}"):
        made(**settings)


def test_no_samples_are_refused():
    with pytest.raises(UsageError, match=r"E903.*setting n "):
        made().sample(0)


@pytest.mark.filterwarnings("ignore")  # tracing warns of every Python number
def test_onnx_runtime_gives_the_same_logits_for_another_batch(tmp_path):
    assert_onnx_gives_the_same(made().eval(), images(), tmp_path / "network.onnx")
