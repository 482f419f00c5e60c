"""`monai.bundle ckpt_export` and `onnx_export` as the model card gives them, checked against PyTorch."""

import re
import shlex
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import CenterSpatialCrop, Compose, SpatialPad
from runs import ENGINES, run

from medseg.workflows.bundles import find_bundle


def commands(bundle, name):
    """The model card's command lines that call `name`, without the interpreter."""
    card = (find_bundle(bundle) / "docs" / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in re.findall(rf"^python -m monai\.bundle {name} .*$", card, re.MULTILINE)]


def patches(root, data, size):
    """Real input: (2, C, *size), the middle of two cases, with the edge repeated where a case is smaller."""
    parser = ConfigParser(ConfigParser.load_config_file(str(root / "configs" / "inference.json")))
    parser["dataset_dir"], parser["bundle_root"] = str(data), str(root)
    transform = Compose(parser.get_parsed_content("deterministic"))
    images = [transform(item)["image"] for item in parser.get_parsed_content("images")[:2]]
    size = [*size, *[1] * (3 - len(size))]
    fit = Compose([SpatialPad(size, mode="edge"), CenterSpatialCrop(size)])
    return torch.stack([torch.as_tensor(fit(image)) for image in images])


def decided(logits):
    """Labels of logits (B, C, …)."""
    return logits.argmax(1) if logits.shape[1] > 1 else logits[:, 0] > 0


@pytest.mark.parametrize("bundle", ENGINES)
def test_exported_networks_predict_the_same(bundle, phantoms, tmp_path):
    root = run(bundle, "train", tmp_path / "run", phantoms(bundle)) / "bundle"
    for name in ("ckpt_export", "onnx_export"):
        assert len(commands(bundle, name)) == 1
        for command in commands(bundle, name):
            done = subprocess.run([sys.executable, *command], cwd=root, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-3000:]
    parser = ConfigParser(ConfigParser.load_config_file(str(root / "configs" / "inference.json")))
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(root / "models" / "model.pt", weights_only=True))
    image = patches(root, phantoms(bundle), parser.get_parsed_content("patch_size"))
    if parser["network_def"].get("spatial_dims") != 3:  # a picture is a slice
        image = image[..., 0]
    with torch.no_grad():
        expected = network(image)
        scripted = torch.jit.load(root / "models" / "model.ts").eval()(image)
    assert torch.allclose(scripted, expected, atol=1e-5)
    session = onnxruntime.InferenceSession(root / "models" / "model.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    assert np.allclose(found, expected.numpy(), atol=1e-3)
    assert (decided(found) == decided(expected.numpy())).mean() > 0.9999
