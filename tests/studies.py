"""Studies whose child processes are stand-ins that only leave files (`fake_run.py`)."""

import json
from pathlib import Path

import pytest

from medseg.workflows.studies import study, study_runs
from medseg.workflows.studies.first_look import FirstLook

FAKE = Path(__file__).with_name("fake_run.py")
STUDY = """
methods:
  plain: {}
  wide: {method: wide, settings: {learning_rate: 0.1}}
  deep: {method: deep}
budgets:
  tiny: {epochs: 2}
  hours: {minutes: 10}
"""


def stand_in(patch, steps=None):
    """Children that only leave files, and a look that reads nothing."""
    steps = steps or {}

    def words(files, settings):
        workflow = "evaluate" if files[-1].name == "evaluate.yaml" else "train"
        return ["python", str(FAKE), workflow, json.dumps(settings)]

    def look(bundle, data, methods, settings):
        kept = {method.name: repr(settings) for method in methods}
        split = (Path(data) / "split").read_text()
        cases = {"train": 4, "validate": 1, "test": int(split == "with tests")}
        return FirstLook(cases, split, {m.name: steps.get(m.name, 4) for m in methods}, kept)

    patch(study_runs, "command_words", words)
    patch(study, "look_first", look)
    patch(study, "_compare", lambda _, done, failures: ["compared " + " ".join(run.name for run in done)])


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A function that starts the study and gives its last lines and what it said on the way."""
    configs = tmp_path / "bundle" / "configs"
    configs.mkdir(parents=True)
    for name in ("train", "evaluate", "wide", "deep"):
        (configs / f"{name}.yaml").write_text("{}")
    (configs / "study.yaml").write_text(STUDY)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "split").write_text("as it was")
    conduct(tmp_path)
    stand_in(monkeypatch.setattr)

    def call(budget="tiny", seeds=1, out=tmp_path / "out", **options):
        said = []
        lines = study.run_study(str(tmp_path / "bundle"), tmp_path / "data", out, budget, seeds,
                          say=said.append, **options)  # fmt: skip
        return lines, said

    return call


def conduct(folder, **how):
    (folder / "data" / "conduct.json").write_text(json.dumps({key.replace("_", "/"): how[key] for key in how}))


def calls(folder, run):
    path = folder / "out" / run / "calls.txt"
    return path.read_text().splitlines() if path.exists() else []
