import dataclasses
import re

import pytest
from made_runs import dice_of, rows_of, study, write_run
from pages import Page

from medseg import files
from medseg.reports.comparison.settings import data_set, report_links, settings_of
from medseg.reports.comparison.write import write_comparison
from medseg.reports.run_folder import read_run

CONFIG = """
dataset_dir: /home/somebody/secret project/Task04_Hippocampus/
learning_rate: 0.005
base: 16
patch_size: [32, '@base', 48]
batch_size: $8 if @device.type == 'cuda' else 2
train:
  loss:
    _target_: medseg.losses.Deep
    to_onehot_y: true
    loss: {_target_: DiceCELoss, softmax: true, lambda_ce: 0.5, weight: '$torch.ones(2)'}
  optimizer: {_target_: torch.optim.SGD, params: $@network.parameters(), lr: '@learning_rate', momentum: 0.9}
"""
HOSTILE = "<img src=x onerror=alert(1)> $x$"


def made(folder, config=CONFIG, **record):
    folder = write_run(folder, rows_of(dice_of(7)), **record)
    (folder / "config.yaml").write_text(config)
    return folder


def test_settings_are_read_from_the_configuration(tmp_path):
    run = read_run(made(tmp_path / "run", batch_size=4))
    assert settings_of(run) == {
        "data set": "Task04_Hippocampus",
        "learning rate": "0.005",
        "patch size": "32 \u00d7 16 \u00d7 48",
        "loss": "Deep; DiceCELoss: lambda_ce 0.5",
        "optimizer": "SGD: momentum 0.9",
    }  # the batch size is in the record
    without = dataclasses.replace(run, record={})
    assert settings_of(without)["batch size"] == "$8 if @device.type == 'cuda' else 2"


@pytest.mark.parametrize("config", ["", "a: [", "- 1", "dataset_dir: 5\ntrain: 3\nlearning_rate: {}\n",
                                    "learning_rate: '@learning_rate'\ntrain: {loss: '@train::loss'}\n"])  # fmt: skip
def test_configurations_that_say_nothing_say_nothing(tmp_path, config):
    run = read_run(made(tmp_path / "run", config))
    assert data_set(run) == "" and set(settings_of(run)) <= {"learning rate", "loss"}  # a reference to itself


def test_what_a_study_made_equal_is_said_of_its_runs_alone(tmp_path):
    for seed in range(2):
        made(tmp_path / "a" / f"seed{seed}")
    files.write_json(tmp_path / "study.json", {"equal": "time", "data": "/x/other", "runs": {"a/seed0": {}}})
    runs = [read_run(tmp_path / "a" / f"seed{seed}") for seed in range(2)]
    assert [settings_of(run).get("equal in the study") for run in runs] == ["training time", None]
    assert data_set(dataclasses.replace(runs[0], config="")) == "other"
    (tmp_path / "study.json").write_text("{")
    assert "equal in the study" not in settings_of(runs[0])


def test_the_page_says_on_what_data_and_with_what_and_leads_to_the_runs(tmp_path):
    folders = {name: tmp_path / "<b> #1" / f"m{place}" for place, name in enumerate(("a", HOSTILE))}
    for place, (name, folder) in enumerate(folders.items()):
        made(folder / "seed 0%", CONFIG.replace("0.005", f"0.00{place + 1}"), network=name)
    (folders[HOSTILE] / "seed 0%" / "report.html").write_text("<p>here</p>")
    write_comparison(folders, tmp_path / "out", metrics=["dice"])
    page = Page(tmp_path / "out" / "comparison.html")
    assert "liver_ct \u00b7 Task04_Hippocampus \u00b7 test" in page.text
    assert "secret" not in (tmp_path / "out" / "comparison.html").read_text()
    assert "learning rate 0.001 0.002 differs" in page.text
    assert "Not the same for all methods: learning rate; see What was run." in page.text
    assert re.search(r"loss Deep; DiceCELoss: lambda_ce 0.5 Deep; DiceCELoss: lambda_ce 0.5 (?!differs)", page.text)
    hrefs = [value for tag, key, value in page.attributes if (tag, key) == ("a", "href") and value[0] != "#"]
    assert hrefs == ["../%3Cb%3E%20%231/m1/seed%200%25/report.html"]
    assert f"Pages of the runs: {HOSTILE} : seed 0% ." in page.text.replace(f"{HOSTILE}:", f"{HOSTILE} :")
    assert "img" not in {tag for tag, key, value in page.attributes if key == "onerror"}


def test_without_pages_there_are_no_links(tmp_path):
    from medseg.reports.comparison.method_runs import read_methods

    methods = read_methods({name: made(tmp_path / name) for name in ("a", "b")})
    assert report_links(methods, tmp_path) == ""
    (tmp_path / "a" / "report.html").write_text("")
    assert report_links(methods, None) == ""
    assert 'href="a/report.html"' in report_links(methods, tmp_path)


def test_runs_of_a_method_that_differ_in_more_than_their_seed_are_said_to(tmp_path):
    tables = [dice_of(7, seed=seed) for seed in range(2)]
    folders = study(tmp_path, {"a": tables, "b": tables, "c": tables}, seeds=True)
    write_run(folders["a"] / "seed1", rows_of(tables[1]), 1, epochs=9)
    for seed in range(2):
        config = f"network_def: {{}}\nseed: {seed}\nfold: {seed}\nlearning_rate: 0.{seed + 1}\n"
        (folders["b"] / f"seed{seed}" / "config.yaml").write_text(config)
    lines = write_comparison(folders, tmp_path / "out", metrics=["dice"])
    text, said = Page(tmp_path / "out" / "comparison.html").text, " ".join(lines)
    for name, what in (("a", "epochs (3 to 9)"), ("b", "settings (learning_rate)")):
        note = f"The runs of {name} differ in more than seed and fold: {what}. Its score is their mean all the same."
        assert note in text and note in said
    assert "The runs of c differ" not in text + said
    assert max(map(len, lines[:-1])) <= 100


def test_what_was_not_the_same_is_marked(tmp_path):
    folders = study(tmp_path, {"a": dice_of(7), "b": dice_of(7, 0.02)})
    write_run(folders["b"], rows_of(dice_of(7, 0.02)), seed=3, epochs=9, data_fingerprint="g", network="UNETR")
    (folders["a"] / "config.yaml").unlink()
    write_comparison(folders, tmp_path / "out", metrics=["dice"])
    text = Page(tmp_path / "out" / "comparison.html").text
    assert "Not the same for all methods: epochs, data fingerprint; see What was run." in text
    assert "epochs 3 9 differs" in text
    assert re.search(r"network UNet UNETR (?!differs)", text)
    assert "No config.yaml in 1 of 2 runs (training writes it): a (m0)." in text
    assert "updates made 50 50" in text
