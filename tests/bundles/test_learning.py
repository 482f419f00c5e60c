"""The bundles whose engine is tested learn their phantoms, far above what thresholds and mixtures reach.

(`tests/cases/phantoms` says what those reach.) Where networks and pictures are small it takes seconds; the model cards
say what the bundles' own settings reach.
"""

import csv
import math

import pytest
from runs import ENGINES, run

from medseg.cases.phantoms import write_phantom

TARGET = 0.9  # Otsu and mixtures, told which clusters to take: below 0.6 in X-rays, 0.5 in the hippocampus
LESSONS = {"hippocampus_mri": {"epochs": 36},
           "chest_xray_lungs": {"epochs": 40, "batch_size": 4, "network_def::width": 12}}  # fmt: skip


@pytest.mark.parametrize("bundle", ENGINES)
def test_the_default_reaches_the_target_on_phantoms_of_another_contrast_and_pose(bundle, tmp_path):
    data = write_phantom(bundle, tmp_path / "data", 24, seed=3)
    folder = run(bundle, "train", tmp_path / "run", data, validations=1, **LESSONS[bundle])
    width = {key: value for key, value in LESSONS[bundle].items() if key == "network_def::width"}
    run(bundle, "evaluate", folder, data, subset="test", **width)
    with open(folder / "cases.csv", newline="") as stream:
        dice = [float(row["dice"]) for row in csv.DictReader(stream)]
    assert len(dice) >= 6 and math.fsum(dice) / len(dice) >= TARGET
