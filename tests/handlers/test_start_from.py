"""Fine-tuning: what of another run's weights is taken, and when."""

import json
import logging

import pytest
import torch
from engines import make_evaluator, make_trainer, network
from ignite.engine import Events
from monai.networks.nets import UNETR

from medseg.cases.case import Case
from medseg.cases.lists import _item
from medseg.errors import CheckpointError, DataError
from medseg.handlers import MovingAverage, StartFrom
from medseg.handlers.start_from import fitting, weights_file
from medseg.networks import AutoEncoder, VarAutoEncoder, ViTAutoEnc

SIZE = (32, 32, 16)
VIT = {"img_size": SIZE, "hidden_size": 24, "mlp_dim": 48}
NO_CASES = {"train": [], "validate": [], "test": []}


def with_weights(value, net=None):
    net = net or network()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(value)
    return net


def first_weights(trainer, net):
    """The weights that the first step starts from."""
    seen = []
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda e: seen.append(net.weight.detach().clone()))
    trainer.run()
    return seen[0]


@pytest.fixture
def saved(tmp_path):
    """A function that saves a network as the last checkpoint of a run folder."""

    def save(net, name="earlier", wrapped=True):
        path = tmp_path / name / "checkpoints" / "last.pt"
        path.parent.mkdir(parents=True)
        torch.save({"model": net.state_dict(), "epoch": 3} if wrapped else net.state_dict(), path)
        return path

    return save


def test_training_starts_from_these_weights(saved, tmp_path, caplog):
    path = saved(with_weights(0.25))
    for start in (path, path.parent.parent):  # the file, or its run folder
        net = network()
        trainer = make_trainer(net, handlers=[StartFrom(start, NO_CASES, tmp_path / "run")])
        with caplog.at_level(logging.INFO):
            assert torch.equal(first_weights(trainer, net), torch.full((1, 1, 3, 3, 3), 0.25))
        assert f"{path}: 2 of 2 tensors, 28 of 28 parameters" in caplog.text


def test_the_exported_weights_do_where_no_checkpoint_is_left(saved, tmp_path):
    path = saved(network(), wrapped=False)
    model = tmp_path / "earlier" / "bundle" / "models" / "model.pt"
    model.parent.mkdir(parents=True)
    path.rename(model)
    assert weights_file(tmp_path / "earlier") == model == weights_file(tmp_path / "earlier" / "bundle")
    with pytest.raises(CheckpointError, match=r"E101.*model\.pt or checkpoints/last\.pt"):
        weights_file(tmp_path)


def test_a_moving_average_starts_there_too(saved, tmp_path):
    net, path = network(), saved(with_weights(0.25))
    average = MovingAverage(net, 0.9, make_evaluator(net, []))
    average.load_state_dict(network().state_dict())
    trainer = make_trainer(net, average=average, handlers=[StartFrom(path, NO_CASES, tmp_path / "run")])
    seen = []
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda e: seen.append(average.state_dict()["weight"].clone()))
    trainer.run()
    assert torch.equal(seen[0], torch.full((1, 1, 3, 3, 3), 0.25))


def test_a_run_that_goes_on_has_its_own_weights(tmp_path):
    """The file is not even looked for; without a checkpoint of its own a run starts from it all the same."""
    gone = tmp_path / "gone.pt"
    with pytest.raises(CheckpointError, match=r"E101.*gone\.pt"):
        make_trainer(handlers=[StartFrom(gone, NO_CASES, tmp_path / "run", resume=True)]).run()
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "last.prev.pt").touch()
    net = network()
    before = net.weight.detach().clone()
    trainer = make_trainer(net, handlers=[StartFrom(gone, NO_CASES, tmp_path / "run", resume=True)])
    assert torch.equal(first_weights(trainer, net), before)


def test_nothing_that_fits_is_an_error(saved, tmp_path):
    other = torch.nn.Conv3d(3, 7, 3)
    handler = StartFrom(saved(other), NO_CASES, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"E802.*weight is \(1, 1, 3, 3, 3\), there \(7, 3, 3, 3, 3\)"):
        make_trainer(handlers=[handler]).run()
    handler = StartFrom(saved(torch.nn.Sequential(other), "named"), NO_CASES, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"E802.*no names in common.*expected weight, bias.*found 0\.weight"):
        make_trainer(handlers=[handler]).run()


def test_counters_alone_are_no_weights(saved, tmp_path):
    """Each batch normalisation holds a number of batches, whatever its width."""
    net = torch.nn.Sequential(torch.nn.BatchNorm3d(1), torch.nn.Conv3d(1, 1, 1))
    handler = StartFrom(saved(torch.nn.Sequential(torch.nn.BatchNorm3d(5))), NO_CASES, tmp_path / "run")
    with pytest.raises(CheckpointError, match="E802"):
        make_trainer(net, handlers=[handler]).run()


def test_a_vision_transformer_starts_unetr(saved, tmp_path, caplog):
    torch.manual_seed(1)
    before = ViTAutoEnc(1, patch_size=16, **VIT)
    net = UNETR(1, 3, feature_size=4, **VIT)
    taken = fitting(net, before.state_dict())
    encoder = {name for name in before.state_dict() if name.startswith(("patch_embedding.", "blocks.", "norm."))}
    assert set(taken) == {f"vit.{name}" for name in encoder} and len(encoder) > 100
    assert set(taken) == {name for name in net.state_dict() if name.startswith("vit.")}
    engine = make_trainer(net)
    with caplog.at_level(logging.INFO):
        StartFrom(saved(before), NO_CASES, tmp_path / "run")(engine)
    state = net.state_dict()
    assert all(torch.equal(state[f"vit.{name}"], before.state_dict()[name]) for name in encoder)
    line = next(record.getMessage() for record in caplog.records if "as drawn" in record.getMessage())
    assert "encoder1, encoder2" in line and "out" in line and "vit" not in line.partition("not loaded: ")[2]


def test_a_first_layer_for_other_channels_is_said(saved, tmp_path, caplog):
    before, net = ViTAutoEnc(3, patch_size=16, **VIT), UNETR(1, 3, feature_size=4, **VIT)
    with caplog.at_level(logging.INFO):
        StartFrom(saved(before), NO_CASES, tmp_path / "run")(make_trainer(net))
    named = "vit.patch_embedding.patch_embeddings.weight is (24, 1, 16, 16, 16), there (24, 3, 16, 16, 16)"
    assert named in caplog.text and "vit (" in caplog.text


def test_an_autoencoder_starts_a_segmenter_with_its_encoder():
    shape = {"spatial_dims": 3, "in_channels": 1, "channels": [4, 8], "strides": [2, 2]}
    plain = (
        AutoEncoder(out_channels=1, inter_channels=[8], **shape),
        AutoEncoder(out_channels=3, inter_channels=[8], **shape),
    )
    drawn = [VarAutoEncoder(out_channels=n, img_size=16, latent_size=2, **shape) for n in (1, 3)]
    for before, net in (plain, drawn):
        taken = fitting(net, before.state_dict())
        assert {name for name in net.state_dict() if name.startswith("encode")} <= set(taken)
        left = set(net.state_dict()) - set(taken)
        assert left and all(name.startswith("decode.") for name in left)  # the head for other channels
    assert set(fitting(plain[1], drawn[0].state_dict())) >= {name for name in plain[1].state_dict() if "encode" in name}


def test_weights_that_have_seen_a_held_out_case_are_refused(saved, save, tmp_path):
    path = saved(with_weights(0.25))
    image = save(tmp_path / "c.nii.gz", torch.arange(8.0).reshape(2, 2, 2).numpy())
    from medseg.volumes import digest

    item = _item(Case("c", (image,)))
    listed = {"train": [{"case": "x", "digest": {"image": [digest(image)]}}]}
    (tmp_path / "earlier" / "split.json").write_text(json.dumps(listed))
    for side in ("validate", "test"):
        handler = StartFrom(path, NO_CASES | {side: [item]}, tmp_path / "run")
        with pytest.raises(DataError, match=r"E502.*case=c.*trained on this case"):
            make_trainer(handlers=[handler]).run()
    make_trainer(handlers=[StartFrom(path, NO_CASES | {"train": [item]}, tmp_path / "run")]).run()
