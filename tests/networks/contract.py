"""What every network in medseg/networks promises, tested once for all of them."""

import io
from typing import Any, ClassVar

import numpy as np
import onnxruntime
import pytest
import torch

SIZE = (64, 48)
ODD = ((37, 51), (33, 64))


def parameter_count(network):
    return sum(parameter.numel() for parameter in network.parameters())


class NetworkContract:
    """Inherit as ``class TestX(NetworkContract)``, set `network` and `counts`; `narrow` keeps the tests quick.

    ``counts`` holds (arguments, published or counted number of parameters) at the paper's own width.
    """

    network: ClassVar[type[torch.nn.Module]]
    counts: ClassVar[list[tuple[dict[str, Any], int]]]
    narrow: ClassVar[dict[str, Any]] = {"width": 8}
    biases_before_norm: ClassVar[bool] = False

    def make(self, in_channels=1, out_channels=2, seed=0):
        torch.manual_seed(seed)
        return self.network(in_channels=in_channels, out_channels=out_channels, **self.narrow)

    def images(self, size=SIZE, channels=1, batch=2):
        return torch.rand(batch, channels, *size, generator=torch.Generator().manual_seed(1))

    def test_parameter_counts(self):
        for arguments, expected in self.counts:
            with torch.device("meta"):  # shapes alone
                network = self.network(**arguments)
            assert parameter_count(network) == expected, arguments

    @pytest.mark.parametrize("size", [SIZE, *ODD])
    def test_logits_have_the_size_of_the_image(self, size):
        logits = self.make().eval()(self.images(size))
        assert logits.shape == (2, 2, *size)
        assert logits.min() < 0 < logits.max() or logits.abs().max() > 1  # logits, not probabilities

    @pytest.mark.parametrize(("in_channels", "out_channels"), [(3, 1), (4, 5)])
    def test_any_number_of_channels(self, in_channels, out_channels):
        network = self.make(in_channels, out_channels).eval()
        assert network(self.images(channels=in_channels)).shape == (2, out_channels, *SIZE)

    def test_a_gradient_reaches_every_parameter(self):
        """In evaluation where batch normalisation takes away what a bias before it adds: only rounding is left else."""
        network = self.make().train(not self.biases_before_norm)
        target = torch.randint(0, 2, (2, *SIZE), generator=torch.Generator().manual_seed(2))
        torch.nn.functional.cross_entropy(network(self.images()), target).backward()
        without = [name for name, parameter in network.named_parameters()
                   if parameter.grad is None or not parameter.grad.abs().sum() > 0]  # fmt: skip
        assert without == []

    def test_it_can_learn_one_batch(self):
        network, images = self.make().train(), self.images()
        target = (images[:, 0] > 0.5).long()
        optimizer = torch.optim.Adam(network.parameters(), 1e-3)
        losses = []
        for _ in range(12):
            loss = torch.nn.functional.cross_entropy(network(images), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]

    def test_one_seed_gives_one_network(self):
        first, second, other = self.make(seed=3), self.make(seed=3), self.make(seed=4)
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
        assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
        image = self.images()
        assert torch.equal(first.eval()(image), second.eval()(image))

    def test_a_state_dict_makes_a_round_trip(self):
        stream = io.BytesIO()
        first, second = self.make(seed=3).eval(), self.make(seed=4).eval()
        torch.save(first.state_dict(), stream)
        stream.seek(0)
        second.load_state_dict(torch.load(stream, weights_only=True))
        assert torch.equal(first(self.images()), second(self.images()))

    def test_bfloat16_autocast_runs(self):
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.isfinite(self.make().eval()(self.images()).float()).all()

    @pytest.mark.filterwarnings("ignore")  # tracing warns of every Python number
    def test_onnx_runtime_gives_the_same_logits_at_other_sizes(self, tmp_path):
        network, path = self.make().eval(), tmp_path / "network.onnx"
        axes = {"image": {0: "batch", 2: "x", 3: "y"}}
        torch.onnx.export(network, (self.images(),), path, input_names=["image"], output_names=["pred"],
                          dynamic_axes=axes, opset_version=17, dynamo=False)  # fmt: skip
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for size in (SIZE, (96, 80), *ODD):
            image = self.images(size, batch=1)
            with torch.inference_mode():
                expected = network(image).numpy()
            (found,) = session.run(None, {"image": image.numpy()})
            np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-3)
