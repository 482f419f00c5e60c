import pytest
import torch
from engines import make_evaluator, make_trainer, network
from ignite.engine import Events
from monai.engines.utils import IterationEvents

from medseg.errors import UsageError
from medseg.handlers import EarlyStop, MovingAverage


def test_the_average_is_the_formulas(tmp_path):
    net = network()
    evaluator = make_evaluator(net, [0.0] * 2)
    average, seen = MovingAverage(net, 0.3, evaluator), []
    trainer = make_trainer(net, average=average)
    trainer.add_event_handler(IterationEvents.MODEL_COMPLETED, lambda e: seen.append(net.weight.detach().clone()))
    trainer.run()
    expected = seen[0]
    for step, weight in enumerate(seen[1:], start=1):
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    assert torch.allclose(average.state_dict()["weight"], expected, atol=1e-7)


def test_validation_sees_the_average_and_training_goes_on_without_it():
    net = network()
    validated = []
    evaluator = make_evaluator(net, [0.0] * 2)
    average = MovingAverage(net, 0.9, evaluator)
    trainer = make_trainer(net, average=average, evaluator=evaluator)
    evaluator.add_event_handler(Events.EPOCH_STARTED, lambda e: validated.append(net.weight.detach().clone()))
    trainer.run()
    plain = network()
    make_trainer(plain).run()
    assert torch.equal(net.weight, plain.weight)  # the average does not touch training
    assert torch.equal(validated[-1], average.state_dict()["weight"]) and not torch.equal(validated[-1], net.weight)


def test_decay_zero_is_off():
    net = network()
    average = MovingAverage(net, 0.0, make_evaluator(net, []))
    make_trainer(net, average=average).run()
    assert not average.active
    with pytest.raises(UsageError, match=r"E903.*average_decay.*found 1\.0"):
        MovingAverage(net, 1.0, make_evaluator(net, []))


def test_early_stop_after_validations_without_a_better_score():
    net = network()
    evaluator = make_evaluator(net, [0.1, 0.5, 0.4, 0.3, 0.9])
    trainer = make_trainer(net, epochs=5, evaluator=evaluator, handlers=[EarlyStop(2, evaluator)])
    trainer.run()
    assert trainer.state.epoch == 4


def test_weights_with_two_names_are_averaged_and_kept_once(tmp_path):
    net = network()
    net.again = torch.nn.ModuleDict({"same": torch.nn.Conv3d(1, 1, 3)})
    net.again["same"].weight = net.weight  # as DynUNet's skip layers are
    average = MovingAverage(net, 0.5, make_evaluator(net, []))
    seen = []
    trainer = make_trainer(net, epochs=1, average=average)
    trainer.add_event_handler(IterationEvents.MODEL_COMPLETED, lambda: seen.append(net.weight.detach().clone()))
    trainer.run()
    expected = seen[0]
    for step, weight in enumerate(seen[1:], start=1):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    state = average.state_dict()
    assert torch.allclose(state["weight"], expected) and state["weight"] is state["again.same.weight"]
