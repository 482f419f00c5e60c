"""`medseg study` with real child processes: killed in the middle, it goes on and ends as if it had not been."""

import json
import subprocess
import sys
import time

import pytest
from browser import Browser, find_browser
from runs import outcome, run

from medseg.workflows.bundles import bundle_names, config_files, find_bundle
from medseg.workflows.preflight import merge, refuse_unknown_keys
from medseg.workflows.studies.study import natural, run_study
from medseg.workflows.studies.study_file import budget_equal, chosen_budget, read_study_file

FIRST_VIEWER = """
window.first = () => document.querySelector('.viewer');
window.picture = () => first().querySelector('canvas').toDataURL();
window.box = name => [...first().querySelectorAll('label')].find(
  each => each.textContent.trim() === name).querySelector('input');
window.key = name => {
  const area = first().querySelector('.area');
  area.focus();
  area.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true}));
};
"""
SETTINGS = {"epochs": 4, "validations": 2, "batch_size": 2}
STUDY = "import json, sys; from medseg.workflows.studies.study import run_study; run_study(**json.loads(sys.argv[1]))"
BUNDLE, METHODS = "hippocampus_mri", ("dynunet", "segresnet")
WITH_A_STUDY = [name for name in bundle_names() if (find_bundle(name) / "configs" / "study.yaml").is_file()]


@pytest.fixture(scope="module")
def killed(phantoms, tmp_path_factory):
    """A study of two methods, killed while the first one trains and then started again: its folder."""
    out = tmp_path_factory.mktemp("studies") / "study"
    given = {"bundle": BUNDLE, "data": str(phantoms(BUNDLE)), "out": str(out), "seeds": 1,
             "methods": list(METHODS), "overrides": SETTINGS}  # fmt: skip
    folder = out / METHODS[0] / "seed0"
    process = subprocess.Popen([sys.executable, "-c", STUDY, json.dumps(given)], stderr=subprocess.PIPE)
    while not (folder / "checkpoints" / "last.pt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (folder / "bundle").exists()

    run_study(**given, say=lambda line: None)
    return out


def test_a_killed_study_ends_as_if_it_had_not_been(killed, phantoms, tmp_path):
    """The same weights, log and scores as training and evaluation outside of a study, bit for bit."""
    folder = killed / METHODS[0] / "seed0"
    whole = run(BUNDLE, "train", tmp_path / "whole", phantoms(BUNDLE), **SETTINGS)
    run(BUNDLE, "evaluate", whole, phantoms(BUNDLE), **SETTINGS)
    assert len(json.loads((folder / "record.json").read_text())["resumed"]) == 1
    assert outcome(folder) == outcome(whole)
    assert (folder / "cases.csv").read_bytes() == (whole / "cases.csv").read_bytes()


@pytest.mark.skipif(find_browser() is None, reason="no Chromium: set MEDSEG_BROWSER or put one on PATH")
def test_the_pages_of_a_study_open_in_a_browser(killed):
    """The comparison's and a run's: pictures load, slices change, contours go, nothing is fetched or complained of."""
    browser = Browser(find_browser())
    comparison, report = killed / "comparison.html", killed / METHODS[0] / "seed0" / "report.html"
    try:
        browser.open(comparison, width=390)
        assert browser.run("document.documentElement.scrollWidth") <= 390
        assert browser.run("document.images.length") > 2
        assert browser.run("[...document.images].every(each => each.complete && each.naturalWidth > 0)")
        assert all(name in browser.run("document.body.innerText") for name in METHODS)
        browser.open(report)
        browser.run(FIRST_VIEWER + "first().scrollIntoView()")
        browser.wait("first().querySelectorAll('canvas').length === 3 && first().innerText.includes('axial')")
        for act in ("box('reference').click()", "key('Home')"):  # it opens at the slice with most reference
            browser.run("window.before = picture()")
            browser.run(act)
            browser.settle()
            assert browser.run("before !== picture()"), act
        assert browser.errors == [] and browser.requests == [comparison.as_uri(), report.as_uri()]
    finally:
        browser.close()


@pytest.mark.parametrize("bundle", WITH_A_STUDY)
def test_every_budget_can_start_with_every_method(bundle):
    """All methods are scored on the same cases, and what is equal goes with how the budget is given."""
    root = find_bundle(bundle)
    file = read_study_file(root)
    for name in file.budgets:
        budget = chosen_budget(file, name)
        equal = budget_equal(file, name) or natural(budget)
        assert [key for key in ("minutes", "epochs") if key in budget] == {"time": ["minutes"], "own": []}.get(
            equal, ["epochs"]), name  # fmt: skip
        cases = []
        for method in file.methods:
            settings = {"bundle_root": str(root), "dataset_dir": "data"} | budget | dict(method.settings)
            files = config_files(root, "train", method.delta)
            refuse_unknown_keys(files, settings)
            cases.append(merge(files, settings).get_parsed_content("cases", instantiate=False).config)
        assert all(each == cases[0] for each in cases), name


@pytest.mark.parametrize("bundle", WITH_A_STUDY)
def test_the_bundles_methods_are_all_in_its_study(bundle):
    file = read_study_file(find_bundle(bundle))
    assert {"tiny", "hours", "paper"} <= set(file.budgets) and file.published
    assert len({method.delta for method in file.methods}) == len(file.methods) >= 2
