import monai.networks.nets
import pytest
import torch
from networks.contract import parameter_count
from networks.in_onnx import assert_onnx_gives_the_same
from networks.one_process import wrapped

from medseg.errors import DataError, UsageError
from medseg.networks import ViTAutoEnc

VOLUME = (128, 128, 64)
REPORTED = {"in_channels": 1, "out_channels": 2, "img_size": VOLUME, "patch_size": (16, 16, 16)}
SPELT_OUT = {"deconv_chns": 16, "hidden_size": 768, "mlp_dim": 3072, "num_layers": 12, "num_heads": 12,
             "proj_type": "conv", "spatial_dims": 3}  # fmt: skip
SMALL = {"in_channels": 1, "out_channels": 2, "img_size": (16, 8, 18), "patch_size": (16, 4, 9),
         "hidden_size": 24, "mlp_dim": 32, "num_layers": 2, "num_heads": 4, "deconv_chns": 4}  # fmt: skip


def made(**kwargs):
    torch.manual_seed(0)
    return ViTAutoEnc(**(SMALL | kwargs))


def images(*size):
    return torch.rand(2, 1, *(size or SMALL["img_size"]), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("more", [{}, SPELT_OUT])
def test_both_reported_configurations_are_one_network(more):
    with torch.device("meta"):  # shapes alone
        network = ViTAutoEnc(**REPORTED, **more)
        assert network(torch.rand(1, 1, *VOLUME)).shape == (1, 2, *VOLUME)
    assert parameter_count(network) == 89_178_386


@torch.no_grad()
def test_logits_are_the_first_of_what_monais_gives():
    network, monais = made().eval(), monai.networks.nets.ViTAutoEnc(**SMALL).eval()
    monais.load_state_dict(network.state_dict())
    logits, hidden = monais(images())
    assert len(hidden) == 2 and logits.shape == (2, 2, *SMALL["img_size"])
    assert torch.equal(network(images()), logits)


def test_a_step_changes_every_parameter_that_is_used():
    network = made().train()
    used = [parameter for parameter in network.parameters() if parameter.requires_grad]
    before = [parameter.detach().clone() for parameter in used]
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    torch.nn.functional.cross_entropy(network(images()), (images()[:, 0] > 0.5).long()).backward()
    optimizer.step()
    assert not any(torch.equal(a, b) for a, b in zip(before, used, strict=True))


def test_it_trains_in_several_processes(tmp_path):
    """MONAI's stops at the second step, since each block has a layer that nothing uses."""
    network = made().train()
    unused = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert unused == [f"blocks.{block}.norm_cross_attn.{part}" for block in (0, 1) for part in ("weight", "bias")]
    with wrapped(network, tmp_path) as network:
        for _ in range(3):
            torch.nn.functional.cross_entropy(network(images()), (images()[:, 0] > 0.5).long()).backward()


def test_pictures():
    network = made(spatial_dims=2, img_size=[8, 18], patch_size=[4, 9])
    assert network(images(8, 18)).shape == (2, 2, 8, 18)


@pytest.mark.parametrize("size", [(8, 16, 18), (16, 8, 9)])  # the former has as many tokens: MONAI's would take it
def test_an_image_of_another_size_is_refused(size):
    with pytest.raises(DataError, match=r"E204.*expected \(16, 8, 18\); found \({}, {}, {}\)".format(*size)):
        made()(images(*size))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"img_size": 96, "patch_size": 12}, "patch_size 4 or 16 for a side of 96; found patch_size 12.*multiple of 4"),
        ({"img_size": 100, "patch_size": 16}, "patch_size 4 or 25 or 100 for a side of 100.*img_size to 96 or 112"),
        ({"img_size": 30, "patch_size": 16}, "expected a side that 4, 9, 16 or 25 divides.*set img_size to 16 or 32"),
        ({"img_size": (16, 16, 18), "patch_size": 4}, "patch_size 9 for a side of 18; found patch_size 4"),
        ({"patch_size": (16, 4)}, "patch_size has the wrong length; expected 3; found 2"),
        ({"patch_size": 16.0}, "patch_size has no such value"),
        ({"img_size": (16, 8, 0)}, "img_size has no such value"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_those_that_do(sizes, message):
    with pytest.raises(UsageError, match=f"E903.*{message}"):
        made(**sizes)


def test_every_patch_that_the_message_names_fits():
    for side in (36, 64, 144):
        with pytest.raises(UsageError) as error:
            made(img_size=side, patch_size=5)
        named = [
            int(part)
            for part in error.value.faults[0].expected.removeprefix("patch_size ").split(" for")[0].split(" or ")
        ]
        assert named == {36: [4, 9, 36], 64: [4, 16, 64], 144: [4, 9, 16, 36, 144]}[side]
        for patch in named:
            made(img_size=side, patch_size=patch, spatial_dims=2)


@pytest.mark.filterwarnings("ignore")  # tracing warns of every Python number
def test_onnx_runtime_gives_the_same_logits_for_another_batch(tmp_path):
    assert_onnx_gives_the_same(made().eval(), images(), tmp_path / "network.onnx")
