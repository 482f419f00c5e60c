import pytest
import yaml

from medseg.errors import UsageError
from medseg.workflows.preflight import merge, preflight, refuse_unknown_keys

READ = "medseg.transforms.ReadImaged"
TRAIN = {"_target_": "medseg.trainers.SupervisedTrainer", "_mode_": "callable"}
GOOD = {
    "imports": ["$import scipy"],
    "size": 3,
    "network_def": {"_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [4, 8],
                    "strides": [2]},
    "transform": {"_target_": "medseg.transforms.ReadImaged", "keys": "image"},
    "trainer": {"_target_": "medseg.trainers.SupervisedTrainer", "_mode_": "callable", "max_epochs": "@size"},
    "sum": "$[n + @size for n in range(3)]",
    "version": "$scipy.__version__",
}  # fmt: skip


def checked(changes):
    preflight(merge_dict({**GOOD, **changes}))


def merge_dict(config):
    from monai.bundle import ConfigParser

    parser = ConfigParser(config)
    parser.resolve_macro_and_relative_ids()
    return parser


def test_a_sound_configuration_passes():
    checked({})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network_def": {"_target_": "UNett"}}, r"network_def: no such target UNett"),
        ({"transform": {"_target_": READ + "s", "keys": "image"}}, r"no such target medseg.transforms.ReadImageds"),
        ({"transform": {"_target_": READ, "key": "image"}}, r"no argument 'key'.*did you mean 'keys'"),
        ({"transform": {"_target_": "medseg.transforms.ReadImaged"}}, r"lacks its argument 'keys'"),
        ({"trainer": TRAIN | {"max_epoch": 3}}, r"no argument 'max_epoch'.*'max_epochs'"),
        ({"sum": "@sizes"}, r"sum: @sizes refers to nothing.*did you mean 'size'"),
        ({"sum": "$@network_def::stride + 1"}, r"@network_def::stride refers to nothing"),
        ({"sum": "$1 +"}, r"not a Python expression"),
        ({"sum": "$nothing.here"}, r"unknown name 'nothing'"),
        ({"sum": "$torch.cuda.is_here()"}, r"torch.cuda.is_here does not exist"),
        ({"a": {"b": [{"_target_": "no.where"}]}}, r"a::b::0: no such target no.where"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_id(changes, words):
    with pytest.raises(UsageError, match=words):
        checked(changes)


def test_every_fault_comes_at_once():
    with pytest.raises(UsageError) as found:
        checked({"sum": "@sizes", "transform": {"_target_": "no.where"}})
    assert len(found.value.faults) == 2


def test_nothing_is_built(monkeypatch):
    import medseg.transforms

    def explode(*args, **kwargs):
        raise AssertionError("built")

    monkeypatch.setattr(medseg.transforms.ReadImaged, "__init__", explode)
    checked({"transform": {"_target_": "medseg.transforms.ReadImaged"}})


@pytest.mark.parametrize(
    ("key", "known"),
    [("size", True), ("network_def::strides", True), ("network_def#strides", True), ("network_def::act", True),
     ("trainer::amp", True), ("trainer::max_epoch", False), ("sizes", False), ("transform::kes", False)],
)  # fmt: skip
def test_known_keys_are_ids_and_parameters(key, known, tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    if known:
        refuse_unknown_keys([path], {key: 1})
    else:
        with pytest.raises(UsageError, match=r"unknown key.*did you mean"):
            refuse_unknown_keys([path], {key: 1})
    assert merge([path], {"size": 5})["size"] == 5
