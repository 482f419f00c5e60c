import math

import pytest
import torch
from engines import make_evaluator, make_trainer, network
from ignite.engine import Events

from medseg.errors import UsageError
from medseg.handlers import Checkpoint, ReduceRateOnPlateau
from medseg.trainers import SupervisedTrainer


def train(folder, scores, patience, epochs=None, resume=False):
    """The learning rate after each epoch."""
    net, rates = network(), []
    evaluator = make_evaluator(net, scores)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    plateau = ReduceRateOnPlateau(optimizer, evaluator, factor=0.5, patience=patience)
    trainer = make_trainer(net, epochs=epochs or len(scores), evaluator=evaluator,
                           handlers=[plateau, Checkpoint(folder, evaluator, resume=resume)])  # fmt: skip
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda e: rates.append(optimizer.param_groups[0]["lr"]))
    assert isinstance(trainer, SupervisedTrainer)
    trainer.run()
    return rates


def test_the_rate_is_halved_after_patience_validations_without_a_better_score(tmp_path):
    assert train(tmp_path, [0.5, 0.4, 0.5, 0.5, 0.6, 0.1], patience=2) == [0.1, 0.1, 0.1, 0.05, 0.05, 0.05]


def test_a_score_that_is_no_number_is_no_better(tmp_path):
    assert train(tmp_path, [0.5, math.nan, math.nan], patience=1) == [0.1, 0.1, 0.05]


def test_it_is_kept_over_a_stop(tmp_path):
    train(tmp_path, [0.5, 0.4], patience=2)
    assert train(tmp_path, [0.5, 0.3], patience=2, epochs=4, resume=True) == [0.1, 0.05]


@pytest.mark.parametrize(("factor", "patience"), [(1.5, 3), (0.5, -1), (0.5, 0.5)])
def test_settings_that_make_no_sense(factor, patience):
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(UsageError, match="E903"):
        ReduceRateOnPlateau(optimizer, make_evaluator(net, []), factor, patience)
