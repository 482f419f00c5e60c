"""An evaluation is of the network, the labels and the preprocessing that the run was trained with."""

import re

import pytest
from runs import run

from medseg.errors import find

SMALL = {"resize": [32, 32, 16], "spacing_mm": [8.0, 8.0, 8.0]}


@pytest.fixture(scope="module")
def trained(phantoms, tmp_path_factory):
    data = phantoms("liver_ct")
    return run("liver_ct", "train", tmp_path_factory.mktemp("runs") / "run", data, "autoencoder_c2", **SMALL), data


@pytest.mark.parametrize(
    ("method", "other", "named"),
    [
        ("autoencoder_c2", {"spacing_mm": [6.0, 6.0, 6.0]}, "spacing_mm"),
        ("autoencoder_c2", {"labels": {"background": 0, "liver": [1, 2]}}, "labels"),
        ("autoencoder_c2", {"hounsfield": False}, "hounsfield"),
        ("autoencoder_c1", {}, "network_def"),
        (None, {}, "network_def"),
    ],
)
def test_other_settings_than_the_runs_are_refused(trained, method, other, named):
    folder, data = trained
    with pytest.raises(Exception) as caught:
        run("liver_ct", "evaluate", folder, data, method, **(SMALL | other))
    assert re.search(rf"E903.*trained with another .*{named}.*medseg run .*bundle evaluate", str(find(caught.value)))
    assert not (folder / "cases.csv").exists()


def test_the_same_settings_and_what_comes_after_the_network_may_be_given(trained):
    folder, data = trained
    run("liver_ct", "evaluate", folder, data, "autoencoder_c2", resize=[32, 32, 16], spacing_mm=[8, 8, 8],
        largest_components=1)  # fmt: skip
    scores = (folder / "cases.csv").read_text()
    run(folder / "bundle", "evaluate", folder, data, resize=[32, 32, 16], spacing_mm=[8.0, 8.0, 8.0],
        largest_components=1)  # fmt: skip
    assert (folder / "cases.csv").read_text() == scores
