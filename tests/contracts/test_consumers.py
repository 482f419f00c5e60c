"""MONAI's own consumers take our bundles: the source bundle and the one that a run leaves behind."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow, load, verify_metadata, verify_net_in_out
from monai.fl.client import MonaiAlgo
from monai.fl.utils.exchange_object import ExchangeObject
from runs import ENGINES, monai_run

from medseg.cases import evaluated_cases
from medseg.cases.layouts import find_cases
from medseg.errors import DataError
from medseg.volumes import MASKS
from medseg.workflows.bundles import bundle_names, find_bundle

SCHEMA = Path(__file__).with_name("metadata_schema.json")
BUNDLES = bundle_names()


def roots(bundle, short_run):
    """The source bundle and, of those whose engine is tested, the one that a run leaves behind."""
    return [find_bundle(bundle), *([short_run(bundle) / "bundle"] if bundle in ENGINES else [])]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_properties_are_complete(bundle, phantoms, short_run):
    data = phantoms(bundle)
    for root in roots(bundle, short_run):
        for workflow, name in (("train", "train"), ("infer", "inference")):
            config = ConfigWorkflow(
                str(root / "configs" / f"{name}.yaml"), workflow_type=workflow, dataset_dir=str(data)
            )
            config.initialize()
            assert config.check_properties() == []


@pytest.mark.parametrize("bundle", BUNDLES)
def test_metadata_is_verified_offline(bundle, short_run):
    for root in roots(bundle, short_run):
        verify_metadata(meta_file=str(root / "configs" / "metadata.json"), filepath=str(SCHEMA))


@pytest.mark.parametrize(
    ("key", "value"), [("version", "banana"), ("authors", ""), ("network_data_format", {"inputs": {}, "outputs": {}})]
)
def test_the_schema_is_stricter_than_monais(key, value, tmp_path):
    metadata = json.loads((find_bundle(BUNDLES[0]) / "configs" / "metadata.json").read_text())
    (tmp_path / "metadata.json").write_text(json.dumps(metadata | {key: value}))
    with pytest.raises(ValueError, match="Failed validating"):
        verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=str(SCHEMA))


@pytest.mark.parametrize("bundle", BUNDLES)
def test_network_input_and_output(bundle, short_run):
    for root in roots(bundle, short_run):
        configs = root / "configs"
        verify_net_in_out(
            "network_def", str(configs / "metadata.json"), str(configs / "inference.yaml"), device="cpu", n=4
        )


@pytest.mark.parametrize("bundle", ENGINES)
def test_load_returns_the_trained_network(bundle, short_run):
    root = short_run(bundle) / "bundle"
    network = load(name=root.name, bundle_dir=str(root.parent), device="cpu")
    weights = torch.load(root / "models" / "model.pt", weights_only=True)
    assert {name: tensor.tolist() for name, tensor in network.state_dict().items()} == {
        name: tensor.tolist() for name, tensor in weights.items()
    }


@pytest.mark.parametrize("bundle", ENGINES)
def test_federated_client_trains_one_round(bundle, phantoms, short_run, tmp_path):
    root = shutil.copytree(short_run(bundle) / "bundle", tmp_path / "bundle")
    given = {"dataset_dir": str(phantoms(bundle)), "batch_size": 2}
    client = MonaiAlgo(
        str(root), local_epochs=1, send_weight_diff=False, train_kwargs=dict(given), eval_kwargs=dict(given)
    )
    client.initialize()
    start = ExchangeObject(weights=torch.load(root / "models" / "model.pt", weights_only=True))
    client.train(start)
    after = client.get_weights().weights
    assert any(not torch.equal(after[name], tensor) for name, tensor in start.weights.items())
    scores = client.evaluate(ExchangeObject(weights=after)).metrics
    assert 0 <= scores["val_mean_dice"] <= 1
    client.finalize()


@pytest.mark.parametrize("bundle", ENGINES)
def test_standalone_bundle_runs_from_an_empty_folder(bundle, phantoms, short_run, tmp_path):
    root, data = short_run(bundle) / "bundle", phantoms(bundle)
    for name in ("inference.json", "evaluate.yaml"):
        done = monai_run(tmp_path, root / "configs" / name, "--bundle_root", root, "--dataset_dir", data,
                         "--output_dir", tmp_path / name)  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
    assert [path for path in (tmp_path / "inference.json").iterdir() if path.name.endswith(MASKS)]
    assert (tmp_path / "evaluate.yaml" / "cases.csv").is_file()
    config = yaml.safe_load((root / "configs" / "train.yaml").read_text())
    assert config["dataset_dir"] is None and config["bundle_root"] == "."


@pytest.mark.parametrize("bundle", ENGINES)
def test_an_exported_bundle_knows_without_names_what_it_was_trained_on(bundle, short_run, phantoms, tmp_path):
    bundle_dir = shutil.copytree(short_run(bundle) / "bundle", tmp_path / "elsewhere")
    trained = json.loads((short_run(bundle) / "split.json").read_text())["train"]
    listed = json.loads((bundle_dir / "split.json").read_text())
    assert listed == {"train": [{"digest": {"image": case["digest"]["image"]}} for case in trained]}
    (image,) = next(case.images for case in find_cases(phantoms(bundle)) if case.id == trained[0]["case"])
    cases = {"validate": [{"image": str(image), "case": "under another name"}]}
    with pytest.raises(DataError, match="E502"):
        evaluated_cases(cases, "validate", bundle_dir / "models" / "model.pt")
