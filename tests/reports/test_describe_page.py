import dataclasses
import html
import re

import numpy as np
import pytest

from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.reports import describe_page
from medseg.reports.describe_page import write_description
from medseg.reports.description import Description, InferenceTime, Layers, NetworkSummary, Step
from medseg.volumes.overlay import PICTURE

ODD = "<img src=x onerror=alert(1)></script> $x$"
SHAPE = (10, 12, 6)
IMAGE = np.random.default_rng(0).normal(size=(1, *SHAPE)).astype(np.float32)
LABEL = np.zeros(SHAPE, np.int32)
LABEL[3:7, 4:8, 4] = 1
GRID = Geometry(np.diag([1.0, 1.0, 2.5, 1.0]), SHAPE)
DESCRIPTION = Description(
    bundle=ODD, method=ODD, metadata={"name": ODD, "task": ODD}, data=ODD, case=ODD,
    sizes={"train": 1200, "validate": 3}, labels=Labels({"background": 0, ODD: 1}),
    steps=(
        Step("ReadImaged", (), False, True, IMAGE, None, GRID),
        Step("ReadLabeld", (), False, True, IMAGE, LABEL, GRID),
        Step("RandNoised", (("std", ODD),), True, True, IMAGE + 3, LABEL, GRID),
        Step("RandIdled", (), True, False, IMAGE + 3, LABEL, GRID),
    ),
    patches=((IMAGE, LABEL), (IMAGE, LABEL), (IMAGE[..., 0], LABEL[..., 0])), batch_size=2,
    network=NetworkSummary("UNet", (Layers("down", "Conv3d", (4, 5, 6, 3), 1000), Layers("up", "Conv3d", (), 234)),
                           1234, 1000, 5_600_000, (1, *SHAPE)),
    time=InferenceTime(((0.5, 0.1, (1, 9, 9, 9)), (0.7, 0.2, (1, 9, 9, 9)), (0.9, 61.0, (1, 9, 9, 9))), 0.002, "CPU"),
    words={"loss": ODD}, schedules={"scheduler": [(0, 0.1), (10, 0.0)]},
)  # fmt: skip


def text(page):
    written = page.read_text(encoding="utf-8")
    return " ".join(html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", written, flags=re.S)).split()), written


def test_the_numbers_of_network_and_time(tmp_path):
    shown, _ = text(write_description(DESCRIPTION, tmp_path))
    for said in ("1,234", "1,000 of them trained", "5.6 M", "down Conv3d", "predict a case 200 ms 100 ms to 1 min 01 s",
                 "read and prepare a case 700 ms 500 ms to 900 ms", "predict one patch 2 ms", "1,200 train, 3 validate",
                 "4 RandIdled", "unchanged here", "The first 3 patches", "2 a batch", "3 cases of 1"):  # fmt: skip
        assert said in shown, said


def test_names_stay_text(tmp_path):
    shown, written = text(write_description(DESCRIPTION, tmp_path))
    assert ODD in shown and "<img src=x" not in written and "</script>" not in written


def test_without_a_schedule_an_earlier_curve_goes(tmp_path):
    write_description(DESCRIPTION, tmp_path)
    assert (tmp_path / "figures" / "schedule.png").is_file()
    write_description(dataclasses.replace(DESCRIPTION, schedules={}), tmp_path)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["augmented_batches.png", "workflow.png"]


@pytest.fixture
def panels(monkeypatch):
    """The panels of the workflow figure and of the batches, instead of their PNGs."""
    monkeypatch.setattr(describe_page, "draw_panels", lambda rows: [panel for _, row in rows for panel in row])
    return lambda: (describe_page._draw_workflow(DESCRIPTION.steps, DESCRIPTION.labels),
                    describe_page._draw_batches(DESCRIPTION))  # fmt: skip


def test_random_transforms_are_seen_in_the_window_before_them(panels):
    """Three standard deviations brighter: nearly white in the window of what was given, grey in one of its own."""
    workflow, _ = panels()
    means = [panel.pixels.mean() for _, panel in workflow]
    assert means[0] == pytest.approx(127, abs=25) and means[2] > 230
    assert [(name, panel.note) for name, panel in workflow] == [
        ("1 ReadImaged", "10 x 12 x 6"), ("2 ReadLabeld", "10 x 12 x 6"), ("3 RandNoised", "10 x 12 x 6"),
        ("4 RandIdled", "10 x 12 x 6, unchanged"),
    ]  # fmt: skip


def test_the_range_of_intensities_stands_below_each_picture(panels):
    """A step that only scales changes nothing in a picture that has a window of its own."""
    scaled = Step("Scaled", (), False, True, 10 * IMAGE, LABEL, GRID)
    described = dataclasses.replace(DESCRIPTION, steps=(DESCRIPTION.steps[1], scaled))
    (_, before), (_, after) = describe_page._draw_workflow(described.steps, described.labels)
    assert np.abs(before.pixels.astype(int) - after.pixels).max() <= 2
    low, high = float(IMAGE.min()), float(IMAGE.max())
    assert (before.below, after.below) == (f"{low:.4g} to {high:.4g}", f"{10 * low:.4g} to {10 * high:.4g}")


def test_before_the_label_is_read_the_slice_is_the_same_without_an_outline(panels):
    (_, first), (_, second), *_ = panels()[0]
    differs = (first.pixels != second.pixels).any(axis=2)
    assert 0 < differs.mean() < 0.3 and (second.pixels[differs] == DESCRIPTION.labels.colour(ODD)).all()


def test_batches_are_told_apart(panels):
    assert [name for name, _ in panels()[1]] == ["batch 1", "", "batch 2"]


def test_no_letters_stand_where_steps_may_have_turned_the_patient(panels):
    assert all(panel.plane is PICTURE for drawn in panels() for _, panel in drawn)
