import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer

from medseg.errors import UsageError
from medseg.inference import InvertedInferer
from medseg.transforms import InvertWithinBodyd

SHAPE = (1, 24, 20, 2)


def case():
    """A body with a lung in it, on air, and the lung's mask."""
    image = torch.full(SHAPE, -1.0)
    image[:, 2:22, 2:18] = 0.9
    lung = torch.zeros(SHAPE, dtype=torch.uint8)
    lung[:, 6:10, 5:14] = 1
    image[lung.bool()] = -0.8
    return image, lung


def test_a_label_and_its_complement_fill_the_body():
    image, lung = case()
    affine = torch.diag(torch.tensor([2.0, 2, 5, 1], dtype=torch.float64))
    given = {"image": image, "label": MetaTensor(lung, affine)}
    outside = InvertWithinBodyd("label")(given)["label"]
    body = torch.zeros(SHAPE, dtype=torch.bool)
    body[:, 2:22, 2:18] = True
    assert torch.equal(outside.as_tensor() == 1, body & (lung == 0))
    assert outside.dtype == torch.uint8 and torch.equal(outside.affine, affine)
    assert torch.equal(given["label"].as_tensor(), lung)  # untouched


def test_a_network_that_knows_the_complement_gives_the_label():
    """The way there and back is exact: lung = body - (body - lung)."""
    image, lung = case()
    outside = InvertWithinBodyd("label")({"image": image, "label": lung})["label"]
    logits = InvertedInferer(SimpleInferer())(image[None], lambda _: 8.0 * outside[None].float() - 4.0)
    assert torch.equal(logits[0] > 0, lung.bool())
    assert logits[0][lung.bool()].unique().tolist() == [4.0]
    assert logits[0, 0, 0, 0, 0].sigmoid() == 0  # air outside the body is certain


def test_several_channels_are_refused():
    with pytest.raises(UsageError, match=r"E903.*found 2"):
        InvertedInferer(SimpleInferer(), channels=2)
    with pytest.raises(ValueError, match="found 2"):
        InvertedInferer(SimpleInferer())(torch.zeros(1, *SHAPE), lambda x: torch.cat([x, x], 1))
