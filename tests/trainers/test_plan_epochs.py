import sys
import time

import pytest
import torch
from engines import batches, network
from monai.inferers import SimpleInferer
from monai.transforms import Compose, Lambda
from networks.one_process import wrapped
from torch.utils.data import DataLoader

from medseg.caches import CachedDataset
from medseg.errors import UsageError
from medseg.trainers import plan_epochs, validation_interval

plan_module = sys.modules["medseg.trainers.plan_epochs"]  # the package has the function under this name
LOSS = torch.nn.BCEWithLogitsLoss()


def plan(minutes, net, loss=LOSS, validations=0):
    loader = DataLoader(batches(4), batch_size=2)
    return plan_epochs(7, minutes, net, SimpleInferer(), loss, loader, torch.device("cpu"), validations=validations)


def test_without_a_budget_the_number_given_is_planned():
    assert plan(None, network()) == 7


def test_below_several_processes_the_network_is_timed_as_they_apply_it(tmp_path):
    """`ThreadedInferer` shares a batch out for a plain network alone, which is quicker than what training does then."""
    seen = []

    class Inferer(SimpleInferer):
        def __call__(self, inputs, network):
            seen.append(isinstance(network, torch.nn.Module))
            return network(inputs)

    def planned():
        seen.clear()
        loader = DataLoader(batches(4), batch_size=2)
        plan_epochs(7, 0.001, network(), Inferer(), LOSS, loader, torch.device("cpu"))
        return set(seen)

    assert planned() == {True}
    with wrapped(network(), tmp_path):
        assert planned() == {False}


def test_a_budget_is_filled_and_leaves_the_network_alone(monkeypatch):
    clock = [0.0]

    def loss(prediction, label):
        clock[0] += 0.05  # what a step takes, by this clock
        return torch.nn.functional.binary_cross_entropy_with_logits(prediction, label)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    net = network()
    before = net.weight.detach().clone()
    assert plan(0.1, net, loss) == 54  # 6 s, of which 5.4 s in steps of 0.05 s, two an epoch
    assert torch.equal(net.weight, before) and net.weight.grad is None
    assert plan(0.1, net, loss, validations=4) == 52  # four validations, the last after the last epoch; 54 has two


def test_a_long_budget_is_timed_for_longer(monkeypatch):
    """The first 40 steps take twice as long, as they do while volumes come off the disk for the first time."""
    clock, steps = [0.0], [0]

    def loss(prediction, label):
        steps[0] += 1
        clock[0] += 0.1 if steps[0] <= 40 else 0.05
        return LOSS(prediction, label)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    assert plan(10, network(), loss) == 5400  # 540 s in steps of 0.05 s, two an epoch
    assert steps[0] in (80, 81)  # 6 s


def test_a_slow_network_is_timed_for_few_steps(monkeypatch):
    """A planning of 34 steps would take longer than the training that is planned."""
    clock, steps = [0.0], [0]

    def loss(prediction, label):
        steps[0] += 1
        clock[0] += 2.0 if steps[0] == 1 else 0.6
        return LOSS(prediction, label)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    assert plan(0.2, network(), loss) == 9  # 12 s, of which 10.8 s in steps of 0.6 s, two an epoch
    assert steps[0] == 4


def test_a_budget_below_one_epoch_still_trains_one():
    assert plan(1e-6, network()) == 1


def test_validations_are_taken_off_the_budget(monkeypatch):
    clock = [0.0]

    def loss(prediction, label):
        clock[0] += 0.05
        return LOSS(prediction, label)

    class Slow(SimpleInferer):
        def __call__(self, inputs, network):
            clock[0] += 0.5
            return network(inputs)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    epochs = plan_epochs(7, 0.1, network(), SimpleInferer(), loss, DataLoader(batches(4), batch_size=2),
                         torch.device("cpu"), Slow(), batches(3), validations=2)  # fmt: skip
    assert epochs == 39  # 3.9 s and one validation of three cases of 0.5 s; two of them would leave 24 epochs


@pytest.mark.parametrize(("seconds", "planned"), [(9, 1), (39, 1), (41, 2), (59, 2), (61, 5), (79, 5), (81, 7)])
def test_a_slow_network_has_the_epochs_that_fit_with_the_validations_it_will_have(monkeypatch, seconds, planned):
    """Ten seconds an epoch and ten a validation, of which four are wished for: 2 and 3 epochs have 2 and 3 of them (40
    and 60 s), 5 and 7 have one (60 and 80 s), as they are prime, 4 and 6 have 4 and 3 (80 and 90 s).
    """
    monkeypatch.setattr(plan_module, "_seconds_a_step", lambda *_: 5.0)
    monkeypatch.setattr(plan_module, "_seconds_a_case", lambda *_: 5.0)
    monkeypatch.setattr(plan_module, "SHARE", 1.0)
    found = plan_epochs(7, seconds / 60, network(), SimpleInferer(), LOSS, DataLoader(batches(4), batch_size=2),
                        torch.device("cpu"), SimpleInferer(), batches(2), validations=4)  # fmt: skip
    assert found == planned


def test_patches_of_held_out_cases_are_planned_for(monkeypatch):
    """Five, two a batch, are three predictions, each 0.4 of a step of 5 s: 6 s beside 10 s of cases and 10 an epoch."""
    monkeypatch.setattr(plan_module, "_seconds_a_step", lambda *_: 5.0)
    monkeypatch.setattr(plan_module, "_seconds_a_case", lambda *_: 5.0)
    monkeypatch.setattr(plan_module, "SHARE", 1.0)
    for seconds, planned in ((45, 2), (46, 3)):
        loader, held_out = DataLoader(batches(4), batch_size=2), batches(2)
        found = plan_epochs(7, seconds / 60, network(), SimpleInferer(), LOSS, loader, torch.device("cpu"),
                            SimpleInferer(), held_out, validations=1, held_out_patches=5)  # fmt: skip
        assert found == planned


PREPARED = []


def prepare(item):
    """A transform that takes a while."""
    time.sleep(0.25)
    PREPARED.append(item["case"])
    return item


def test_preprocessing_is_no_part_of_a_budget(tmp_path):
    """Eight cases that take a quarter of a second each to be prepared, and next to nothing afterwards."""
    PREPARED.clear()
    items = [batch | {"case": f"c{number}"} for number, batch in enumerate(batches(8))]
    data = CachedDataset(items, Compose([Lambda(prepare)]), tmp_path)
    held_out = CachedDataset([items[0] | {"case": "held_out"}], Compose([Lambda(prepare)]), tmp_path)
    planned = plan_epochs(7, 0.05, network(), SimpleInferer(), LOSS, DataLoader(data, batch_size=1),
                          torch.device("cpu"), SimpleInferer(), held_out, validations=1)  # fmt: skip
    assert [*(f"c{number}" for number in range(8)), "held_out"] == PREPARED
    assert planned > 10  # with what was prepared in a step a second epoch would not fit into the 3 s


def test_patches_that_are_no_number_are_refused():
    for patches in ("8", -8, 1.5):
        with pytest.raises(UsageError, match=r"E903.*held_out_patches"):
            plan_epochs(7, 1, network(), SimpleInferer(), LOSS, DataLoader(batches(4)), torch.device("cpu"),
                        held_out_patches=patches)  # fmt: skip


@pytest.mark.parametrize(
    ("epochs", "validations", "interval"), [(16, 4, 4), (50, 4, 25), (13, 4, 13), (3, 6, 1), (5, 1, 5)]
)
def test_the_last_epoch_is_always_validated(epochs, validations, interval):
    assert validation_interval(epochs, validations) == interval
    assert epochs % interval == 0 and epochs // interval <= validations


@pytest.mark.parametrize("value", [0, -1, 2.5, "ten", True, None])
def test_counts_are_whole_numbers_above_0(value):
    with pytest.raises(UsageError, match=r"E903.*epochs"):
        plan_epochs(value, None, network(), SimpleInferer(), LOSS, [], torch.device("cpu"))
    with pytest.raises(UsageError, match=r"E903.*validations"):
        validation_interval(5, value)


@pytest.mark.parametrize("minutes", [0, -3, "ten", float("nan"), True])
def test_a_budget_is_above_0(minutes):
    with pytest.raises(UsageError, match=r"E903.*minutes"):
        plan(minutes, network())
