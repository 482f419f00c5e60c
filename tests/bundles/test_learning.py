"""Every bundle's default learns its phantoms, far above what thresholds and mixtures reach (tests/cases/phantoms)."""

import csv
import math

import pytest
from runs import run

from medseg.cases.phantoms import write_phantom
from medseg.workflows.bundles import bundle_names

TARGET = 0.9  # Otsu and EM stay below 0.25 on the hippocampus phantoms


@pytest.mark.parametrize("bundle", bundle_names())
def test_the_default_reaches_the_target_on_phantoms_of_another_contrast_and_pose(bundle, tmp_path):
    data = write_phantom(bundle, tmp_path / "data", 24, seed=3)
    folder = run(bundle, "train", tmp_path / "run", data, epochs=60, validations=1)
    run(bundle, "evaluate", folder, data, subset="test")
    with open(folder / "cases.csv", newline="") as stream:
        dice = [float(row["dice"]) for row in csv.DictReader(stream)]
    assert len(dice) == 12 and math.fsum(dice) / len(dice) >= TARGET
