"""The grid of a sweep; its runs are a study's (test_study.py)."""

import json

import pytest
from studies import calls

from medseg.errors import UsageError
from medseg.workflows.studies.study_file import is_folder_name
from medseg.workflows.studies.sweep import grid, run_sweep, split_values


@pytest.fixture
def sweep(start, tmp_path):
    """A function that sweeps over the bundle of the study's tests."""

    def call(*words, **options):
        return run_sweep(str(tmp_path / "bundle"), tmp_path / "data", words, tmp_path / "out",
                         say=lambda line: None, **options)  # fmt: skip

    return call


@pytest.mark.parametrize(
    ("text", "values"),
    [("1,2", ["1", "2"]), ("1", ["1"]), ("[1,2],[3,4]", ["[1,2]", "[3,4]"]), ("(1,[2,3]),4", ["(1,[2,3])", "4"]),
     ("'a,b',c", ["'a,b'", "c"]), ('"]",[1]', ['"]"', "[1]"]), ("{'a': 1, 'b': 2}, x", ["{'a': 1, 'b': 2}", "x"]),
     ("1,,2", ["1", "", "2"])],
)  # fmt: skip
def test_commas_between_brackets_or_quotes_do_not_separate(text, values):
    assert split_values(text) == values


def test_every_combination_is_a_method_named_by_its_values():
    found = grid({"learning_rate": [1e-3, 5e-3], "train::optimizer::weight_decay": [0, 0.1]}, "wide")
    assert [method.name for method in found] == [
        "learning_rate=0.001,train.optimizer.weight_decay=0", "learning_rate=0.001,train.optimizer.weight_decay=0.1",
        "learning_rate=0.005,train.optimizer.weight_decay=0", "learning_rate=0.005,train.optimizer.weight_decay=0.1",
    ]  # fmt: skip
    assert found[1].settings == {"learning_rate": 1e-3, "train::optimizer::weight_decay": 0.1}
    assert {method.delta for method in found} == {"wide"}


def test_names_are_safe_short_and_different():
    values = [[16, 16, 16], "a/b <c>", {"x": list(range(60))}, {"x": list(range(61))}, None, "ä"]
    names = [method.name for method in grid({"patch_size": values})]
    assert all(map(is_folder_name, names)) and len(set(names)) == len(values)


@pytest.mark.parametrize("varied", [{}, {"a": [1, 1]}, {"a": ["x y", "xy"]}])
def test_a_grid_that_is_none_is_refused(varied):
    with pytest.raises(UsageError, match="E903"):
        grid(varied)


def test_a_sweep_runs_its_grid(sweep, tmp_path):
    lines = sweep("learning_rate=0.1,0.2", "momentum=3", budget="tiny", method="deep", seeds=2)
    assert lines[-1] == ("compared learning_rate=0.1/seed0 learning_rate=0.2/seed0 "
                         "learning_rate=0.1/seed1 learning_rate=0.2/seed1")  # fmt: skip
    content = json.loads((tmp_path / "out" / "study.json").read_text())
    command = content["runs"]["learning_rate=0.2/seed1"]["train"]
    assert "deep.yaml" in command and "--epochs 2 --momentum 3 --learning_rate 0.2 --seed 1" in command
    sweep("learning_rate=0.1,0.2,0.3", "momentum=3", budget="tiny", method="deep", seeds=2)
    assert len(calls(tmp_path, "learning_rate=0.1/seed0")) == 2 == len(calls(tmp_path, "learning_rate=0.3/seed0"))


def test_the_length_of_training_can_be_swept(sweep, tmp_path):
    sweep("epochs=1,3", budget="hours")
    assert [calls(tmp_path, f"epochs={n}/seed0")[0] for n in (1, 3)] == ["train 1 None 0", "train 3 None 0"]


@pytest.mark.parametrize(
    ("words", "named"),
    [(["learning_rate"], "learning_rate"), (["x=1,,2"], "x=1,,2"), (["x=1,2", "x=3"], "a key twice"),
     ([], "at least one"),
     (["x=1"], "at least one"), (["seed=1,2"], "seed"), (["held_out=0.1,0.2"], "held_out"),
     (["seed=1", "x=1,2"], "seed"),
     (["epochs=1,2", "minutes=3"], "leave one of them out"), (["epochs=1,2", "minutes=3,4"], "leave one of them out"),
     (["epochs=1", "minutes=3", "x=1,2"], "leave one of them out")],
)  # fmt: skip
def test_words_that_are_no_grid_are_refused(sweep, tmp_path, words, named):
    with pytest.raises(UsageError, match=named):
        sweep(*words)
    assert not (tmp_path / "out").exists()


def test_unknown_methods_and_budgets_are_refused(sweep):
    with pytest.raises(UsageError, match="no such method"):
        sweep("x=1,2", method="none")
    with pytest.raises(UsageError, match="no such budget"):
        sweep("x=1,2", budget="none")
