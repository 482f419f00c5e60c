"""What a bundle's keys switch on and off."""

import csv

import pytest
import torch
from runs import ENGINES, narrow, run

from medseg.workflows.bundles import config_files, find_bundle
from medseg.workflows.run import run_bundle

MONAIS_METRIC = """
validate::key_metric:
  val_mean_dice:
    _target_: MeanDice
    include_background: false
    num_classes: $max(@labels.values()) + 1
    output_transform: $monai.handlers.from_engine(['pred', 'label'])
+validate::additional_metrics:
  val_table:
    _target_: medseg.handlers.CaseScores
    labels: '@labels'
    metrics: [dice, hd95, lesion_recall, roc_auc]
    probabilities: prob
validate::to_native_grid::probabilities: prob
"""


@pytest.mark.parametrize("bundle", ENGINES)
def test_options(bundle, phantoms, tmp_path):
    """TensorBoard and early stopping on; the moving average, mirroring and lower precision off."""
    folder = run(bundle, "train", tmp_path / "run", phantoms(bundle), tensorboard=True, early_stop=1, average_decay=0,
                 mirror_axes=[], precision="float32", epochs=6, validations=6, learning_rate=0.0)  # fmt: skip
    assert list((folder / "tensorboard").iterdir())
    with open(folder / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2  # without learning the second validation is no better, and training stops
    assert rows[0]["val_mean_dice"] == rows[1]["val_mean_dice"]
    last = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    assert "trained_model" not in last and (folder / "bundle" / "models" / "model.pt").is_file()
    previews = {path.stem for path in (folder / "previews").iterdir()}
    assert 0 < len(previews) <= 4  # seen while it trained


@pytest.mark.parametrize(
    ("bundle", "method"), [*((bundle, None) for bundle in ENGINES), ("liver_ct", "vae_c2"), ("liver_ct", "unet_2d")]
)
def test_deterministic_algorithms_train_to_the_same_losses(bundle, method, phantoms, tmp_path):
    """On a CPU the switch changes how the loss is computed (one-hot labels), not what it is."""
    losses = []
    for only in (False, True):
        folder = run(bundle, "train", tmp_path / str(only), phantoms(bundle), method, precision="float32", epochs=1,
                     deterministic_algorithms=only)  # fmt: skip
        assert torch.are_deterministic_algorithms_enabled() is only
        with open(folder / "log.csv", newline="") as stream:
            losses.append([float(row["loss"]) for row in csv.DictReader(stream)])
    torch.use_deterministic_algorithms(False)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("bundle", ENGINES)
def test_loader_workers_do_not_change_a_run(bundle, phantoms, tmp_path):
    """Samples are drawn from (seed, epoch, index): the same losses with and without worker processes."""
    losses = []
    for workers in (0, 2):
        folder = run(bundle, "train", tmp_path / str(workers), phantoms(bundle), workers=workers, precision="float32")
        with open(folder / "log.csv", newline="") as stream:
            losses.append([row["loss"] for row in csv.DictReader(stream)])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("bundle", ENGINES)
def test_monais_metric_in_the_place_of_ours(bundle, phantoms, tmp_path):
    """Both score the same epochs alike, and evaluate still writes the table, with the metrics that were asked for."""
    delta = tmp_path / "monai.yaml"
    delta.write_text(MONAIS_METRIC)
    root = find_bundle(bundle).absolute()
    settings = {"bundle_root": str(root), "output_dir": str(tmp_path / "run"), "dataset_dir": str(phantoms(bundle))}
    settings |= narrow(config_files(root, "train"))
    run_bundle([*config_files(root, "train"), delta], settings | {"epochs": 1, "batch_size": 2})
    with open(tmp_path / "run" / "log.csv", newline="") as stream:
        row = list(csv.DictReader(stream))[-1]
    assert float(row["val_mean_dice"]) == pytest.approx(float(row["val_table"]), abs=1e-6)
    run_bundle([*config_files(root, "evaluate"), delta], settings)
    with open(tmp_path / "run" / "cases.csv", newline="") as stream:
        cases = list(csv.DictReader(stream))
    assert cases[0]["dice"] and cases[0]["lesion_recall"] and "assd" not in cases[0]
    assert 0 < float(cases[0]["roc_auc"]) <= 1
