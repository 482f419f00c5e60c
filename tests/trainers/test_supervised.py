import multiprocessing
import os
import signal
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch
from engines import batches, make_trainer, network
from ignite.engine import Events
from monai.engines.utils import IterationEvents
from torch.utils.data import DataLoader

from medseg.errors import TrainingError
from medseg.trainers import EpochSampler, SupervisedTrainer, supervised
from medseg.trainers.sigterm import spare_workers


def weights(net):
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


def test_equals_a_bare_loop():
    bare, net, data = network(), network(), batches()
    optimizer = torch.optim.SGD(bare.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    for _ in range(2):
        for item in data:
            optimizer.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(
                bare(item["image"][None]), item["label"][None]
            ).backward()
            optimizer.step()
            scheduler.step()
    make_trainer(net, data).run()
    assert torch.equal(weights(net), weights(bare))


@pytest.mark.parametrize("limit", [None, 1e-3])
def test_gradients_are_clipped_before_the_step(limit):
    trainer, norms = make_trainer(clip_norm=limit), []
    trainer.add_event_handler(
        IterationEvents.MODEL_COMPLETED,
        lambda e: norms.append(torch.cat([p.grad.flatten() for p in e.network.parameters()]).norm().item()),
    )
    trainer.run()
    assert (max(norms) <= 1e-3 * 1.001) == (limit is not None)


@pytest.mark.parametrize("limit", [None, 1e-3])
def test_each_gradient_is_clipped_before_the_step(limit):
    trainer, largest = make_trainer(clip_value=limit), []
    before = weights(trainer.network)

    def note(engine):
        largest.append(max(p.grad.abs().max().item() for p in engine.network.parameters()))

    trainer.add_event_handler(IterationEvents.MODEL_COMPLETED, note)
    trainer.run()
    assert (max(largest) <= 1.001e-3) == (limit is not None)
    # SGD at 0.1 with momentum 0.9 moves a weight by at most 0.1 * 0.001 * 10 a step
    moved = (weights(trainer.network) - before).abs().max().item()
    assert (moved <= 6 * 1e-3) == (limit is not None)


def test_a_loss_that_is_not_finite_stops_before_the_step_and_names_the_case():
    data = batches()
    data[1]["image"][0, 0, 0, 0] = float("nan")
    net = network()
    trainer, seen = make_trainer(net, data), []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: seen.append(weights(net).clone()))
    with pytest.raises(TrainingError, match=r"E801.*case=case_1.*iteration 2"):
        trainer.run()
    assert len(seen) == 1 and torch.equal(weights(net), seen[0]) and torch.isfinite(seen[0]).all()


@pytest.mark.parametrize("limit", [None, 1.0])
def test_gradients_that_are_not_finite_stop_before_the_step_although_the_loss_is(limit):
    net = network()
    trainer, seen = make_trainer(net, clip_norm=limit), []
    net.weight.register_hook(lambda gradient: gradient * (float("nan") if trainer.state.iteration == 2 else 1.0))
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: seen.append(weights(net).clone()))
    with pytest.raises(TrainingError, match=r"E801.*case=case_1.*gradients are not finite at iteration 2"):
        trainer.run()
    assert len(seen) == 1 and torch.equal(weights(net), seen[0]) and torch.isfinite(seen[0]).all()


def test_the_loss_is_the_mean_over_processes(monkeypatch):
    assert make_trainer().has_event_handler(supervised._share_loss, IterationEvents.BACKWARD_COMPLETED)
    for name, value in {"is_available": True, "is_initialized": True, "get_world_size": 2}.items():
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda buffer: buffer.add_(3.0))
    engine = SimpleNamespace(state=SimpleNamespace(output={"loss": torch.tensor(2.0, requires_grad=True)}))
    supervised._share_loss(engine)
    assert engine.state.output["loss"].item() == 2.5


def test_a_step_draws_from_seed_and_iteration_alone():
    def noise(before):
        draws = []
        trainer = make_trainer(epochs=1, seed=5)
        trainer.add_event_handler(IterationEvents.FORWARD_COMPLETED, lambda e: draws.append(torch.rand(1).item()))
        torch.manual_seed(before)
        trainer.run()
        return draws

    assert noise(1) == noise(2) and len(set(noise(1))) == 3


def test_the_sampler_gets_the_epoch():
    order = []

    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, key):
            order.append(key)
            return batches(1)[0]

    data = Data()
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    loader = DataLoader(data, sampler=EpochSampler(data, seed=1), batch_size=2)
    SupervisedTrainer(networks={"model": net}, optimizers={"optimizer": optimizer}, device="cpu", max_epochs=2,
                      train_data_loader=loader, loss_function=torch.nn.BCEWithLogitsLoss()).run()  # fmt: skip
    epochs = [[index for epoch, index in order if epoch == number] for number in (1, 2)]
    assert [sorted(each) for each in epochs] == [list(range(6))] * 2 and epochs[0] != epochs[1]


def test_processes_share_the_statistics_of_batch_normalisation(monkeypatch):
    """Each saw other samples; here the other of two processes has a mean and a variance of 3 after a step."""
    net = torch.nn.BatchNorm3d(1)
    assert make_trainer().has_event_handler(supervised._share_buffers, IterationEvents.MODEL_COMPLETED)
    for name, value in {"is_initialized": True, "get_world_size": 2}.items():
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda buffer: buffer.add_(3.0))
    supervised._share_buffers(SimpleNamespace(network=net))
    assert (net.running_mean.item(), net.running_var.item(), net.num_batches_tracked.item()) == (1.5, 2.0, 0)


def test_workers_let_a_first_sigterm_pass_and_no_second():
    """A scheduler sends it to all processes of a run; training finishes its step with them."""
    loader = DataLoader(Slow(), num_workers=1, batch_size=1, prefetch_factor=2)
    spare_workers(loader)
    spare_workers(loader)  # by the planner, then by the trainer
    items = iter(loader)
    worker = items._workers[0]
    assert next(items).item() == 0
    os.kill(worker.pid, signal.SIGTERM)
    assert [next(items).item() for _ in range(8)] == list(range(1, 9)) and worker.is_alive()
    with suppress(RuntimeError):  # PyTorch's, which may come while this waits or not
        os.kill(worker.pid, signal.SIGTERM)
        worker.join(30)
    worker.join(30)
    assert worker.exitcode == -signal.SIGTERM


class Slow(torch.utils.data.Dataset):
    """So that its loader has work to do while it is signalled."""

    def __len__(self):
        return 100

    def __getitem__(self, index):
        time.sleep(0.05)
        return torch.tensor(index)


@pytest.mark.parametrize("fails", [False, True])
def test_workers_end_with_training(fails):
    """Left to the garbage collector, each is waited for for 5 s."""
    trainer = make_trainer(lr=float("nan") if fails else 0.1)
    loader = DataLoader(batches(), batch_size=1, num_workers=1, persistent_workers=True)
    trainer.data_loader = loader
    before = set(multiprocessing.active_children())
    if fails:
        with pytest.raises(TrainingError):
            trainer.run()
    else:
        trainer.run()
    assert set(multiprocessing.active_children()) <= before
