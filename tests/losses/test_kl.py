import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from medseg.errors import UsageError
from medseg.losses import WithKL, gaussian_kl

GENERATOR = torch.Generator().manual_seed(0)
MU, LOGVAR = torch.randn(5, 3, generator=GENERATOR), torch.randn(5, 3, generator=GENERATOR)
LOGITS, LABEL = torch.randn(5, 1, 4, 4, generator=GENERATOR), torch.ones(5, 1, 4, 4)
LOSS = torch.nn.BCEWithLogitsLoss()


def test_it_is_the_divergence_of_torch_distributions():
    expected = kl_divergence(Normal(MU, torch.exp(0.5 * LOGVAR)), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(gaussian_kl(MU, LOGVAR), expected)


def test_by_hand():
    mu, logvar = torch.tensor([[0.0, 0.0], [1.0, 2.0]]), torch.tensor([[0.0, 0.0], [0.0, math.log(4.0)]])
    # of the prior 0; of N(1, 1) 1/2; of N(2, 4) (4 + 4 - 1 - ln 4) / 2
    torch.testing.assert_close(gaussian_kl(mu, logvar), torch.tensor([0.0, 0.5 + 3.5 - math.log(2.0)]))


def test_the_weighted_mean_is_added_to_the_loss():
    expected = (
        LOSS(LOGITS, LABEL) + 0.25 * kl_divergence(Normal(MU, torch.exp(0.5 * LOGVAR)), Normal(0.0, 1.0)).sum() / 5
    )
    torch.testing.assert_close(WithKL(LOSS, 0.25)((LOGITS, MU, LOGVAR), LABEL), expected)
    assert WithKL(LOSS).weight == 1e-3


def test_gradients_by_hand():
    logits, mu, logvar = (tensor.clone().requires_grad_() for tensor in (LOGITS, MU, LOGVAR))
    WithKL(LOSS, 0.1)([logits, mu, logvar], LABEL).backward()
    torch.testing.assert_close(mu.grad, 0.1 * MU / 5)
    torch.testing.assert_close(logvar.grad, 0.1 * 0.5 * (LOGVAR.exp() - 1) / 5)
    torch.testing.assert_close(logits.grad, (torch.sigmoid(LOGITS) - LABEL) / LABEL.numel())


def test_a_weight_of_nothing_leaves_the_loss_alone():
    infinite = torch.full((5, 3), math.inf)
    assert torch.equal(WithKL(LOSS, 0)((LOGITS, infinite, infinite), LABEL), LOSS(LOGITS, LABEL))


@pytest.mark.parametrize("prediction", [LOGITS, (LOGITS, MU), None])
def test_a_prediction_without_a_distribution_is_refused(prediction):
    with pytest.raises(UsageError, match=r"E903.*VarAutoEncoder"):
        WithKL(LOSS)(prediction, LABEL)


@pytest.mark.parametrize("weight", [-1.0, math.nan, "1e-3", None, True])
def test_a_weight_that_makes_no_sense_is_refused(weight):
    with pytest.raises(UsageError, match=r"E903.*weight"):
        WithKL(LOSS, weight)
