"""From images without labels to a segmenter, and what autoencoders are good for beside, through the real commands."""

import csv
import shutil

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, load
from PIL import Image
from runs import run

from medseg import cli, errors
from medseg.handlers.checkpoint_file import read_checkpoint
from medseg.volumes import read_volume
from medseg.workflows.bundles import config_files, find_bundle
from medseg.workflows.features import encode
from medseg.workflows.preflight import merge

EXACT = {"precision": "float32", "workers": 0}  # in which numbers can be compared


@pytest.fixture(scope="module")
def data(phantoms):
    """Phantoms whose test cases have lost their labels, as those of the download."""
    folder = phantoms("liver_ct").parent / "liver_ct_unlabelled"
    if not folder.exists():
        shutil.copytree(phantoms("liver_ct"), folder)
        shutil.rmtree(folder / "labelsTs")
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A method's name to its run folder."""
    folder, made = tmp_path_factory.mktemp("pretrained"), {}

    def train(method):
        if method not in made:
            made[method] = run("liver_ct", "train", folder / method, data, method, **EXACT)
        return made[method]

    return train


@pytest.fixture
def medseg(monkeypatch, capsys):
    """A function that runs a command and gives its exit code, output and messages."""

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["medseg", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return (caught.value.code or 0, *capsys.readouterr())

    return call


def rows(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def fed(bundle, image):
    """An image as the network of an exported bundle is fed it, by MONAI's own parser."""
    parser = ConfigParser(ConfigParser.load_config_file(str(bundle / "configs" / "inference.yaml")))
    parser.get_parsed_content("imports")
    return parser.get_parsed_content("preprocessing")({"image": str(image)})["image"].as_tensor()


def test_unlabelled_images_are_trained_on(trained, data):
    split = ConfigParser.load_config_file(str(trained("pretrain_vae") / "split.json"))
    listed = {item["case"] for item in split["train"]}
    unlabelled = {path.name.removesuffix(".nii.gz") for path in (data / "imagesTs").glob("[!.]*.nii.gz")}
    assert unlabelled and unlabelled <= listed
    assert all(item["digest"]["label"] is None for side in ("train", "validate") for item in split[side])


def test_a_segmenter_starts_from_the_encoder_bit_for_bit(trained, data, tmp_path):
    """At a learning rate of 0 it ends where it starts."""
    vit = trained("pretrain_vit")
    still = {"learning_rate": 0.0, "average_decay": 0} | EXACT
    folder = run("liver_ct", "train", tmp_path / "tuned", data, "unetr", start_from=str(vit), **still)
    before = read_checkpoint(vit / "checkpoints" / "last.pt")["model"]
    after = read_checkpoint(folder / "checkpoints" / "last.pt")["model"]
    encoder = [name for name in after if name.startswith("vit.")]
    assert len(encoder) > 100
    assert all(torch.equal(after[name], before[name.removeprefix("vit.")]) for name in encoder)
    exported = ConfigParser.load_config_file(str(folder / "bundle" / "configs" / "train.yaml"))
    assert exported["start_from"] is None  # a path of this machine


@pytest.mark.parametrize("size", [[128, 128, 64], [64, 64, 32], [32, 32, 16]])
def test_two_fifths_of_an_image_are_hidden_whatever_its_size(size):
    root = find_bundle("liver_ct")
    parser = merge(config_files(root, "train", "pretrain_vit"))
    parser.update({"resize": size})
    hide = parser.get_parsed_content("validate::spoilt").set_random_state(0)
    shares = [float((hide({"image": torch.ones(1, *size)})["image"] == 0).float().mean()) for _ in range(20)]
    assert 0.35 < sum(shares) / 20 < 0.55 and max(shares) < 0.8


def test_an_encoder_that_has_seen_the_held_out_cases_is_refused(trained, data, tmp_path):
    with pytest.raises(Exception) as caught:
        run(
            "liver_ct",
            "train",
            tmp_path / "r",
            data,
            "vae_c1",
            fold=1,
            start_from=str(trained("pretrain_vae")),
            **EXACT,
        )
    assert "E502" in str(errors.find(caught.value)) and not (tmp_path / "r").exists()


def test_another_network_is_refused_and_leaves_nothing_behind(trained, data, tmp_path):
    with pytest.raises(Exception) as caught:
        run("liver_ct", "train", tmp_path / "r", data, "segresnet", start_from=str(trained("pretrain_vae")), **EXACT)
    assert "E802" in str(errors.find(caught.value)) and not (tmp_path / "r").exists()


def test_reconstruct(trained, data, tmp_path, medseg):
    folder = trained("pretrain_vae")
    code, out, _ = medseg("reconstruct", folder, data / "imagesTr", "--out", tmp_path / "out")
    network = load("bundle", bundle_dir=str(folder)).eval()
    table = rows(tmp_path / "out" / "errors.csv")
    assert code == 0 and f"mean of {len(table)}" in out and len(table) == 5
    for row in table:
        image = fed(folder / "bundle", data / "imagesTr" / f"{row['case']}.nii.gz")
        made = read_volume(tmp_path / "out" / f"{row['case']}.nii.gz").array
        with torch.no_grad():
            assert np.allclose(made, network(image[None])[0, 0].numpy(), atol=1e-5)
        assert float(row["mae"]) == pytest.approx(np.abs(made - image[0].numpy()).mean(), rel=1e-5)
        median = np.sort(image.numpy().ravel())[(image.numel() - 1) // 2]
        assert float(row["mae_constant"]) == pytest.approx(np.abs(image.numpy() - median).mean(), rel=1e-5)
        assert np.asarray(Image.open(tmp_path / "out" / f"{row['case']}.png")).std() > 10
    assert medseg("reconstruct", folder, data / "imagesTr", "--out", tmp_path / "out")[0] == 3  # files are in the way


def test_samples_hang_on_the_seed_alone(trained, tmp_path, medseg):
    def drawn(name, n, seed):
        assert medseg("sample", trained("pretrain_vae"), "--n", n, "--seed", seed, "--out", tmp_path / name)[0] == 0
        assert (tmp_path / name / "samples.png").is_file()
        return [read_volume(tmp_path / name / f"sample_{place}.nii.gz").array for place in range(n)]

    first, again, other = drawn("a", 3, 0), drawn("b", 2, 0), drawn("c", 2, 1)
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=False))
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[0], other[0])
    assert first[0].shape == tuple(fed_size(trained("pretrain_vae")))


def fed_size(folder):
    return ConfigParser.load_config_file(str(folder / "bundle" / "configs" / "inference.yaml"))["resize"]


@pytest.mark.parametrize("method", ["pretrain_vae", "pretrain_vit"])
def test_features_are_means_over_places(trained, data, tmp_path, medseg, method):
    folder = trained(method)
    labels = tmp_path / "labels.csv"
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (data / "imagesTr").glob("[!.]*.nii.gz"))
    labels.write_text("case,label\n" + "".join(f"{case},{'ab'[n % 2]}\n" for n, case in enumerate(cases)))
    out = tmp_path / "features.csv"
    code, printed, _ = medseg("features", folder, data / "imagesTr", "--out", out, "--classify", labels)
    table = rows(out)
    assert code == 0 and [row["case"] for row in table] == cases
    assert "linear classifier" in printed and "n = 5 (a 3, b 2), 5 groups, 2 folds" in printed
    network = load("bundle", bundle_dir=str(folder)).eval()
    image = fed(folder / "bundle", data / "imagesTr" / f"{cases[0]}.nii.gz")[None]
    with torch.no_grad():
        if method == "pretrain_vae":
            expected = network.encode(image).mean((2, 3, 4))[0]  # its middle does nothing
        else:
            seen = []
            network.norm.register_forward_hook(lambda module, given, output: seen.append(output))
            network(image)
            expected = seen[0].mean(1)[0]
    found = [float(value) for name, value in table[0].items() if name.startswith("feature_")]
    assert np.allclose(found, expected.numpy(), atol=1e-5)


def test_runs_that_are_no_autoencoders(short_run, trained, data, tmp_path, medseg):
    masks = short_run("hippocampus_mri")
    code, _, words = medseg("reconstruct", masks, data, "--out", tmp_path / "o")
    assert code == 2 and "E903" in words and "DynUNet that gives masks" in words
    code, _, words = medseg("sample", trained("pretrain_vit"), "--out", tmp_path / "s")
    assert code == 2 and "expected VarAutoEncoder; found ViTAutoEnc" in words and not (tmp_path / "s").exists()
    code, _, words = medseg("reconstruct", tmp_path, data, "--out", tmp_path / "o")
    assert code == 3 and "E101" in words and not (tmp_path / "o").exists()


def test_a_network_without_an_encoder():
    with pytest.raises(errors.UsageError, match=r"E903.*no encoder.*found Conv3d"):
        encode(torch.nn.Conv3d(1, 1, 1), torch.zeros(1, 1, 4, 4, 4))
