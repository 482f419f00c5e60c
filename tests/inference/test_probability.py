import pytest
import torch
from monai.inferers import SlidingWindowInferer

from medseg.inference import MirrorInferer, ProbabilityInferer

IMAGE = torch.rand(2, 1, 20, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mode", ["constant", "gaussian"])
@pytest.mark.parametrize("logit", [-12.0, 0.0, 1.3])
def test_a_constant_network_stays_what_it_is(mode, logit):
    inferer = ProbabilityInferer(SlidingWindowInferer((8, 8), 4, overlap=0.6, mode=mode))
    found = inferer(IMAGE, lambda windows: torch.full_like(windows, logit))
    assert found.shape == IMAGE.shape and torch.allclose(found, torch.full_like(IMAGE, logit), atol=1e-2)


def test_overlaps_are_the_mean_of_probabilities_and_not_of_logits():
    """Two windows of 8 of 12 pixels, 4 apart: the first says 0.9, the second 0.2, and where both look 0.55."""
    says = iter([0.9, 0.2])

    def network(windows):
        return torch.cat([torch.full_like(window[None], next(says)) for window in windows]).logit()

    inferer = ProbabilityInferer(SlidingWindowInferer((8, 8), 1, overlap=0.5))
    found = inferer(torch.zeros(1, 1, 12, 8), network).sigmoid()[0, 0, :, 0]
    assert found.tolist() == pytest.approx([0.9] * 4 + [0.55] * 4 + [0.2] * 4)


def test_mirrored_probabilities_are_averaged_too():
    def network(windows):
        return torch.cat([torch.full_like(windows[..., :12], 4.0), torch.full_like(windows[..., 12:], -1.0)], -1)

    found = ProbabilityInferer(MirrorInferer([1]))(IMAGE, network).sigmoid()
    expected = (torch.tensor(4.0).sigmoid() + torch.tensor(-1.0).sigmoid()) / 2
    assert torch.allclose(found, expected.expand_as(found))


def test_several_channels_are_shares_of_one():
    scores = torch.randn(2, 3, 20, 24, generator=torch.Generator().manual_seed(1))
    found = ProbabilityInferer(MirrorInferer([]))(IMAGE, lambda windows: scores)
    assert torch.allclose(found.softmax(1), scores.softmax(1), atol=1e-6)


def test_certain_pixels_stay_finite():
    found = ProbabilityInferer(MirrorInferer([]))(IMAGE, lambda windows: (windows - 0.5) * 1e4)
    assert torch.isfinite(found).all() and found.abs().max() > 15
