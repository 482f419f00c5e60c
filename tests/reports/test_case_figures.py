import io

import numpy as np
import pytest
from PIL import Image

from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.reports import case_figures
from medseg.reports.case_figures import draw_case_figures
from medseg.volumes.stack import make_stack
from medseg.volumes.volume import Volume

LABELS = Labels({"background": 0, "a": 1})
SHAPE = (8, 8, 30)


def row(case, dice, empties=""):
    return {"case": case, "label": "a", "dice": dice, "empties": empties}


@pytest.fixture
def stacks():
    """A function that makes the stacks of cases."""
    image, mask = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), np.zeros(SHAPE, np.uint8)
    mask[2:6, 2:6, 3:27] = 1
    made = make_stack(Volume(image, Geometry(np.eye(4), SHAPE)), {"reference": mask, "prediction": mask}, LABELS)
    return lambda *cases: dict.fromkeys(cases, made)


@pytest.fixture
def rows_drawn(monkeypatch):
    monkeypatch.setattr(case_figures, "draw_panels", lambda rows: rows)
    return lambda rows, stacks: draw_case_figures(rows, stacks, stacks.get)


def test_worst_and_best_cases_worst_and_best_first(rows_drawn, stacks):
    cases = [f"c{i}" for i in range(10)]
    drawn = rows_drawn([row(case, f"0.{9 - i}") for i, case in enumerate(cases)], stacks(*cases))
    worst, best = ([title for title, _ in drawn[name]] for name in ("worst_cases.png", "best_cases.png"))
    assert worst == [f"worst {place}: c{10 - place}: Dice 0.{place - 1}00" for place in (1, 2, 3, 4)]
    assert best == [f"best {place}: c{place - 1}: Dice 0.{10 - place}00" for place in (1, 2, 3, 4)]
    assert [name for name, _ in drawn["worst_cases.png"][0][1]] == ["image", "reference", "prediction"]


def test_twenty_slices_of_the_worst_the_median_and_the_best(rows_drawn, stacks):
    cases = [f"c{i}" for i in range(5)]
    drawn = rows_drawn([row(case, 0.1 * i) for i, case in enumerate(cases)], stacks(*cases))
    titles = {name: [title for title, _ in rows] for name, rows in drawn.items() if name.startswith("slices")}
    assert titles == {f"slices_{rank}.png": [f"{rank}: {case}: Dice 0.{i}00", "", "", "", ""]
                      for i, rank, case in ((0, "worst", "c0"), (2, "median", "c2"), (4, "best", "c4"))}  # fmt: skip
    notes = [panel.note for _, panels in drawn["slices_median.png"] for _, panel in panels]
    assert notes[0] == "4/30" and notes[-1] == "27/30" and len(set(notes)) == 20


def test_no_case_is_both_worst_and_best(rows_drawn, stacks):
    drawn = rows_drawn([row("x", 0.5), row("y", 0.6), row("z", 0.7)], stacks("x", "y", "z"))
    assert [len(drawn[name]) for name in ("worst_cases.png", "best_cases.png")] == [1, 1]
    two = rows_drawn([row("x", 0.5), row("y", 0.6)], stacks("x", "y"))
    assert list(two) == ["worst_cases.png", "best_cases.png", "slices_worst.png", "slices_best.png"]
    assert list(rows_drawn([row("x", 0.5)], stacks("x"))) == ["worst_cases.png", "slices_worst.png"]


def test_cases_without_slices_keep_their_rank_and_those_without_a_dice_have_none(rows_drawn, stacks):
    rows = [row("x", 0.5), row("empty", "", "absent"), row("<b>$", 0.4)]
    drawn = rows_drawn(rows, stacks("x", "empty"))
    assert list(drawn) == ["worst_cases.png", "best_cases.png", "slices_best.png"]
    ((title, panels),) = drawn["worst_cases.png"]
    assert title == "worst 1: <b>$: Dice 0.400" and [panel for _, panel in panels] == [None] * 3
    assert drawn["best_cases.png"][0][0] == "best 1: x: Dice 0.500"
    assert rows_drawn(rows, {}) == {} and rows_drawn([], {}) == {} and rows_drawn(rows, stacks("empty")) == {}


def test_they_are_pictures(stacks):
    held = stacks("<b>$", "y")
    for png in draw_case_figures([row("<b>$", 0.4), row("y", 0.5)], held, held.get).values():
        Image.open(io.BytesIO(png)).verify()


def test_a_damaged_stack_leaves_its_row_empty(rows_drawn, stacks):
    rows = [row("x", 0.4), row("y", 0.5)]
    drawn = rows_drawn(rows, stacks("y") | {"x": None})
    assert list(drawn) == ["worst_cases.png", "best_cases.png", "slices_best.png"]
    assert [panel for _, panel in drawn["worst_cases.png"][0][1]] == [None] * 3
    assert rows_drawn(rows, {"x": None}) == {}
