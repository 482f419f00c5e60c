import json
import time

import torch
from engines import make_evaluator, network

from medseg.handlers import InferenceTime


class Slow(torch.nn.Module):
    """A network that takes a known time."""

    def __init__(self, seconds):
        super().__init__()
        self.network, self.seconds = network(), seconds

    def forward(self, images):
        time.sleep(self.seconds)
        return self.network(images)


def test_the_time_of_a_prediction_goes_into_the_record(tmp_path):
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"seed": 3, "inference": "of an earlier evaluation"}))
    evaluator = make_evaluator(Slow(0.2), [0.5, 0.6], [InferenceTime(tmp_path)])
    evaluator.run()
    evaluator.run()
    found = json.loads(record.read_text())
    assert found["seed"] == 3 and found["inference"]["cases"] == 1
    assert 0.2 <= found["inference"]["seconds_a_case"] < 2


def test_a_folder_that_is_no_runs_is_left_alone(tmp_path):
    make_evaluator(network(), [0.5], [InferenceTime(tmp_path)]).run()
    assert list(tmp_path.iterdir()) == []
