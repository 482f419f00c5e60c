"""A trainer and an evaluator of one tiny network, for tests of what hangs on them."""

import torch
from monai.engines import SupervisedEvaluator
from monai.handlers import ValidationHandler
from torch.utils.data import DataLoader

from medseg.handlers.checkpoint_file import content_digest, read_checkpoint
from medseg.trainers import EpochSampler, SupervisedTrainer


def batches(steps=3, loss_input=1.0):
    """Items of a batch of one, each a (1, 4, 4, 4) image with its label and its name."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(steps, 1, 4, 4, 4, generator=generator)
    return [
        {"image": image * loss_input, "label": (image > 0).float(), "case": f"case_{i}"}
        for i, image in enumerate(images)
    ]


def kept(path):
    """A digest of all that a checkpoint holds, but wall times."""
    state = read_checkpoint(path)
    for timed in (state["log"], *state["log"]["rows"]):
        del timed["seconds"]
    return content_digest(state)


class Drawn(list):
    """Items that `EpochSampler` asks for; each epoch sees them with noise of its own."""

    def __getitem__(self, key):
        epoch, index = key
        item = super().__getitem__(index)
        noise = torch.randn(item["image"].shape, generator=torch.Generator().manual_seed(1000 * epoch + index))
        return item | {"image": item["image"] + 0.1 * noise}


def network():
    torch.manual_seed(0)
    return torch.nn.Conv3d(1, 1, 3, padding=1)


def make_trainer(net=None, data=None, epochs=2, handlers=(), lr=0.1, evaluator=None, **kwargs):
    net = net or network()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    data = batches() if data is None else data
    loader = DataLoader(data, batch_size=1, sampler=EpochSampler(data) if isinstance(data, Drawn) else None)
    validation = [ValidationHandler(1, evaluator, True)] if evaluator is not None else []
    return SupervisedTrainer(
        networks={"model": net}, optimizers={"optimizer": optimizer}, device="cpu", max_epochs=epochs,
        schedulers={"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2)},
        train_data_loader=loader, loss_function=torch.nn.BCEWithLogitsLoss(),
        train_handlers=[*validation, *handlers], **kwargs,
    )  # fmt: skip


class Scripted:
    """A key metric that reads its values from a list."""

    def __init__(self, values):
        self.values = iter(values)

    def attach(self, engine, name):
        from ignite.engine import Events

        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: e.state.metrics.__setitem__(name, next(self.values)))


def make_evaluator(net, scores, handlers=()):
    return SupervisedEvaluator(
        device="cpu", val_data_loader=DataLoader(batches(1), batch_size=1), network=net,
        key_val_metric={"val_mean_dice": Scripted(scores)}, val_handlers=list(handlers),
    )  # fmt: skip
