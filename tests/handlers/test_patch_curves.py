"""Loss and Dice of patches, of training and of held-out cases."""

import math

import pytest
import torch
from engines import batches, make_evaluator, make_trainer, network
from ignite.engine import Events

from medseg.errors import DataError, Fault
from medseg.handlers import HeldOutPatches, TrainingDice, held_out_patches, pooled_dice
from medseg.handlers.pooled_dice import PooledDice

LABELS = {"background": 0, "liver": [1, 2], "tumour": 2}
LABELS_OF_ONE = {"background": 0, "lung": 1}


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


def test_each_process_counts_the_voxels_of_all(monkeypatch):
    """So that a checkpoint, which the first writes, holds them; the other found the same here."""
    asked = []
    monkeypatch.setattr(pooled_dice, "gathered", lambda own: asked.append(own) or [*own, [(1, 2), (0, 4)]])
    dice, alone = PooledDice(LABELS, shared=True), PooledDice(LABELS)
    for each in (dice, alone):
        each.add(as_scores([0, 1, 2]), torch.tensor([[[1, 1, 2]]]))
    assert len(asked) == 1 and TrainingDice(LABELS).dice.shared
    assert alone.value() == pytest.approx((4 / 5 + 2 / 2) / 2)
    assert dice.value() == pytest.approx((6 / 7 + 2 / 6) / 2)  # liver (2 + 1) of (5 + 2), tumour (1 + 0) of (2 + 4)


class Images:
    """A data set of (1, 4, 4, 4) images, made of the numbers under ``image``; it notes what is asked for."""

    def __init__(self, cases=(), samples_per_slice=1, error=None):
        self.cases, self.samples_per_slice, self.error, self.asked = list(cases), samples_per_slice, error, []

    def set_data(self, cases):
        if self.error:
            raise self.error
        self.cases = cases

    def __len__(self):
        return len(self.cases) * self.samples_per_slice

    def __getitem__(self, key):
        draw, place = key
        case = self.cases[place % len(self.cases)]
        self.asked.append((draw, case["case"]))
        noise = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(draw))
        return {**case, "image": noise + case["image"], "label": (noise > 0).float()}


HELD_OUT = [
    {"image": float(n), "reference": f"{n}.nii.gz", "case": f"c{n}"} | ({"strata": {"age": "4"}} if n % 2 else {})
    for n in range(20)
]


def curves_of(data, net=None, labels=LABELS_OF_ONE, validations=(0.5, 0.5), **options):
    """Train two epochs, validated after each; the metrics of each epoch, and the trainer."""
    net = net or network()
    evaluator = make_evaluator(net, list(validations))
    handler = HeldOutPatches(data, HELD_OUT, evaluator, labels, **options)
    trainer, found = make_trainer(net, epochs=2, evaluator=evaluator, handlers=[handler]), []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: found.append(dict(engine.state.metrics)))
    trainer.run()
    return found, trainer


def test_at_most_eight_cases_evenly_spaced_one_patch_each():
    data = Images(samples_per_slice=64)  # item i is of slice i modulo their number
    (first, second), _ = curves_of(data)
    cases = [case for _, case in data.asked]
    assert cases == ["c0", "c2", "c5", "c7", "c10", "c12", "c15", "c17"]  # drawn once, kept for the second epoch
    assert {"val_patch_loss", "val_patch_dice"} <= set(first) and first["val_patch_loss"] != second["val_patch_loss"]
    data = Images()
    curves_of(data, patches=20)
    assert len(data.asked) == 20 and len(set(data.asked)) == 20 and len({case for _, case in data.asked}) == 8


@pytest.mark.parametrize("batch_normalised", [False, True])
def test_training_is_the_same_with_and_without_them(batch_normalised):
    def made():
        torch.manual_seed(0)
        parts = [torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.Dropout(0.5), torch.nn.Conv3d(4, 1, 1)]
        return torch.nn.Sequential(*parts[:1], *[torch.nn.BatchNorm3d(4)] * batch_normalised, *parts[1:])

    nets = [made(), made()]
    curves_of(Images(), nets[0])
    make_trainer(nets[1], epochs=2, evaluator=make_evaluator(nets[1], [0.5, 0.5])).run()
    for (name, ours), theirs in zip(nets[0].state_dict().items(), nets[1].state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_nothing_a_forward_pass_leaves_behind_stays_where_it_fails():
    net = torch.nn.Sequential(torch.nn.BatchNorm3d(1), torch.nn.Flatten(), torch.nn.Linear(1, 1))
    before, random = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    with pytest.raises(RuntimeError), held_out_patches._as_in_training(net):
        net(torch.randn(2, 1, 4, 4, 4))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())


def test_where_no_slice_holds_label_there_are_no_curves(caplog):
    empty = DataError(Fault("E302", "no slice of any case holds label", "look"))
    (first, _), _ = curves_of(Images(error=empty))
    assert not [name for name in first if name.startswith("val_patch")] and "no curves" in caplog.text
    with pytest.raises(DataError, match="E201"):
        curves_of(Images(error=DataError(Fault("E201", "other", "look"))))


def test_images_have_a_loss_alone():
    (first, _), _ = curves_of(Images(), labels=None)
    assert "val_patch_loss" in first and "val_patch_dice" not in first
