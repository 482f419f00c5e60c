import io
import logging
import re
import sys

import pytest
from engines import make_evaluator, make_trainer, network
from ignite.engine import Events

from medseg.handlers import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def train(progress_of):
    net = network()
    evaluator = make_evaluator(net, [0.25, 0.75])
    make_trainer(net, evaluator=evaluator, handlers=[progress_of(evaluator)]).run()


def test_on_a_terminal_a_bar_with_loss_dice_rate_and_time_left(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    train(lambda evaluator: Progress("train", evaluator))
    last = screen.getvalue().split("\r")[-1]
    assert "train epoch 2/2" in last and "6/6" in last and "100%" in last
    assert re.search(r"loss=0\.\d{4}", last) and "dice=" in screen.getvalue() and "step/s" in last
    assert re.search(r"\[\d\d:\d\d<", last)  # time gone, time left


def test_elsewhere_one_line_an_epoch(caplog, capfd):
    with caplog.at_level(logging.INFO, logger="medseg"):
        train(lambda evaluator: Progress("train", evaluator))
    lines = [record.getMessage() for record in caplog.records if "epoch" in record.getMessage()]
    assert [line.split(":")[1] for line in lines] == [" epoch 1 of 2", " epoch 2 of 2"]
    assert "%|" not in capfd.readouterr().err


def test_the_loss_is_the_mean_of_the_epoch(caplog):
    losses = []
    net = network()
    evaluator = make_evaluator(net, [0.25, 0.75])
    trainer = make_trainer(net, evaluator=evaluator, handlers=[Progress("train", evaluator)])
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: losses.append(float(trainer.state.output[0]["loss"])))
    with caplog.at_level(logging.INFO, logger="medseg"):
        trainer.run()
    lines = [record.getMessage() for record in caplog.records if "epoch" in record.getMessage()]
    means = [sum(losses[:3]) / 3, sum(losses[3:]) / 3]
    assert [f"loss {mean:.4f}" in line for line, mean in zip(lines, means, strict=True)] == [True, True]
    assert means[0] != pytest.approx(losses[2], abs=1e-3)


def test_an_error_closes_the_bar_and_goes_on(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    net = network()
    data = [{"image": net.weight.new_full((1, 4, 4, 4), float("nan")), "label": net.weight.new_zeros((1, 4, 4, 4))}]
    handler = Progress("train", make_evaluator(net, []))
    with pytest.raises(Exception, match="E801"):
        make_trainer(net, data, handlers=[handler]).run()
    assert handler.bar.n == 0 and handler.bar.disable
