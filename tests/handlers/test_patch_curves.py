"""Loss and Dice of patches, of training and of held-out cases."""

import math

import pytest
import torch
from engines import batches, make_trainer, network

from medseg.handlers import TrainingDice
from medseg.handlers.pooled_dice import PooledDice

LABELS = {"background": 0, "liver": [1, 2], "tumour": 2}


def as_scores(values):
    """Scores (1, 3, n) whose largest channel is `values`."""
    return torch.nn.functional.one_hot(torch.tensor([values]), 3).movedim(2, 1).float()


def test_voxels_of_all_batches_are_pooled():
    """By hand. Liver: 2 * (3 + 0) / (3 + 4 + 1 + 0), tumour: 2 * (1 + 0) / (2 + 1)."""
    dice = PooledDice(LABELS)
    dice.add(as_scores([0, 1, 2, 2]), torch.tensor([[[1, 1, 1, 2]]]))
    dice.add((as_scores([0, 0, 1, 0]), "what else a network gives"), torch.tensor([[[0, 0, 0, 0]]]))
    assert dice.value() == pytest.approx((6 / 8 + 2 / 3) / 2)
    dice.clear()
    assert math.isnan(dice.value())


def test_one_channel_and_labels_with_a_channel_each():
    one, each = PooledDice({"background": 0, "lung": 1}), PooledDice(LABELS)
    one.add(torch.tensor([[[-2.0, 0.1, 3.0]]]), torch.tensor([[[0.0, 0.0, 1.0]]]))
    assert one.value() == pytest.approx(2 / 3)
    each.add(as_scores([0, 1, 2]), as_scores([0, 2, 2]))
    assert each.value() == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize(("length", "expected"), [(1, [1]), (8, [1, 3, 5, 7]), (40, [1, 11, 21, 31])])
def test_batches_that_are_counted_go_over_the_epoch(length, expected):
    handler, seen = TrainingDice(LABELS), []
    trainer = make_trainer(network(), data=batches(length), epochs=2)
    handler.attach(trainer)
    handler.dice.add = lambda scores, label: seen.append(trainer.state.iteration)
    trainer.run()
    assert seen == [*expected, *(length + step for step in expected)]


def test_counts_of_an_epoch_that_is_cut_short_are_kept(tmp_path):
    handler = TrainingDice(LABELS)
    handler.dice.add(as_scores([0, 1, 2]), torch.tensor([[[1, 1, 2]]]))
    other = TrainingDice(LABELS)
    other.load_state_dict(handler.state_dict())
    assert other.dice.value() == handler.dice.value() > 0
    second = TrainingDice(LABELS)
    second.rank = 1
    second.load_state_dict(handler.state_dict())  # they are the first process's
    assert math.isnan(second.dice.value())
