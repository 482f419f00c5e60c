import warnings

import pytest
import torch
from monai.inferers import SlidingWindowInferer

from medseg.errors import UsageError
from medseg.inference import AutocastInferer, best_precision
from medseg.inference.autocast import PRECISIONS

INPUTS = torch.rand(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return torch.nn.Conv3d(1, 3, 3, padding=1)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("windows", [None, SlidingWindowInferer((4, 4, 4))])
def test_float32_comes_back(network, precision, windows):
    inside = []
    hook = network.register_forward_hook(lambda _module, _inputs, output: inside.append(output.dtype))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*autocast.*")
        output = AutocastInferer(windows, precision)(INPUTS, network)
    hook.remove()
    assert output.dtype == torch.float32
    assert set(inside) == {PRECISIONS[precision]}
    if windows is None:
        assert torch.allclose(output, network(INPUTS), atol=0.03)


def test_every_output_of_several(network):
    """Deep supervision gives lists; counts stay integers."""

    def several(inputs):
        scores = network(inputs)
        return [scores, (scores[:, :1], torch.tensor(3)), None]

    first, (second, count), nothing = AutocastInferer(precision="bfloat16")(INPUTS, several)
    assert first.dtype == second.dtype == torch.float32
    assert count.dtype == torch.int64 and nothing is None


def test_gradients_flow(network):
    network.zero_grad()
    AutocastInferer(precision="bfloat16")(INPUTS, network).sum().backward()
    assert network.weight.grad.dtype == torch.float32 and network.weight.grad.any()


@pytest.mark.parametrize("precision", ["fp16", "", None, "float64"])
def test_precisions_that_are_none(precision):
    with pytest.raises(UsageError, match=r"E903.*precision.*one of float32, bfloat16, float16; found "):
        AutocastInferer(precision=precision)


def test_best_precision(monkeypatch):
    for native, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda native=native, **_: native)
        assert best_precision(torch.device("cpu")) == best_precision(torch.device("cuda")) == expected
    assert best_precision(torch.device("mps")) == "float32"
