import math

import pytest
import torch
from engines import Scripted, make_evaluator, make_trainer, network

from medseg.errors import CheckpointError, UsageError
from medseg.handlers import Checkpoint, CheckpointLoader, MovingAverage
from medseg.handlers.checkpoint_loader import load_weights


def train(folder, scores, decay=0.0):
    net = network()
    evaluator = make_evaluator(net, scores)
    average = MovingAverage(net, decay, evaluator) if decay else None
    trainer = make_trainer(net, epochs=len(scores), evaluator=evaluator, average=average,
                           handlers=[Checkpoint(folder, evaluator)])  # fmt: skip
    trainer.run()
    return net


def read(path):
    return torch.load(path, weights_only=True)


def test_last_and_the_one_before_and_best(tmp_path):
    net = train(tmp_path, [0.2, 0.9, 0.5])
    last, previous, best = (read(tmp_path / "checkpoints" / f"{name}.pt") for name in ("last", "last.prev", "best"))
    assert [state["epoch"] for state in (last, previous, best)] == [3, 2, 2]
    assert best["best_metric"] == 0.9 == last["best_metric"]
    assert {"model", "optimizer", "scheduler", "epoch", "iteration", "best_metric", "best_validation", "digest",
            "steps_an_epoch"} == set(last)  # fmt: skip
    assert all(torch.equal(tensor, last["model"][name]) for name, tensor in net.state_dict().items())
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.pt", "last.prev.pt", "last.pt"]


def test_of_short_epochs_the_first_and_the_last_are_kept(tmp_path):
    """Writing may take a billionth of the time here, so that none between them does."""
    make_trainer(network(), epochs=4, handlers=[Checkpoint(tmp_path, share=1e-9)]).run()
    last, previous = (read(tmp_path / "checkpoints" / f"{name}.pt") for name in ("last", "last.prev"))
    assert (last["epoch"], previous["epoch"]) == (4, 1)


def test_a_score_that_is_no_number_never_becomes_the_best(tmp_path):
    train(tmp_path, [math.nan, 0.4, math.nan])
    assert read(tmp_path / "checkpoints" / "best.pt")["epoch"] == 2


class Beside:
    """A further metric, attached as a handler."""

    def __init__(self, name, values):
        self.name, self.metric = name, Scripted(values)

    def attach(self, engine):
        self.metric.attach(engine, self.name)


@pytest.mark.parametrize(("iou", "best"), [([0.1, 0.05, 0.3, 0.2], 3), ([0.4, 0.3, 0.2, 0.1], 1)])
def test_the_best_may_have_to_be_better_in_several_metrics(iou, best, tmp_path):
    """Dice rises all the time: the second epoch's IoU is worse, so it is not the best."""
    net = network()
    evaluator = make_evaluator(net, [0.2, 0.3, 0.4, 0.5], [Beside("val_iou_lung", iou)])
    checkpoint = Checkpoint(tmp_path, evaluator, also=["val_iou_lung"])
    make_trainer(net, epochs=4, evaluator=evaluator, handlers=[checkpoint]).run()
    state = read(tmp_path / "checkpoints" / "best.pt")
    assert state["epoch"] == best and state["best_also"] == {"val_iou_lung": iou[best - 1]}


def test_a_metric_that_there_is_not_is_named(tmp_path):
    net = network()
    evaluator = make_evaluator(net, [0.2])
    checkpoint = Checkpoint(tmp_path, evaluator, also=["val_iou_lungs"])
    with pytest.raises(UsageError, match=r"E903.*val_iou_lungs"):
        make_trainer(net, epochs=1, evaluator=evaluator, handlers=[checkpoint]).run()


def test_with_an_average_the_average_is_the_model(tmp_path):
    net = train(tmp_path, [0.1, 0.2], decay=0.9)
    last = read(tmp_path / "checkpoints" / "last.pt")
    assert torch.equal(last["trained_model"]["weight"], net.weight)
    best = read(tmp_path / "checkpoints" / "best.pt")
    for state in (last, best):  # the best is written while the average stands in the network
        assert not torch.equal(state["model"]["weight"], state["trained_model"]["weight"])


def test_loading_into_the_same_network(tmp_path):
    trained = train(tmp_path, [0.2])
    fresh = torch.nn.Conv3d(1, 1, 3, padding=1)
    load_weights(tmp_path / "checkpoints" / "last.pt", fresh)
    assert torch.equal(fresh.weight, trained.weight)
    torch.save(trained.state_dict(), tmp_path / "bare.pt")
    other = torch.nn.Conv3d(1, 1, 3, padding=1)
    evaluator = make_evaluator(other, [0.0], [CheckpointLoader(tmp_path / "bare.pt", other)])
    evaluator.run()
    assert torch.equal(other.weight, trained.weight)


def test_every_flipped_bit_is_noticed(tmp_path):
    train(tmp_path, [0.2])
    path = tmp_path / "checkpoints" / "last.pt"
    whole, weights = path.read_bytes(), read(path)["model"]
    for place in range(100, len(whole), len(whole) // 60):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        fresh = torch.nn.Conv3d(1, 1, 3, padding=1)
        try:
            load_weights(path, fresh)
        except CheckpointError:
            continue
        assert torch.equal(fresh.weight, weights["weight"])  # a bit that holds nothing, in the archive's padding


@pytest.mark.parametrize(
    "other", [torch.nn.Conv3d(1, 2, 3), torch.nn.Linear(2, 2, bias=False), torch.nn.BatchNorm3d(1)]
)
def test_weights_of_another_network_are_refused_whole(other, tmp_path):
    train(tmp_path, [0.2])
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(CheckpointError, match="E802"):
        load_weights(tmp_path / "checkpoints" / "last.pt", other)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"model": Payload()}, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match="E105"):
        load_weights(tmp_path / "bad.pt", network())
    assert not (tmp_path / "ran").exists()
