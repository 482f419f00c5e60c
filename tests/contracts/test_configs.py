"""What DESIGN asks of every bundle's files."""

import copy
import itertools
import re

import pytest
import torch
from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from medseg.workflows.bundles import bundle_names, config_files, find_bundle, methods
from medseg.workflows.export import shared_ids
from medseg.workflows.preflight import merge, preflight
from medseg.workflows.prepare import READ_BY_NAME, read_keys

BUNDLES = bundle_names()
KEPT_LISTS = ("initialize", "finalize", "train::handlers", "validate::handlers")


ENGINE = ("planned_epochs", "train::sampler", "train::dataloader", "train::scheduler", "train::average",
          "train::handlers", "train::trainer", "validate::sampler", "validate::dataloader", "validate::key_metric",
          "validate::to_native_grid", "validate::postprocessing", "validate::evaluator",
          "initialize", "run", "finalize")  # fmt: skip


def configs(bundle):
    return find_bundle(bundle) / "configs"


def load(*paths):
    return ConfigParser(ConfigParser.load_config_files([str(path) for path in paths]))


def merge_dicts(*parts):
    """As MONAI merges files."""
    parser = ConfigParser({})
    for part in parts:
        for key, value in copy.deepcopy(part).items():
            merge_kv(parser, key, value)
    return parser


@pytest.mark.parametrize("bundle", BUNDLES)
def test_training_and_inference_agree(bundle):
    train, inference = load(configs(bundle) / "train.yaml"), load(configs(bundle) / "inference.yaml")
    shared = shared_ids(inference.config, train.config)
    assert {"network_def", "deterministic", "inferer", "labels"} <= set(shared)
    assert {own for own, theirs in shared.items() if inference[own] != train[theirs]} == set()
    posts = [
        [config[step[1:]] if isinstance(step, str) else step for step in config[f"{name}::transforms"]]
        for config, name in ((train, "validate::postprocessing"), (inference, "postprocessing"))
    ]  # a step may be a reference: @name
    assert posts[0] == posts[1][: len(posts[0])] and all(
        "Save" in step["_target_"] for step in posts[1][len(posts[0]) :]
    )


@pytest.mark.parametrize("bundle", BUNDLES)
def test_deltas_append_and_merge_in_every_order(bundle):
    folder = configs(bundle)
    names = ["evaluate", "multi_gpu_train", *methods(find_bundle(bundle))]
    deltas = {name: ConfigParser.load_config_file(str(folder / f"{name}.yaml")) for name in names}
    for name, delta in deltas.items():
        assert not [key for key in delta if key in KEPT_LISTS], f"{name} replaces a list that others append to"
        assert ("run" in delta) == (name == "evaluate")
        assert not [key for key in delta if re.search(r"::\d+(::|$)", key)], f"{name} addresses a list by index"
    train = ConfigParser.load_config_file(str(folder / "train.yaml"))
    for method in methods(find_bundle(bundle)):  # of which a run takes one
        for order in itertools.permutations(("evaluate", "multi_gpu_train", method)):
            merged = merge_dicts(train, *(deltas[name] for name in order))
            for key in KEPT_LISTS:
                expected = len(merge_dicts(train)[key]) + sum(len(deltas[name].get(f"+{key}", [])) for name in order)
                assert len(merged[key]) == expected


@pytest.mark.parametrize("bundle", BUNDLES)
def test_bundles_share_their_engine(bundle):
    """What is tested on one (ENGINES in tests/runs.py) holds for all: they differ in data, transforms and network."""
    first = BUNDLES[0]
    for name in ("evaluate.yaml", "multi_gpu_train.yaml"):
        assert (configs(bundle) / name).read_bytes() == (configs(first) / name).read_bytes()
    own, other = (load(configs(each) / "train.yaml") for each in (bundle, first))
    for key in ENGINE:
        assert repr(own[key]).replace(bundle, first) == repr(other[key]), key


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_split_does_not_hang_on_the_seed_of_training(bundle):
    cases = load(configs(bundle) / "train.yaml")["cases"]
    assert cases["seed"] == "@split_seed" and "@seed" not in cases.values()


@pytest.mark.parametrize("bundle", BUNDLES)
def test_preflight_passes_for_every_workflow_and_method(bundle):
    root = find_bundle(bundle)
    for method in (None, *methods(root)):
        for workflow in ("train", "evaluate") if method else ("train", "evaluate", "infer"):
            preflight(merge(config_files(root, workflow, method)))
    preflight(merge([root / "configs" / "train.yaml", root / "configs" / "multi_gpu_train.yaml"]))


@pytest.mark.parametrize("bundle", BUNDLES)
def test_every_key_is_read(bundle):
    for name in ("train.yaml", "inference.yaml"):
        config = load(configs(bundle) / name).config
        assert set(config) - READ_BY_NAME - read_keys(config) == set()


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_model_card_lists_every_method_with_its_number_of_parameters(bundle):
    card = (find_bundle(bundle) / "docs" / "README.md").read_text(encoding="utf-8")
    rows = {line.split("`")[3]: line for line in card.splitlines() if re.match(r"\| `\w+` \| `\w+\.yaml` \|", line)}
    assert set(rows) == {f"{name}.yaml" for name in ("train", *methods(find_bundle(bundle)))}
    for name, row in rows.items():
        parser = load(configs(bundle) / "train.yaml", configs(bundle) / name)
        with torch.device("meta"):
            network = parser.get_parsed_content("network_def")
        assert f"| {sum(parameter.numel() for parameter in network.parameters()):,} |" in row


@pytest.mark.parametrize("bundle", BUNDLES)
def test_no_code_no_weights_no_machine(bundle):
    root = find_bundle(bundle)
    files = {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"LICENSE", "docs/README.md", "configs/metadata.json", "configs/logging.conf", "configs/train.yaml",
            "configs/inference.yaml", "configs/evaluate.yaml", "configs/multi_gpu_train.yaml"} <= files  # fmt: skip
    assert not [name for name in files if name.endswith((".py", ".pt", ".sh"))]
    for path in configs(bundle).glob("*.yaml"):
        text = path.read_text()
        assert not re.search(r"(?<![\w.@'])/(workspace|home|root|data|mnt|tmp)/", text), path
        assert "%" not in re.sub(r"#.*", "", text), f"{path} has a macro"


def test_logging_is_the_same_file_in_every_bundle():
    assert len({(configs(bundle) / "logging.conf").read_bytes() for bundle in BUNDLES}) == 1
