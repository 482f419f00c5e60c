import time

import pytest
import torch
from torch import nn

from medseg.workflows.inference_time import time_inference


class Slow(nn.Module):
    """Sleeps, and counts how often it is called, in which mode, with gradients or not."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.calls = seconds, []

    def forward(self, x):
        time.sleep(self.seconds)
        self.calls.append((self.training, torch.is_grad_enabled(), tuple(x.shape)))
        return x


def prepare(item):
    time.sleep(0.02)
    return item | {"image": torch.zeros(1, 8, 8)}


def test_seconds_of_cases_and_of_a_patch():
    network = Slow(0.01).train()
    whole, window = (lambda image, net: net(net(image))), (lambda image, net: net(image))
    found = time_inference(network, whole, window, prepare, [{"case": "a"}, {"case": "b"}],
                           torch.zeros(1, 1, 4, 4), torch.device("cpu"))  # fmt: skip
    assert [shape for *_, shape in found.cases] == [(1, 8, 8)] * 2
    assert all(0.02 <= read < 0.5 and 0.02 <= predict < 0.5 for read, predict, _ in found.cases)
    assert found.window == pytest.approx(0.01, abs=0.2) and found.window >= 0.01
    assert found.device.startswith("CPU, torch threads: ")
    assert network.training and {call[:2] for call in network.calls} == {(False, False)}
    assert sum(shape == (1, 1, 8, 8) for *_, shape in network.calls) == 6  # two of a warm-up, two a case
