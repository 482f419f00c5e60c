"""The order of a study's runs, what is skipped, what is refused, and how it ends. Its child processes are stand-ins."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from studies import calls, conduct

from medseg.errors import DataError, MedsegError, TrainingError, UsageError
from medseg.reports.comparison import write
from medseg.workflows.studies import study, study_state
from medseg.workflows.studies.study import run_study

COMPARE = study._compare
CALLED = """
import json, sys
sys.path.insert(0, sys.argv[1])
import studies
studies.stand_in(setattr)
studies.study.run_study(sys.argv[2], sys.argv[3], sys.argv[4], "tiny", 1)
"""


def announced(said):
    return [line.split(": ", 1)[1].split(",")[0] for line in said if line.startswith("run ")]


def test_all_first_seeds_come_before_all_second_ones(start, tmp_path):
    lines, said = start(seeds=2)
    order = ["plain/seed0", "wide/seed0", "deep/seed0", "plain/seed1", "wide/seed1", "deep/seed1"]
    assert announced(said) == order
    assert lines[-1] == "compared " + " ".join(order)
    assert "plain: 2 runs of 8 updates, 0.5 minutes of training each, 1.5 M parameters" in lines
    assert calls(tmp_path, "deep/seed1") == ["train 2 None 1", "evaluate 2 None 1"]
    assert "train seed0 resume=True" in (tmp_path / "out" / "logs" / "wide-seed0.log").read_text()
    content = json.loads((tmp_path / "out" / "study.json").read_text())
    run = content["runs"]["wide/seed1"]
    assert run["done"] and run["updates"] == 8 and content["seeds"] == [0, 1]
    for workflow in ("train", "evaluate"):
        assert run[workflow].startswith("python -m monai.bundle run --config_file") and "--seed 1" in run[workflow]
        assert "--learning_rate 0.1" in run[workflow] and "  " + run[workflow] not in said and run[workflow] in said


def test_a_cross_validation_trains_each_method_once_a_fold(start, tmp_path):
    lines, said = start(seeds=None, folds=3, methods=["plain", "deep"])
    order = [f"{method}/fold{fold}" for fold in range(3) for method in ("plain", "deep")]
    assert announced(said) == order and lines[-1] == "compared " + " ".join(order)
    for run in order:
        noted = json.loads((tmp_path / "out" / "study.json").read_text())["runs"][run]
        for workflow in ("train", "evaluate"):
            assert f"--held_out {1 / 3}" in noted[workflow] and f"--fold {run[-1]}" in noted[workflow]
            assert "--seed 0" in noted[workflow]
    assert any(line.endswith("in the first fold, 6 runs in " + str(tmp_path / "out")) for line in said)
    _, said = start(seeds=1, folds=3, methods=["plain", "deep"])
    assert [line.endswith("is done") for line in said if line.startswith("run ")] == [True] * 6


def test_another_number_of_folds_is_another_study(start, tmp_path):
    start(seeds=None, folds=2, methods=["plain"])
    for options in ({"folds": 3}, {}):
        with pytest.raises(DataError, match=r"E503.*folds") as caught:
            start(methods=["plain"], **options)
        assert "expected 2" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seeds": 2, "folds": 5}, "seeds beside folds"),
        ({"seeds": None, "folds": 5, "subset": "test"}, "subset beside folds"),
        ({"seeds": None, "folds": 5, "overrides": {"fold": 1}}, "fold beside folds"),
        ({"seeds": None, "folds": 5, "overrides": {"held_out": 0.1}}, "held_out beside folds"),
        ({"seeds": None, "folds": 1}, "folds"),
    ],
)
def test_what_a_cross_validation_decides_itself_is_refused(start, tmp_path, options, words):
    with pytest.raises(UsageError, match=f"E903.*{words}"):
        start(**options)
    assert not (tmp_path / "out").exists()


def test_what_is_done_is_not_done_again(start, tmp_path):
    first, _ = start()
    second, said = start()
    assert second == first and [line.endswith("is done") for line in said if line.startswith("run ")] == [True] * 3
    assert calls(tmp_path, "wide/seed0") == ["train 2 None 0", "evaluate 2 None 0"]
    (tmp_path / "out" / "wide" / "seed0" / "cases.csv").unlink()
    start()
    assert calls(tmp_path, "wide/seed0") == ["train 2 None 0", "evaluate 2 None 0", "evaluate 2 None 0"]


def test_another_subset_is_scored_without_training_again(start, tmp_path):
    (tmp_path / "data" / "split").write_text("with tests")
    start(methods=["plain"])
    _, said = start(methods=["plain"], subset="test")
    assert calls(tmp_path, "plain/seed0") == ["train 2 None 0", "evaluate 2 None 0", "evaluate 2 None 0"]
    evaluated = [line for line in said if "evaluate.yaml" in line]
    assert len(evaluated) == 1 and "--subset test" in evaluated[0]
    assert start(methods=["plain"], subset="test")[1][-1].endswith("is done")
    assert any("evaluate.yaml" in line and "--subset" not in line for line in start(methods=["plain"])[1])


def test_what_a_stopped_evaluation_of_another_subset_left_is_scored_again(start, tmp_path):
    """It may have written its rows before it was stopped."""
    (tmp_path / "data" / "split").write_text("with tests")
    start(methods=["plain"])
    conduct(tmp_path, plain_seed0="fail in evaluate")
    with pytest.raises(TrainingError):
        start(methods=["plain"], subset="test")
    conduct(tmp_path)
    assert any("evaluate.yaml" in line for line in start(methods=["plain"])[1])


@pytest.mark.parametrize(("subset", "words"), [("test", "no labelled test cases"), ("all", "one of validate, test")])
def test_a_subset_that_cannot_be_scored_is_refused_before_any_run(start, tmp_path, subset, words):
    with pytest.raises(UsageError, match=rf"E903.*{words}"):
        start(subset=subset)
    assert not (tmp_path / "out").exists()


def test_a_second_start_may_add_methods_and_seeds(start, tmp_path):
    start(methods=["deep"])
    start(seeds=2)
    assert calls(tmp_path, "deep/seed0") == ["train 2 None 0", "evaluate 2 None 0"]
    assert len(calls(tmp_path, "plain/seed1")) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [({"seeds": 1}, "another number of seeds; expected 2; found 1"),
     ({"methods": ["plain", "deep"]}, r"another choice of methods \(wide is left out\)"),
     ({"budget": "hours", "equal": "updates"}, r"another settings; expected {'epochs': 2}; found {'minutes': 10}"),
     ({"overrides": {"held_out": 0.5}}, "another settings")],
)  # fmt: skip
def test_a_second_start_of_another_study_is_refused(start, tmp_path, options, words):
    start(seeds=2)
    before = (tmp_path / "out" / "study.json").read_bytes()
    with pytest.raises(DataError, match=rf"E503.*{words}"):
        start(**{"seeds": 2} | options)
    assert (tmp_path / "out" / "study.json").read_bytes() == before


def test_one_changed_setting_is_one_finding(start):
    start()
    with pytest.raises(DataError) as refused:
        start(overrides={"held_out": 0.5})
    assert len(refused.value.faults) == 1


def test_a_study_of_which_no_run_began_may_start_anew(start, tmp_path):
    conduct(tmp_path, **{f"{name}_seed0": "fail in train" for name in ("plain", "wide", "deep")})
    with pytest.raises(TrainingError):
        start(overrides={"learning_rate": "abc"})
    conduct(tmp_path)
    start(overrides={"learning_rate": 0.1})
    assert json.loads((tmp_path / "out" / "study.json").read_text())["settings"]["learning_rate"] == 0.1


def test_published_rows_of_other_labels_are_refused_before_the_first_run(start, tmp_path, monkeypatch):
    entry = "{method: theirs, source: a paper, data: other cases, scores: {%s: {dice: 0.9}}}"
    path, look, labels = tmp_path / "bundle" / "configs" / "study.yaml", study.look_first, ("liver", "spleen")
    monkeypatch.setattr(study, "look_first", lambda *given: dataclasses.replace(look(*given), labels=labels))
    before = path.read_text()
    path.write_text(f"{before}published: [{entry % 'lever'}]\n")
    expected = r"E903.*study\.yaml: published rows of theirs: no such label in this bundle; " \
               "expected mean over labels, liver, spleen; found lever"  # fmt: skip
    with pytest.raises(UsageError, match=expected):
        start()
    assert not (tmp_path / "out").exists()
    for label in ("spleen", "mean over labels"):
        path.write_text(f"{before}published: [{entry % label}]\n")
        start()


def test_a_study_in_the_data_or_over_a_file_is_refused(start, tmp_path):
    with pytest.raises(DataError, match=r"E503.*lies in the data"):
        start(out=tmp_path / "data" / "inside")
    (tmp_path / "taken").write_text("")
    with pytest.raises(DataError, match=r"E503.*a file is in the way"):
        start(out=tmp_path / "taken")


def test_other_cases_are_another_study_and_a_moved_folder_is_not(start, tmp_path):
    start()
    (tmp_path / "data").rename(tmp_path / "moved")
    (tmp_path / "data").symlink_to(tmp_path / "moved")
    start()
    (tmp_path / "data" / "split").write_text("another")
    with pytest.raises(DataError, match="another split; expected as it was; found another"):
        start()


def test_a_run_that_fails_stops_no_other(start, tmp_path):
    conduct(tmp_path, wide_seed0="fail in train", deep_seed1="fail in evaluate")
    said = []
    with pytest.raises(TrainingError) as failed:
        run_study(str(tmp_path / "bundle"), tmp_path / "data", tmp_path / "out", "tiny", 2, say=said.append)
    assert failed.value.exit_code == 1 and len(failed.value.faults) == 2
    for fault, run in zip(failed.value.faults, ("wide/seed0", "deep/seed1"), strict=True):
        assert f"{run} failed: [E801] the loss is not finite" in fault.what and "exit code 1" in fault.what
        assert fault.file == tmp_path / "out" / "logs" / f"{run.replace('/', '-')}.log" and fault.file.is_file()
    assert said[-1] == "compared plain/seed0 deep/seed0 plain/seed1 wide/seed1"
    conduct(tmp_path)
    lines, _ = start(seeds=2)
    assert lines[-1].count("seed") == 6 and calls(tmp_path, "plain/seed1") == ["train 2 None 1", "evaluate 2 None 1"]
    assert calls(tmp_path, "deep/seed1") == ["train 2 None 1", "evaluate 2 None 1"]  # trained before already


@pytest.mark.parametrize("how", ["refuse in train", "refuse in train with code 2"])
def test_a_first_run_that_refuses_its_configuration_ends_the_study(start, tmp_path, how):
    conduct(tmp_path, plain_seed0=how)
    with pytest.raises(UsageError, match=r"E903.*plain-seed0\.log.*plain/seed0, does not start: .*no other run was"):
        start(seeds=2)
    assert not (tmp_path / "out" / "wide").exists()
    conduct(tmp_path, wide_seed0=how)
    with pytest.raises(TrainingError, match=r"wide/seed0 failed"):
        start(seeds=2)
    assert len(calls(tmp_path, "deep/seed1")) == 2  # a later run may be the only one with that configuration


def test_the_runs_that_are_done_are_what_is_compared(start, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(study, "_compare", COMPARE)
    monkeypatch.setattr(
        write, "write_comparison", lambda *arguments, notices: given.append((*arguments, notices)) or ["a table"]
    )
    assert start(methods=["wide"])[0][-1] == "nothing to compare: one method is done"
    conduct(tmp_path, wide_seed1="fail in train")
    with pytest.raises(TrainingError):
        start(seeds=2)
    out = tmp_path / "out"
    folders = {name: [out / name / "seed0", out / name / "seed1"] for name in ("plain", "deep")}
    methods = {"plain": folders["plain"], "wide": [out / "wide" / "seed0"], "deep": folders["deep"]}
    (compared,) = given
    assert compared[:3] == (methods, out, None)
    assert len(compared[3]) == 1 and compared[3][0].startswith("Not compared, since it failed: wide/seed1 ([E801] ")


@pytest.mark.parametrize(
    ("options", "words"),
    [({"budget": "huge"}, "no such budget"), ({"methods": ["wid"]}, "did you mean 'wide'"), ({"seeds": 0}, "seeds"),
     ({"equal": "money"}, "updates, time"), ({"equal": "own"}, "each method has a length of its own"),
     ({"equal": "time"}, "equal time needs a budget in minutes"),
     ({"overrides": {"seed": 3}}, "key=value: the study sets this for every run; found seed"),
     ({"overrides": {"output_dir": "x"}}, "output_dir")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_anything_is_written(start, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        start(**options)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(start, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("")
    with pytest.raises(DataError, match=r"E503.*found thesis.tex"):
        start()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_two_studies_at_once_are_refused(start, tmp_path, monkeypatch):
    monkeypatch.setattr(study_state, "PATIENCE_SECONDS", 0.3)
    said = []
    with study_state.locked(tmp_path / "out", said.append), pytest.raises(MedsegError, match="E707"):
        start()
    assert said == []


def test_a_log_that_cannot_be_written_ends_the_study(start, tmp_path):
    start(methods=["plain"])
    (tmp_path / "out" / "logs").rename(tmp_path / "logs")
    (tmp_path / "out" / "logs").write_text("a file in the folder's place")
    with pytest.raises(MedsegError, match=r"E701.*logs"):
        start()


def in_process(folder):
    """The study in a process of its own, once its second run waits."""
    process = subprocess.Popen([sys.executable, "-c", CALLED, str(Path(__file__).parents[2]), str(folder / "bundle"),
                                str(folder / "data"), str(folder / "out")], stderr=subprocess.PIPE)  # fmt: skip
    until((folder / "out" / "wide" / "seed0" / "pid").exists, process)
    time.sleep(0.1)
    return process, int((folder / "out" / "wide" / "seed0" / "pid").read_text())


def until(holds, process=None):
    end = time.monotonic() + 100
    while not holds():
        assert time.monotonic() < end and (process is None or process.poll() is None)
        time.sleep(0.02)


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux'")
def test_a_killed_study_leaves_no_child_behind_and_goes_on(start, tmp_path):
    conduct(tmp_path, wide_seed0="wait in train")
    process, child = in_process(tmp_path)
    process.kill()
    process.wait()
    process.stderr.close()
    until(lambda: not lives(child))
    assert not (tmp_path / "out" / "wide" / "seed0" / "goodbye").exists()
    conduct(tmp_path)
    lines, _ = start()
    assert lines[-1] == "compared plain/seed0 wide/seed0 deep/seed0"
    assert len(calls(tmp_path, "plain/seed0")) == 2 and len(calls(tmp_path, "wide/seed0")) == 3


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_study_lets_its_child_write_a_checkpoint(start, tmp_path, number, code):
    conduct(tmp_path, wide_seed0="wait in train")
    process, child = in_process(tmp_path)
    process.send_signal(number)
    said = process.communicate(timeout=100)[1].decode()
    assert process.returncode == code and "the same command goes on with the study" in said
    assert "stopped by SIGTERM" in said and (tmp_path / "out" / "wide" / "seed0" / "goodbye").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
