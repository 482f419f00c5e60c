"""Runs that several tests compare."""

import pytest
from made_runs import dice_of, study


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three methods with three seeds each; b is better than a by far, c about as good as b."""
    folder = tmp_path_factory.mktemp("three")
    gains = {"a": 0.0, "b": 0.05, "c": 0.051}
    dice = {name: [dice_of(16, gain, seed=10 * place + seed, seed_effect=0.002 * (seed - 1)) for seed in range(3)]
            for place, (name, gain) in enumerate(gains.items())}  # fmt: skip
    return study(folder, dice, seeds=True), dice
