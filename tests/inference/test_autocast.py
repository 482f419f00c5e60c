import warnings

import pytest
import torch
from monai.inferers import SlidingWindowInferer

from medseg.errors import UsageError
from medseg.inference import AutocastInferer, ThreadedInferer, best_precision
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


@pytest.mark.parametrize("inferer", [None, ThreadedInferer()])
@pytest.mark.parametrize(
    ("convolution", "size"),
    [
        (torch.nn.Conv2d(16, 16, 3, stride=2, padding=1), (16, 2)),
        (torch.nn.Conv3d(16, 16, 3, stride=2, padding=1), (8, 8, 2)),
        (torch.nn.Conv3d(16, 16, 2, stride=3, padding=1), (8, 8, 2)),
        (torch.nn.Conv3d(16, 16, 3, padding=1), (1, 8, 8)),
        (torch.nn.Conv3d(16, 16, 3, padding=1), (2, 2, 2)),
        (torch.nn.Conv3d(16, 16, 3, padding=1), (2, 6, 6)),
        (torch.nn.Conv3d(16, 16, 3, padding=2, dilation=2), (4, 4, 4)),
        (torch.nn.Conv2d(16, 16, 3, stride=2, padding=1), (4, 1)),
        (torch.nn.ConvTranspose3d(16, 16, 5, stride=2, padding=2), (2, 3, 3)),
    ],
)
def test_maps_smaller_than_a_kernel_and_their_gradients(convolution, size, inferer):
    """oneDNN reads memory for them that it did not write, which is made to be full of NaN here.

    Which of these it gets wrong hangs on the processor: with AMX maps too, otherwise gradients alone.
    """
    images = torch.randn(2, 16, *size, generator=torch.Generator().manual_seed(1))

    def computed(precision):
        convolution.zero_grad()
        junk = [torch.full((n * 700,), float("nan")) for n in range(40)]
        del junk
        output = AutocastInferer(inferer, precision)(images, convolution)
        output.square().sum().backward()
        with torch.no_grad():
            predicted = AutocastInferer(inferer, precision)(images, convolution)
        return output.detach(), predicted, convolution.weight.grad.clone()

    found = [computed("bfloat16") for _ in range(5)]
    for expected, *others in zip(computed("float32"), *found, strict=True):
        assert all(torch.equal(other, others[0]) for other in others)
        torch.testing.assert_close(others[0], expected, atol=0.02 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize(
    ("size", "stride", "kept"),
    [(2, 1, torch.float32), (3, 1, torch.bfloat16), (3, 3, torch.float32), (4, 3, torch.bfloat16)],
)
def test_only_small_maps_are_convolved_in_float32(size, stride, kept, gradients):
    maps, weight, found = INPUTS[..., :size], torch.rand(2, 1, 3, 3, 3), []
    for settings in ((None, stride, 1), {"stride": stride, "padding": 1}):
        args, kwargs = (settings, {}) if isinstance(settings, tuple) else ((), settings)
        with torch.set_grad_enabled(gradients):
            AutocastInferer(precision="bfloat16")(
                maps, lambda images, args=args, kwargs=kwargs: found.append(
                    torch.nn.functional.conv3d(images, weight, *args, **kwargs)) or images
            )  # fmt: skip
    assert [output.dtype for output in found] == [kept] * 2


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
