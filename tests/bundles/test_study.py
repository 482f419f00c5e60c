"""`medseg study` with real child processes: killed in the middle, it goes on and ends as if it had not been."""

import json
import subprocess
import sys
import time

import pytest
from runs import outcome, run

from medseg.workflows.bundles import bundle_names, find_bundle
from medseg.workflows.studies.study import run_study
from medseg.workflows.studies.study_file import read_study_file

SETTINGS = {"epochs": 4, "validations": 2, "batch_size": 2}
STUDY = "import json, sys; from medseg.workflows.studies.study import run_study; run_study(**json.loads(sys.argv[1]))"
WITH_A_STUDY = [name for name in bundle_names() if (find_bundle(name) / "configs" / "study.yaml").is_file()]


@pytest.mark.parametrize("bundle", WITH_A_STUDY)
def test_a_killed_study_ends_as_if_it_had_not_been(bundle, phantoms, tmp_path):
    """The same weights, log and scores as training and evaluation outside of a study, bit for bit."""
    method = next(each for each in read_study_file(find_bundle(bundle)).methods if each.delta is None)
    given = {"bundle": bundle, "data": str(phantoms(bundle)), "out": str(tmp_path / "study"), "seeds": 1,
             "methods": [method.name], "overrides": SETTINGS}  # fmt: skip
    folder = tmp_path / "study" / method.name / "seed0"
    process = subprocess.Popen([sys.executable, "-c", STUDY, json.dumps(given)], stderr=subprocess.PIPE)
    while not (folder / "checkpoints" / "last.pt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (folder / "bundle").exists()

    run_study(**given, say=lambda line: None)
    whole = run(bundle, "train", tmp_path / "whole", phantoms(bundle), **SETTINGS)
    run(bundle, "evaluate", whole, phantoms(bundle), **SETTINGS)
    assert len(json.loads((folder / "record.json").read_text())["resumed"]) == 1
    assert outcome(folder) == outcome(whole)
    assert (folder / "cases.csv").read_bytes() == (whole / "cases.csv").read_bytes()


@pytest.mark.parametrize("bundle", WITH_A_STUDY)
def test_the_bundles_methods_are_all_in_its_study(bundle):
    file = read_study_file(find_bundle(bundle))
    assert {"tiny", "hours", "paper"} <= set(file.budgets) and file.published
    assert len({method.delta for method in file.methods}) == len(file.methods) >= 2
