import pytest
import torch
from ignite.engine import Engine

from medseg.errors import DataError
from medseg.handlers import ImageError


def evaluated(pairs):
    engine = Engine(lambda engine, pair: [{"pred": pair[0], "label": pair[1]}])
    ImageError().attach(engine, "val_negative_mae")
    engine.run(pairs)
    return engine.state.metrics


def test_by_hand():
    """Errors 1, 0, 0, 3 of one image and 0.5 of the other; medians (the lower of two) 2 and 7."""
    image = torch.tensor([[[0.0, 2.0], [2.0, 4.0]]])
    flat = torch.full((1, 2, 2), 7.0)
    metrics = evaluated([(image + torch.tensor([[[1.0, 0.0], [0.0, -3.0]]]), image), (flat + 0.5, flat)])
    assert metrics == {
        "val_negative_mae": pytest.approx(-(1.0 + 0.5) / 2), "val_mae": pytest.approx(0.75),
        "val_mae_constant": pytest.approx((1.0 + 0.0) / 2),
    }  # fmt: skip


def test_an_evaluation_forgets_the_one_before():
    engine = Engine(lambda engine, pair: [{"pred": pair, "label": torch.zeros(1, 2, 2)}])
    ImageError().attach(engine, "val_negative_mae")
    engine.run([torch.ones(1, 2, 2)])
    engine.run([torch.full((1, 2, 2), 3.0)])
    assert engine.state.metrics["val_mae"] == 3.0


def test_other_shapes_are_refused():
    with pytest.raises(DataError, match=r"E201.*expected \(1, 2, 2\); found \(2, 2, 2\)"):
        ImageError().update((torch.zeros(2, 2, 2), torch.zeros(1, 2, 2)))  # which broadcasts
