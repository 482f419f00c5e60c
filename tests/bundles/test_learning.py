"""Every bundle's default learns its phantoms, far above what thresholds and mixtures reach (tests/cases/phantoms).

Networks and pictures are small, so that it takes seconds; the model cards say what the bundles' own settings reach.
"""

import csv
import math

import pytest
from runs import run

from medseg.cases.phantoms import write_phantom
from medseg.workflows.bundles import bundle_names

SMALL = {"image_size": [64, 64], "network_def::width": 12, "batch_size": 4}
# bundle: settings, the cases that are scored, and the mean Dice that is asked for
LESSONS = {
    "hippocampus_mri": ({"epochs": 60}, "test", 0.9),  # Otsu and mixtures, told which clusters to take: below 0.5
    "chest_xray_lungs": (SMALL | {"epochs": 40}, "test", 0.9),  # 0.57
    "skin_lesion": (SMALL | {"epochs": 50}, "test", 0.8),  # 0.43
    "lung_ct": (SMALL | {"epochs": 4}, "validate", 0.9),  # 0.38
    "prostate_mri": (SMALL | {"epochs": 4}, "test", 0.8),  # 0.22
    "retina_vessels": ({"epochs": 4, "patches_per_image": 60, "network_def::width": 12}, "test", 0.7),  # 0.34
}  # fmt: skip


@pytest.mark.parametrize("bundle", bundle_names())
def test_the_default_reaches_the_target_on_phantoms_it_never_saw(bundle, tmp_path):
    """Where the data set keeps test cases, they are of another contrast and pose."""
    settings, subset, target = LESSONS[bundle]
    data = write_phantom(bundle, tmp_path / "data", 24, seed=3)
    folder = run(bundle, "train", tmp_path / "run", data, validations=1, **settings)
    width = {key: value for key, value in settings.items() if key == "network_def::width"}
    run(bundle, "evaluate", folder, data, subset=subset, **width)
    with open(folder / "cases.csv", newline="") as stream:
        dice = [float(row["dice"]) for row in csv.DictReader(stream) if row["dice"]]
    assert len(dice) >= 5 and math.fsum(dice) / len(dice) >= target
