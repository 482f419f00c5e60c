"""Going on from a checkpoint: what is taken over, what is refused."""

import csv
import errno
import json
import os

import pytest
import torch
from engines import Drawn, batches, kept, make_evaluator, make_trainer, network
from monai.engines.utils import IterationEvents

from medseg import files
from medseg.errors import CheckpointError, DataError, MedsegError, TrainingError, UsageError
from medseg.handlers import Checkpoint, EarlyStop, MovingAverage, RunFolder
from medseg.handlers.checkpoint_file import pack_checkpoint, read_checkpoint


class Stopped(Exception):
    """Training ends as a killed process ends it: nothing more is written."""


class StopAt:
    def __init__(self, iteration):
        self.iteration = iteration

    def attach(self, engine):
        def stop(trainer):
            if trainer.state.iteration == self.iteration:
                raise Stopped

        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, stop)


def train(folder, epochs=4, scores=None, stop_at=None, resume=False, net=None, seed=0, every=1, decay=0.9, data=None,
          patience=9, share=1.0, config=None):  # fmt: skip
    net = net or network()
    evaluator = make_evaluator(net, scores or [0.1, 0.5, 0.3, 0.2, 0.6, 0.7])
    settings = {"seed": seed, "batch_size": 1, "precision": "float32"}
    handlers = [RunFolder(folder, config or {}, {}, evaluator, resume=resume, settings=settings),
                EarlyStop(patience, evaluator),
                Checkpoint(folder, evaluator, resume=resume, every=every, share=share)]  # fmt: skip
    if stop_at:
        handlers.append(StopAt(stop_at))
    average = MovingAverage(net, decay, evaluator)
    trainer = make_trainer(net, data or Drawn(batches(3)), epochs, handlers, evaluator=evaluator, average=average)
    if stop_at is None:
        trainer.run()
        return trainer
    with pytest.raises(Stopped):
        trainer.run()
    return trainer


def full(real):
    """`os.fsync` on a disk that has no space left for checkpoints."""

    def fsync(handle):
        if "checkpoints/" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    return fsync


def outcome(folder, name="last"):
    return kept(folder / "checkpoints" / f"{name}.pt"), (folder / "iterations.csv").read_bytes()


@pytest.mark.parametrize("stop_at", [2, 3, 4, 6, 7, 11])
def test_a_stopped_run_ends_as_one_that_was_not(stop_at, tmp_path):
    train(tmp_path / "whole")
    train(tmp_path / "stopped", stop_at=stop_at)
    done = (stop_at - 1) // 3  # validations that are not repeated
    train(tmp_path / "stopped", resume=True, scores=[0.1, 0.5, 0.3, 0.2][done:])
    for name in ("last", "best", "last.prev"):
        assert outcome(tmp_path / "stopped", name) == outcome(tmp_path / "whole", name)


def test_without_checkpoints_within_epochs_the_epoch_is_repeated(tmp_path):
    train(tmp_path / "whole")
    train(tmp_path / "stopped", stop_at=8, every=0)
    assert read_checkpoint(tmp_path / "stopped" / "checkpoints" / "last.pt")["iteration"] == 6
    train(tmp_path / "stopped", resume=True, scores=[0.3, 0.2])
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("epochs", [4, 2])
def test_a_finished_run_is_left_as_it_is(epochs, tmp_path):
    train(tmp_path, epochs=4)
    before = outcome(tmp_path)
    train(tmp_path, epochs=epochs, resume=True, scores=[0.0])
    assert outcome(tmp_path) == before


def test_nothing_to_go_on_from_is_a_beginning(tmp_path):
    train(tmp_path / "new", resume=True)
    train(tmp_path / "whole")
    train(tmp_path / "early", stop_at=1)  # killed before the first checkpoint
    assert not (tmp_path / "early" / "checkpoints").exists()
    train(tmp_path / "early", resume=True)
    assert outcome(tmp_path / "new") == outcome(tmp_path / "early") == outcome(tmp_path / "whole")


def test_killed_between_the_first_best_and_the_first_last(tmp_path, monkeypatch):
    """There is a folder of checkpoints, but none to go on from; so there is after a full disk."""
    train(tmp_path / "whole", every=0)

    def killed(*_):
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_in_turn", killed)
        with pytest.raises(Stopped):
            train(tmp_path / "run", every=0)
    left = tmp_path / "run" / "checkpoints"
    (left / ".last.pt.abc.tmp").write_text("half")
    assert sorted(path.name for path in left.iterdir()) == [".last.pt.abc.tmp", "best.pt"]
    with pytest.raises(DataError, match=r"E503.*resume=true"):
        train(tmp_path / "run", every=0)
    train(tmp_path / "run", every=0, resume=True)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    assert outcome(tmp_path / "run", "best") == outcome(tmp_path / "whole", "best")


def test_a_best_of_a_long_run_is_not_removed_for_want_of_a_last(tmp_path):
    train(tmp_path)
    for name in ("last", "last.prev"):
        (tmp_path / "checkpoints" / f"{name}.pt").unlink()
    with pytest.raises(DataError, match="E503") as error:
        train(tmp_path, resume=True)
    assert "resume=true" not in str(error.value) and (tmp_path / "checkpoints" / "best.pt").exists()


@pytest.mark.parametrize("share", [1.0, 1e-9])
def test_a_run_that_stopped_early_stays_so(share, tmp_path):
    """Its last epoch is written, however short epochs are; killed before it is finished or not, no other follows."""
    settings = {"patience": 2, "share": share, "every": 0}
    train(tmp_path, scores=[0.5, 0.3, 0.4, 0.9], **settings)
    assert read_checkpoint(tmp_path / "checkpoints" / "last.pt")["epoch"] == 3
    before = outcome(tmp_path)
    for finished in (True, False):
        record = files.read_json(tmp_path / "record.json")
        files.write_json(tmp_path / "record.json", record | ({} if finished else {"finished": None}))
        train(tmp_path, scores=[0.9], resume=True, **settings)
        assert outcome(tmp_path) == before and files.read_json(tmp_path / "record.json")["finished"]
    trainer = train(tmp_path, scores=[0.9], resume=True, **settings | {"patience": 3})  # more patience goes on
    assert trainer.state.epoch == 4


def test_a_folder_of_something_else_is_not_cleared(tmp_path):
    (tmp_path / "predictions").mkdir()
    with pytest.raises(DataError, match="E503"):
        train(tmp_path, resume=True)
    assert (tmp_path / "predictions").exists()


def test_a_damaged_last_checkpoint_falls_back_with_a_warning(tmp_path, caplog):
    train(tmp_path / "whole")
    train(tmp_path / "run", stop_at=8)
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:-100])
    train(tmp_path / "run", resume=True, scores=[0.3, 0.2])
    assert "E105" in caplog.text and "goes on from" in caplog.text and "last.prev.pt, iteration 6" in caplog.text
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a_damaged_checkpoint_never_takes_the_place_of_a_whole_one(tmp_path, monkeypatch):
    """After a fallback the disk is full: what training went on from is still there."""
    train(tmp_path, stop_at=8)
    last, previous = (tmp_path / "checkpoints" / name for name in ("last.pt", "last.prev.pt"))
    last.write_bytes(last.read_bytes()[:-100])
    whole = previous.read_bytes()
    monkeypatch.setattr(os, "fsync", full(os.fsync))
    with pytest.raises(MedsegError, match=r"E701.*No space left"):
        train(tmp_path, resume=True)
    assert previous.read_bytes() == whole and not last.exists()
    assert (tmp_path / "checkpoints" / "last.damaged.pt").exists()


def test_only_damaged_checkpoints_are_an_error(tmp_path):
    train(tmp_path, stop_at=8)
    for name in ("last", "last.prev"):
        (tmp_path / "checkpoints" / f"{name}.pt").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"(?s)last\.pt.*last\.prev\.pt"):
        train(tmp_path, resume=True)
    assert (tmp_path / "checkpoints" / "last.pt").read_bytes() == b"nothing"


def test_a_better_best_is_not_replaced_by_a_worse_one(tmp_path):
    train(tmp_path, epochs=2, scores=[0.8, 0.5])
    best = (tmp_path / "checkpoints" / "best.pt").read_bytes()
    trainer = train(tmp_path, epochs=4, resume=True, scores=[0.7, 0.79])
    assert (tmp_path / "checkpoints" / "best.pt").read_bytes() == best
    assert trainer.parts["early_stop"].counter == 3 and trainer.parts["early_stop"].best_score == 0.8


def test_a_best_that_is_newer_than_the_last_checkpoint_counts(tmp_path):
    """Killed between both files; the epoch that is trained again need not have the same score on a GPU."""
    train(tmp_path, epochs=2, scores=[0.3, 0.8])
    folder = tmp_path / "checkpoints"
    best = (folder / "best.pt").read_bytes()
    state = read_checkpoint(folder / "last.prev.pt")
    assert state["iteration"] == 5 and state["best_metric"] == 0.3
    (folder / "last.prev.pt").replace(folder / "last.pt")
    train(tmp_path, epochs=2, resume=True, scores=[0.5])
    assert (folder / "best.pt").read_bytes() == best
    assert read_checkpoint(folder / "last.pt")["best_metric"] == 0.8


def test_a_damaged_best_is_made_anew(tmp_path, caplog):
    train(tmp_path, stop_at=8)
    (tmp_path / "checkpoints" / "best.pt").write_bytes(b"nothing")
    train(tmp_path, resume=True, scores=[0.9, 0.2])
    assert "best.pt" in caplog.text and read_checkpoint(tmp_path / "checkpoints" / "best.pt")["best_metric"] == 0.9


def test_a_damaged_best_gives_way_to_the_best_of_the_epochs_to_come(tmp_path, caplog):
    """What it held is lost; a file that nothing can read must not keep its place for it."""
    train(tmp_path, stop_at=8)
    best = tmp_path / "checkpoints" / "best.pt"
    best.write_bytes(b"nothing")
    train(tmp_path, resume=True, scores=[0.1, 0.2])
    assert "E105" in caplog.text and "epochs to come" in caplog.text
    assert read_checkpoint(best)["best_metric"] == 0.2 and best.with_name("best.damaged.pt").read_bytes() == b"nothing"


@pytest.mark.parametrize(("key", "value"), [("learning_rate", 0.1), ("patch_size", [16, 16]), ("train::optimizer", 3)])
def test_other_settings_are_refused(key, value, tmp_path):
    def config(**settings):
        train_part = {"optimizer": settings.pop("train::optimizer", 1), "handlers": settings.pop("handlers", [])}
        return {"learning_rate": 0.005, "patch_size": [8, 8], "workers": 0, "train": train_part} | settings

    train(tmp_path, stop_at=8, config=config())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match=rf"E804.*other settings.*expected {key}=.*found {key}="):
        train(tmp_path, resume=True, config=config(**{key: value}))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    train(tmp_path, resume=True, scores=[0.3, 0.2], config=config(workers=2, handlers=["mine"]))


def test_of_a_long_setting_what_differs_is_shown(tmp_path):
    def config(**loss):
        return {"train": {"loss": {"_target_": "a" * 90, "batch": True, "weight": {"x": 1, "y": 2}} | loss}}

    train(tmp_path, stop_at=8, config=config())
    words = r"expected train::loss={'weight': {'x': 1}}; found train::loss={'weight': {'x': 3}, 'smoothing': 0.1}"
    with pytest.raises(TrainingError, match=words):
        train(tmp_path, resume=True, config=config(weight={"x": 3, "y": 2}, smoothing=0.1))


def test_another_run_is_not_gone_on_with(tmp_path):
    train(tmp_path, stop_at=8)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file())
    with pytest.raises(TrainingError, match=r"E804.*expected seed 1; found seed 0"):
        train(tmp_path, resume=True, seed=1)
    with pytest.raises(TrainingError, match=r"E804.*steps_an_epoch 5"):
        train(tmp_path, resume=True, data=Drawn(batches(5)))
    with pytest.raises(TrainingError, match=r"E804.*parameters 56"):
        train(tmp_path, resume=True, net=torch.nn.Conv3d(1, 2, 3, padding=1))
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file())


def test_a_schedule_of_another_length_is_refused(tmp_path):
    def run(epochs, **kwargs):
        net = network()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=3 * epochs + 1)
        evaluator = make_evaluator(net, [0.1] * 4)
        handlers = [RunFolder(tmp_path, {"epochs": epochs}, {}, evaluator, **kwargs), Checkpoint(tmp_path, **kwargs)]
        trainer = make_trainer(net, Drawn(batches(3)), epochs, handlers)
        trainer.parts |= {"optimizer": optimizer, "scheduler": schedule}
        trainer.run()

    run(2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=r"E804.*scheduler\.total_steps; expected 13; found 7"):
        run(4, resume=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_other_threads_are_a_warning(tmp_path, caplog):
    train(tmp_path, stop_at=8)
    record = json.loads((tmp_path / "record.json").read_text())
    files.write_json(tmp_path / "record.json", record | {"threads": 99})
    train(tmp_path, resume=True, scores=[0.3, 0.2])
    assert "threads was 99" in caplog.text and "no longer bit for bit" in caplog.text


def test_rows_that_are_newer_than_the_checkpoint_are_dropped(tmp_path):
    train(tmp_path, stop_at=8)
    with open(tmp_path / "log.csv", "a") as stream:
        stream.write("3,9,0.1,0.1,1.0,0.9\n")  # killed between this row and the checkpoint
    train(tmp_path, resume=True, epochs=3, scores=[0.3])
    with open(tmp_path / "log.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["epoch"], row["val_mean_dice"]) for row in rows] == [("1", "0.1"), ("2", "0.5"), ("3", "0.3")]


@pytest.mark.parametrize("left", ["7,3,0.1,0.1\n8,3,0.1,0.1\n9,3,0.1,0.1\n", "7,3,0.1,0.1\n8,3,0", "\x00\x00"])
def test_iterations_that_are_newer_than_the_checkpoint_are_dropped(left, tmp_path):
    """Whatever was written of the epoch that was not complete, also by something that does not write whole files."""
    train(tmp_path / "whole")
    train(tmp_path / "run", stop_at=8)
    with open(tmp_path / "run" / "iterations.csv", "a") as stream:
        stream.write(left)
    train(tmp_path / "run", resume=True, scores=[0.3, 0.2])
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a_checkpoint_of_an_incomplete_epoch_holds_that_epochs_iterations_alone(tmp_path):
    train(tmp_path, stop_at=9)
    state = read_checkpoint(tmp_path / "checkpoints" / "last.pt")["log"]
    assert (len(state["rows"]), len(state["losses"]), state["rates"]) == (2, 2, [0.1 * 0.1**3] * 2)


def test_a_checkpoint_from_before_rates_were_kept_is_gone_on_with(tmp_path):
    train(tmp_path / "whole")
    train(tmp_path / "run", stop_at=8)
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    state = read_checkpoint(last)
    del state["log"]["rates"]
    last.write_bytes(pack_checkpoint({key: value for key, value in state.items() if key != "digest"}))
    (tmp_path / "run" / "iterations.csv").unlink()
    train(tmp_path / "run", resume=True, scores=[0.3, 0.2])
    lines = (tmp_path / "run" / "iterations.csv").read_text().splitlines()
    whole = (tmp_path / "whole" / "iterations.csv").read_text().splitlines()
    assert lines[0] == whole[0] and lines[2:] == whole[8:]  # iterations 8 to 12
    assert lines[1] == f"{whole[7].rpartition(',')[0]},nan"


def test_file_systems_without_hard_links(tmp_path, monkeypatch):
    train(tmp_path / "whole")

    def refused(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    train(tmp_path / "run")
    for name in ("last", "last.prev", "best"):
        assert outcome(tmp_path / "run", name) == outcome(tmp_path / "whole", name)


def test_the_time_of_a_run_is_that_of_all_its_processes(tmp_path):
    train(tmp_path, stop_at=8)
    state = read_checkpoint(tmp_path / "checkpoints" / "last.pt")
    assert 0 < state["log"]["seconds"] < 60
    state["log"]["seconds"] = 100.0
    (tmp_path / "checkpoints" / "last.pt").write_bytes(
        pack_checkpoint({k: v for k, v in state.items() if k != "digest"})
    )
    train(tmp_path, resume=True, scores=[0.3, 0.2])
    record = files.read_json(tmp_path / "record.json")
    assert 100 <= record["wall_seconds"] < 160
    train(tmp_path, resume=True)  # nothing is left to do
    assert files.read_json(tmp_path / "record.json") == record


def test_a_run_that_was_killed_when_it_had_trained_is_finished(tmp_path):
    train(tmp_path)
    record = files.read_json(tmp_path / "record.json")
    files.write_json(tmp_path / "record.json", record | {"finished": None, "wall_seconds": None})
    train(tmp_path, resume=True)
    again = files.read_json(tmp_path / "record.json")
    assert again["finished"] and again["wall_seconds"] >= record["wall_seconds"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    train(tmp_path, stop_at=8)
    left = [tmp_path / ".log.csv.abc.tmp", tmp_path / "checkpoints" / ".last.pt.abc.tmp"]
    for path in left:
        path.write_text("half")
    train(tmp_path, resume=True, scores=[0.3, 0.2])
    assert not any(path.exists() for path in left)


def test_no_space_left_keeps_the_old_state(tmp_path, monkeypatch):
    train(tmp_path, epochs=1)
    before, previous = outcome(tmp_path), outcome(tmp_path, "last.prev")
    monkeypatch.setattr(os, "fsync", full(os.fsync))
    with pytest.raises(MedsegError, match=r"E701.*No space left"):
        train(tmp_path, resume=True, scores=[0.5])
    assert outcome(tmp_path) == before and outcome(tmp_path, "last.prev") == previous != before
    assert not [path for path in (tmp_path / "checkpoints").iterdir() if path.suffix == ".tmp"]


@pytest.mark.parametrize(("key", "value"), [("resume", "yes"), ("every", -1), ("every", 2.5)])
def test_settings_that_make_no_sense(key, value, tmp_path):
    with pytest.raises(UsageError, match=rf"E903.*{key}"):
        Checkpoint(tmp_path, **{key: value})
