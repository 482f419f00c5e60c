"""`CaseScores` inside a field of view, and what a second observer scores beside a method."""

import csv

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from PIL import Image

from medseg.errors import DataError, UsageError
from medseg.handlers import CaseScores, SaveCases
from medseg.reports.run_folder import read_run
from medseg.reports.run_report import write_report
from medseg.reports.score_tables import table_lines, tabulate

LABELS = {"background": 0, "vessel": 1}
SHAPE = (24, 20)


def tensor(array, unit="px"):
    affine = torch.eye(4, dtype=torch.float64)
    return MetaTensor(torch.from_numpy(np.asarray(array, np.uint8))[None, ..., None], affine, {"unit": unit})


def pixels(*boxes):
    found = np.zeros(SHAPE, np.uint8)
    for x, y in boxes:
        found[slice(*x), slice(*y)] = 1
    return found


FIELD = pixels(((2, 20), (0, 20)))
REFERENCE = pixels(((4, 12), (5, 7)), ((20, 24), (0, 20)))  # the second lies outside
PREDICTION = pixels(((6, 12), (5, 7)), ((0, 2), (0, 20)))  # and so does this one's


def evaluate(metric, *handlers, items=({},)):
    def step(engine, place):
        engine.state.batch = [{"case": f"c{place}", "group": f"c{place}", **items[place]}]
        share = torch.from_numpy(0.25 + 0.5 * PREDICTION).float()[None, ..., None]
        return [{"pred": tensor(PREDICTION), "label": tensor(REFERENCE), "prob": share}]

    engine = Engine(step)
    engine.state.metric_details, engine.state.key_metric_name = {}, "val_mean_dice"
    metric.attach(engine, "val_mean_dice")
    for handler in handlers:
        handler.attach(engine)
    engine.run(range(len(items)), max_epochs=1)
    return engine.state


def table(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def scores(**settings):
    metrics = ["dice", "specificity", "accuracy", "roc_auc"]
    return CaseScores(LABELS, metrics, probabilities="prob", **settings)


def test_scores_are_of_the_region_alone(tmp_path):
    """Inside: 16 pixels drawn, 12 of them found, none invented, of 18 x 20."""
    state = evaluate(scores(region="field"), SaveCases(tmp_path, LABELS), items=[{"field": tensor(FIELD)}])
    found = {name.removeprefix("val_").removesuffix("_vessel"): value for name, value in state.metrics.items()}
    assert found["dice"] == found["mean_dice"] == pytest.approx(2 * 12 / (12 + 16))
    assert found["specificity"] == 1 and found["accuracy"] == pytest.approx(356 / 360)
    assert found["roc_auc"] == pytest.approx((12 + 0.5 * 4) / 16)
    counts = {(row["reference"], row["prediction"]): int(row["voxels"]) for row in table(tmp_path / "confusion.csv")}
    assert counts == {("0", "0"): 344, ("0", "1"): 0, ("1", "0"): 4, ("1", "1"): 12}
    for row in table(tmp_path / "curves.csv"):
        assert sum(int(row[name]) for name in ("tp", "fp", "fn", "tn")) == 360
    constant = [row for row in table(tmp_path / "baselines.csv") if row["baseline"] == "constant"]
    assert float(constant[0]["dice"]) == pytest.approx(2 * 16 / (16 + 360))


def test_without_a_region_the_whole_image_counts(tmp_path):
    state = evaluate(scores(), SaveCases(tmp_path, LABELS), items=[{"field": tensor(FIELD)}])
    assert state.metrics["val_dice_vessel"] == pytest.approx(2 * 12 / (12 + 40 + 16 + 80))
    assert sum(int(row["voxels"]) for row in table(tmp_path / "confusion.csv")) == 24 * 20


def test_the_metrics_are_the_usual_ones_where_none_are_named():
    assert CaseScores(LABELS, None).metrics == CaseScores(LABELS).metrics
    assert "hd95" in CaseScores(LABELS, None).metrics


@pytest.mark.parametrize(
    ("field", "error", "words"),
    [(None, UsageError, r"E903.*case=c0.*region.*field"), ("mask.png", UsageError, "E903.*ReadFieldd"),
     (tensor(FIELD[:20]), DataError, r"E201.*case=c0.*the region.*\(24, 20, 1\).*\(20, 20, 1\)"),
     (tensor(FIELD, "mm"), DataError, "E203.*the region"),
     (MetaTensor(tensor(FIELD), torch.diag(torch.tensor([1.0, 1, 1, 1])) + torch.eye(4) * 0.5, {"unit": "px"}),
      DataError, "E202.*the region")],
)  # fmt: skip
def test_a_region_that_is_not_there_or_lies_elsewhere_is_refused(field, error, words):
    item = {} if field is None else {"field": field}
    with pytest.raises(error, match=words):
        evaluate(scores(region="field"), items=[item])


def drawn(folder, array, name="second.gif"):
    Image.fromarray((array * 255).T).save(folder / name)
    return {"second_observer": str(folder / name)}


SECOND = pixels(((4, 10), (5, 8)), ((21, 24), (0, 20)))  # of 16 pixels inside 12, and 6 more


def test_the_second_observer_is_a_row_of_the_table_and_of_the_page(tmp_path):
    """Scored as the method is, on the same pixels; the other case has one observer only."""
    field = {"field": tensor(FIELD)}
    items = [field | drawn(tmp_path, SECOND), field]
    evaluate(scores(region="field"), SaveCases(tmp_path / "run", LABELS), items=items)
    rows = [row for row in table(tmp_path / "run" / "baselines.csv") if row["baseline"] == "second observer"]
    assert [(row["case"], row["group"], row["label"]) for row in rows] == [("c0", "c0", "vessel")]
    assert float(rows[0]["dice"]) == pytest.approx(2 * 12 / (18 + 16))
    assert float(rows[0]["iou"]) == pytest.approx(12 / 22)
    run = read_run(tmp_path / "run")
    lines = table_lines(tabulate(run.cases, ["dice"], run.baselines))
    (line,) = [line for line in lines if "second observer" in line]
    assert "0.706" in line
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "Dice: second observer" in page and "0.706" in page


def test_the_second_observer_is_scored_on_the_whole_image_where_all_of_it_counts(tmp_path):
    state = evaluate(scores(), items=[drawn(tmp_path, SECOND)])
    both, all_drawn, all_second = 12 + 60, 16 + 80, 18 + 60
    (row,) = state.metric_details["observer"]
    assert row["dice"] == pytest.approx(2 * both / (all_drawn + all_second))


def test_a_second_evaluation_forgets_the_first_ones_observers(tmp_path):
    metric = scores()
    for _ in range(2):
        state = evaluate(metric, items=[drawn(tmp_path, SECOND)])
    assert len(state.metric_details["observer"]) == 1


@pytest.mark.parametrize(
    ("array", "words"),
    [(SECOND[:20], r"E201.*case=c0.*second observer.*\(24, 20, 1\).*\(20, 20, 1\)"), (SECOND // 1 * 0 + 3, "E301")],
)
def test_a_second_observers_label_that_does_not_fit_is_refused(tmp_path, array, words):
    Image.fromarray(array.astype(np.uint8).T).save(tmp_path / "second.png")
    with pytest.raises(DataError, match=words):
        evaluate(scores(), items=[{"second_observer": str(tmp_path / "second.png")}])
