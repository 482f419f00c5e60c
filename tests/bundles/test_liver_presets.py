"""The configurations of the report on liver segmentation, as the bundle's files build them, at the report's size."""

import pytest
import torch

from medseg.workflows.bundles import config_files, find_bundle
from medseg.workflows.preflight import merge

SIZE = [128, 128, 64]
# parameters, optimizer, learning rate, weight decay, epochs, as SEEDS' tables 3, 5, 7 and 9 have them; None: not stated
CONFIGURATIONS = {
    "unet_c1": (4_808_917, "Adam", 1e-5, 1e-5, 80),
    "unet_c2": (4_808_917, "SGD", 1e-3, None, 80),
    "unet_c3": (4_808_917, "RMSprop", 1e-5, None, 80),
    "autoencoder_c1": (10_145, None, None, None, 500),
    "autoencoder_c2": (10_689, None, None, None, 500),
    "vit_c1": (89_178_386, None, None, None, 10),
    "vit_c2": (89_178_386, None, None, None, 600),
    "vae_c1": (1_662_287, "SGD", None, None, 600),
    "vae_c2": (204_341, "Adam", None, None, 600),
}
ALIKE = {"unet_c2": "unet_c1", "unet_c3": "unet_c1", "vit_c2": "vit_c1"}  # one network


def preset(method):
    root = find_bundle("liver_ct")
    parser = merge(config_files(root, "train", method), {"bundle_root": str(root)})
    parser.parse()
    return parser


@pytest.mark.parametrize("method", CONFIGURATIONS)
def test_every_setting_that_the_report_names(method):
    parameters, optimizer, rate, decay, epochs = CONFIGURATIONS[method]
    parser = preset(method)
    config = parser.config
    assert config["spacing_mm"] == [1.5, 1.5, 1.0] and config["resize"] == SIZE and config["tumour_in_liver"] is True
    assert config["epochs"] == epochs
    network = parser.get_parsed_content("network_def")
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    built = parser.get_parsed_content("train::optimizer")
    assert optimizer in (None, type(built).__name__)
    assert rate is None or built.defaults["lr"] == rate
    assert decay is None or built.defaults["weight_decay"] == decay
    if method == "unet_c1":
        assert built.defaults["amsgrad"] is True
    if method == "unet_c3":
        assert built.defaults["momentum"] == 0.9
    loss = parser.get_parsed_content("train::loss")
    inner = getattr(loss, "loss", loss)
    assert (inner.to_onehot_y, inner.sigmoid, inner.squared_pred) == (True, True, True)


@pytest.mark.parametrize("method", [name for name in CONFIGURATIONS if name not in ALIKE])
def test_every_configuration_trains_a_step_and_predicts_a_volume(method):
    parser = preset(method)
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def").train()
    loss, optimizer = (parser.get_parsed_content(f"train::{name}") for name in ("loss", "optimizer"))
    inferer = parser.get_parsed_content("train::inferer")
    image, label = torch.randn(1, 1, *SIZE), torch.zeros(1, 1, *SIZE)
    label[..., 32:64, 32:64, 16:32] = 1
    before = [parameter.detach().clone() for parameter in network.parameters()]
    value = loss(inferer(image, network), label)
    value.backward()
    optimizer.step()
    assert torch.isfinite(value)
    assert any(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    with torch.no_grad():
        logits = inferer(image, network.eval())
    assert logits.shape == (1, 2, *SIZE) and torch.isfinite(logits).all()
