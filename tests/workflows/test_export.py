import json

import pytest
import torch
from runs import run

from medseg import files
from medseg.cases.phantoms import write_phantom
from medseg.errors import UsageError
from medseg.handlers.checkpoint_file import pack_checkpoint, read_checkpoint
from medseg.workflows.bundles import find_bundle
from medseg.workflows.export import _changed, export_run


def test_what_a_run_changed_goes_into_a_whole_configuration():
    before = {"epochs": 1, "validate": {"inferer": {"overlap": 0.25, "mode": "gaussian"}, "handlers": [], "old": 1}}
    after = {"epochs": 2, "validate": {"inferer": {"overlap": 0.5, "mode": "gaussian"}, "handlers": ["c"], "old": 1}}
    own = {"epochs": 1, "validate": {"inferer": {"overlap": 0.25, "mode": "gaussian"}, "handlers": ["a"], "old": 3}}
    assert _changed(before, after, own) == {
        "epochs": 2,
        "validate": {"inferer": {"overlap": 0.5, "mode": "gaussian"}, "handlers": ["a", "c"], "old": 3},
    }
    assert own["epochs"] == 1 and own["validate"]["handlers"] == ["a"]


def test_what_is_replaced_or_new_is_taken_as_it_is():
    assert _changed({"a": {"b": 1}, "l": [1]}, {"a": "@c", "l": [2], "n": 3}, {"a": {"b": 2}, "l": [1, 5]}) == {
        "a": "@c",
        "l": [2],
        "n": 3,
    }


def test_the_weights_that_are_asked_for_are_exported_with_their_scores(tmp_path):
    """The best epoch's, here made another than the last one's."""
    data = write_phantom("chest_xray_lungs", tmp_path / "data", 5)
    folder, root = tmp_path / "run", find_bundle("chest_xray_lungs")
    run("chest_xray_lungs", "train", folder, data, epochs=2, validations=2)
    best, last = (folder / "checkpoints" / f"{name}.pt" for name in ("best", "last"))
    state = read_checkpoint(last)
    state.pop("digest")
    files.write_bytes(
        best, pack_checkpoint(state | {"epoch": 1, "model": {k: v + 1 for k, v in state["model"].items()}})
    )
    lines = (folder / "log.csv").read_text().splitlines()
    column = lines[0].split(",").index("val_mean_dice")
    for name, path, row in (("best", best, lines[1]), ("last", last, lines[2])):
        export_run(folder, root, name)
        found = torch.load(folder / "bundle" / "models" / "model.pt", weights_only=True)
        expected = read_checkpoint(path)["model"]
        assert all(torch.equal(found[key], value) for key, value in expected.items()), name
        metadata = json.loads((folder / "bundle" / "configs" / "metadata.json").read_text())
        assert metadata["scores"]["val_mean_dice"] == float(row.split(",")[column])
    with pytest.raises(UsageError, match="weights"):
        export_run(folder, root, "first")
