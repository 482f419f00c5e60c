"""How long each run of a study is: epochs, minutes or updates, for seeds and folds alike."""

import json

import pytest
from studies import calls, conduct, stand_in

from medseg.errors import TrainingError, UsageError


def test_equal_time_gives_every_run_the_minutes(start, tmp_path):
    _, said = start("hours")
    assert [calls(tmp_path, f"{name}/seed0")[0] for name in ("plain", "wide", "deep")] == ["train None 10 0"] * 3
    assert any(line == "run 1 of 3: plain/seed0, about 30 min left" for line in said)


def test_seeds_of_a_method_get_what_the_minutes_gave_its_first_one(start, tmp_path):
    """The cores may be busier when a later seed is planned, and seeds would differ in more than the seed."""
    start("hours", seeds=2)
    assert [calls(tmp_path, f"{name}/seed0")[0] for name in ("plain", "deep")] == ["train None 10 0"] * 2
    assert [calls(tmp_path, f"{name}/seed1")[0] for name in ("plain", "deep")] == ["train 7 None 1"] * 2


def test_where_the_first_seed_failed_the_next_one_plans(start, tmp_path):
    conduct(tmp_path, plain_seed0="fail in train")
    with pytest.raises(TrainingError):
        start("hours", seeds=3)
    assert [calls(tmp_path, f"plain/seed{seed}")[0] for seed in (1, 2)] == ["train None 10 1", "train 7 None 2"]
    conduct(tmp_path)
    start("hours", seeds=3)
    assert calls(tmp_path, "plain/seed0")[0] == "train 7 None 0"


def test_a_run_that_was_planned_before_it_was_stopped_goes_on_with_that(start, tmp_path):
    conduct(tmp_path, plain_seed1="fail in evaluate")
    with pytest.raises(TrainingError):
        start("hours", seeds=2)
    (tmp_path / "out" / "plain" / "seed1" / "bundle" / "models" / "model.pt").unlink()  # as if it had not ended
    conduct(tmp_path)
    start("hours", seeds=2)
    assert calls(tmp_path, "plain/seed1")[-2:] == ["train None 10 1", "evaluate None 10 1"]


def test_equal_updates_are_those_that_the_minutes_give_the_first_run(start, tmp_path, monkeypatch):
    """28 updates: 7 epochs of 4 steps; 14 epochs of 2 steps."""
    stand_in(monkeypatch.setattr, {"deep": 2})
    start("hours", equal="updates")
    assert [calls(tmp_path, f"{name}/seed0")[0] for name in ("plain", "wide", "deep")] == [
        "train None 10 0", "train 7 None 0", "train 14 None 0"]  # fmt: skip
    assert json.loads((tmp_path / "out" / "study.json").read_text())["updates"] == 28


def test_equal_updates_of_epochs_hang_on_no_run(start, tmp_path):
    conduct(tmp_path, plain_seed0="fail in train")
    with pytest.raises(TrainingError) as failed:
        start()
    assert len(failed.value.faults) == 1 and calls(tmp_path, "deep/seed0")[0] == "train 2 None 0"


def test_without_its_first_run_equal_updates_are_not_known(start, tmp_path):
    conduct(tmp_path, plain_seed0="fail in train")
    with pytest.raises(TrainingError) as failed:
        start("hours", equal="updates")
    assert [("E801" in fault.what, "planned by the first run" in fault.what) for fault in failed.value.faults] == [
        (True, False), (False, True), (False, True)]  # fmt: skip


def test_epochs_take_the_place_of_minutes(start, tmp_path):
    start("hours", overrides={"epochs": 3})
    assert calls(tmp_path, "plain/seed0")[0] == "train 3 None 0"


@pytest.mark.parametrize(
    "setting", [{"epochs": 0}, {"epochs": 2.5}, {"epochs": True}, {"minutes": "abc"}, {"minutes": 0}]
)
def test_lengths_that_make_no_sense_are_refused_before_anything_is_written(start, tmp_path, setting):
    with pytest.raises(UsageError, match="E903"):
        start(overrides=setting)
    assert not (tmp_path / "out").exists()


def test_epochs_and_minutes_together_are_refused(start, tmp_path):
    with pytest.raises(UsageError, match=r"E903.*one says how long to train; expected one of them; found epochs=1 min"):
        start(overrides={"epochs": 1, "minutes": 1})
    assert not (tmp_path / "out").exists()
    start(overrides={"epochs": 3, "minutes": None})
    assert calls(tmp_path, "plain/seed0")[0] == "train 3 None 0"


def test_folds_of_a_method_get_what_the_minutes_gave_its_first_one(start, tmp_path):
    start(budget="hours", seeds=None, folds=2, methods=["plain"])
    assert [calls(tmp_path, f"plain/fold{fold}")[0] for fold in range(2)] == ["train None 10 0", "train 7 None 0"]
