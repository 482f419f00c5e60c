import csv
import itertools
import math

import numpy as np
import pytest
from scipy import stats

from medseg.errors import DataError, UsageError
from medseg.metrics.bootstrap import by_patient, mean_interval
from medseg.metrics.case_table import write_cases
from medseg.metrics.catalogue import METRICS
from medseg.metrics.summary import STATISTICS, case_means, metrics_in, number, summarise, value


def row(case: str, label: str, dice, hd95="", empties: str = "", unit: str = "mm", **more) -> dict:
    return {
        "case": case, "label": label, "dice": dice, "iou": "", "hd95": hd95, "assd": "", "empties": empties,
        "distance_unit": unit,
    } | more  # fmt: skip


def entry(rows: list[dict], label: str, metric: str) -> dict:
    return next(found for found in summarise(rows) if (found["label"], found["metric"]) == (label, metric))


def test_statistics_by_hand():
    # 2, 4, 4, 4, 5, 5, 7, 9 have the mean 5 and squared deviations that sum to 32. Quartiles stand at places 1.75 and
    # 5.25 of 0 to 7: between 4 and 4, and a quarter of the way from 5 to 7.
    rows = [row(str(i), "liver", 0.5, hd95=str(v)) for i, v in enumerate((9, 4, 5, 4, 2, 5, 7, 4))]
    found = entry(rows, "liver", "hd95")
    assert (found["n"], found["n_groups"]) == (8, 8)
    assert found["mean"] == 5.0
    assert (found["q1"], found["median"], found["q3"]) == (4.0, 4.5, 5.5)
    assert found["sd"] == pytest.approx(math.sqrt(32 / 7), rel=1e-15)
    assert found["se"] == pytest.approx(math.sqrt(32 / 7 / 8), rel=1e-15)
    assert (found["min"], found["max"]) == (2.0, 9.0)


def test_statistics_against_scipy():
    values = np.random.default_rng(0).beta(8, 2, 23)
    found = entry([row(str(i), "x", v) for i, v in enumerate(values.tolist())], "x", "dice")
    described = stats.describe(values)
    assert found["n"] == described.nobs and (found["min"], found["max"]) == described.minmax
    assert found["mean"] == pytest.approx(described.mean) and found["sd"] ** 2 == pytest.approx(described.variance)
    assert found["se"] == pytest.approx(stats.sem(values))
    quartiles = stats.mstats.mquantiles(values, (0.25, 0.5, 0.75), alphap=1, betap=1)  # Hyndman and Fan's type 7
    assert (found["q1"], found["median"], found["q3"]) == pytest.approx(tuple(quartiles))
    student = stats.t.interval(0.95, 22, values.mean(), stats.sem(values))
    assert (found["low"], found["high"]) == pytest.approx(student, abs=0.02)
    assert found["low"] <= student[0] and found["high"] >= student[1]


def test_cases_of_one_group_are_one_patient():
    values, groups = (0.9, 0.8, 0.5, 0.7), ("p", "p", "q", "")
    rows = [row(str(i), "x", v, group=g) for i, (v, g) in enumerate(zip(values, groups, strict=True))]
    found, sums = entry(rows, "x", "dice"), by_patient(values, ("p", "p", "q", "3"))
    assert (found["n"], found["n_groups"]) == (4, 3)
    assert found["se"] == sums.standard_error != pytest.approx(stats.sem(values))
    assert (found["low"], found["high"]) == mean_interval(sums, 0.0, 1.0)


def test_one_patient_leaves_the_interval_undefined():
    found = entry([row("a", "x", 0.9, group="p"), row("b", "x", 0.7, group="p")], "x", "dice")
    assert found["se"] is found["low"] is found["high"] is None
    assert found["mean"] == 0.8


def test_absent_is_left_out_and_missed_or_invented_count_as_zero():
    rows = [
        row("a", "tumour", "0.8", hd95="2.0"),
        row("b", "tumour", "0.0", hd95="100.0", empties="missed"),
        row("c", "tumour", "", hd95="60.0", empties="invented"),
        row("d", "tumour", "", empties="absent"),
    ]
    dice = entry(rows, "tumour", "dice")
    assert dice["n"] == 3
    assert dice["mean"] == pytest.approx(0.8 / 3)
    assert (dice["missed"], dice["invented"], dice["absent"]) == (1, 1, 1)
    assert entry(rows, "tumour", "hd95")["mean"] == 54.0


@pytest.mark.parametrize("metric", METRICS)
def test_the_policy_for_tables_made_elsewhere(metric):
    """Of each kind, as DESIGN.md states it, whatever a cell says."""
    kind = METRICS[metric].kind
    counted = {word: value({"label": "x", "empties": word, metric: "0.75"}, metric)
               for word in ("", "missed", "invented", "absent")}  # fmt: skip
    missing = 0.0 if kind == "overlap" else 0.75
    assert counted == {"": 0.75, "missed": missing, "invented": missing, "absent": 0.75 if kind == "count" else None}


def test_counts_and_volumes_of_an_absent_structure_count():
    rows = [row("a", "x", 0.5, reference_ml="3.0"), row("b", "x", "", empties="absent", reference_ml="0.0")]
    assert entry(rows, "x", "reference_ml")["mean"] == 1.5
    assert entry(rows, "x", "dice")["n"] == 1


def test_a_value_in_an_absent_row_does_not_count():
    assert entry([row("a", "x", "1.0", empties="absent")], "x", "dice")["n"] == 0


@pytest.mark.parametrize(("cell", "empties"), [("", "missed"), ("nan", "invented"), ("inf", ""), ("", "")])
def test_a_structure_without_its_distance_is_refused(cell, empties):
    """Left out in silence it would improve the mean."""
    rows = [row("a", "x", 0.9, hd95=1.0), row("b", "x", 0.0, hd95=cell, empties=empties)]
    with pytest.raises(DataError, match=r"E105\] case=b: no hd95 of x"):
        summarise(rows)
    assert entry([*rows[:1], rows[1] | {"empties": "absent"}], "x", "hd95")["n"] == 1


def test_a_metric_that_was_not_scored_is_left_out():
    found = summarise([row("a", "x", 0.9), row("b", "x", 0.0, empties="missed")])
    assert [each["metric"] for each in found] == ["dice"]


def test_all_absent_leaves_statistics_undefined_but_counted():
    found = entry([row("a", "x", "", empties="absent")], "x", "dice")
    assert (found["n"], found["n_groups"], found["absent"]) == (0, 0, 1)
    assert all(found[name] is None for name in STATISTICS[2:])


def test_one_value_has_no_deviation():
    found = entry([row("a", "x", 0.9)], "x", "dice")
    assert found["sd"] is found["se"] is found["low"] is None


def test_means_do_not_depend_on_the_order():
    values = [0.1] * 10 + [1e16, -1e16]
    forward = entry([row(str(i), "x", v) for i, v in enumerate(values)], "x", "dice")["mean"]
    backward = entry([row(str(i), "x", v) for i, v in enumerate(values[::-1])], "x", "dice")["mean"]
    assert forward == backward == 1.0 / 12


def test_no_statistic_depends_on_the_order():
    rows = [row(str(i), "x", v, group=str(i // 2)) for i, v in enumerate((0.1, 0.9, 0.7, 0.3, 0.8))]
    found = [summarise(order) for order in itertools.islice(itertools.permutations(rows), 0, 120, 17)]
    assert all(each == found[0] for each in found)


def test_labels_keep_their_order_and_units_are_not_mixed():
    rows = [row("a", "spleen", 0.5, 1.0), row("a", "liver", 0.5, 1.0), row("b", "spleen", 0.7, 9.0, unit="px")]
    found = [(e["label"], e["unit"], e["n"]) for e in summarise(rows) if e["metric"] == "hd95"]
    assert found == [("spleen", "mm", 1), ("liver", "mm", 1), ("spleen", "px", 1)]


def test_intervals_end_where_scores_end():
    few = [row(str(i), "x", v, hd95=90 * (1 - v), volume_difference_ml=v - 0.8, roc_auc=v)
           for i, v in enumerate((0.99, 1.0, 0.2))]  # fmt: skip
    found = {each["metric"]: each for each in summarise(few)}
    assert (
        (found["dice"]["low"], found["dice"]["high"])
        == (0.0, 1.0)
        == (found["roc_auc"]["low"], found["roc_auc"]["high"])
    )
    assert found["hd95"]["low"] == 0.0 and found["hd95"]["high"] > 90
    assert found["volume_difference_ml"]["low"] < 0


def test_metrics_are_those_of_the_rows_or_those_asked_for():
    rows = [row("a", "x", 0.5, 1.0, brier=0.1, age=70)]
    assert metrics_in(rows) == ("dice", "iou", "hd95", "assd", "brier")
    assert [each["metric"] for each in summarise(rows, ("hd95", "dice", "hd95"))] == ["hd95", "dice"]
    with pytest.raises(UsageError, match=r"E903.*age"):
        summarise(rows, ("age",))


def test_text_and_numbers_give_the_same_summary(tmp_path):
    rows = [row(str(i), "x", v, 1 / 3 + i, group=str(i // 2), iou=v / 2, assd=float(i), volume_difference_ml=v - 0.5)
            for i, v in enumerate((0.1, 0.9, 0.7, 0.3, 0.8))]  # fmt: skip
    rows.append(row("5", "x", math.nan, math.nan, "absent", iou=math.nan, assd=math.nan, volume_difference_ml=0.0))
    metrics = ("dice", "iou", "hd95", "assd", "volume_difference_ml")
    with open(write_cases(tmp_path / "cases.csv", rows, metrics), newline="", encoding="utf-8") as stream:
        text = list(csv.DictReader(stream))
    assert summarise(text, metrics) == summarise(rows, metrics)


def test_case_means_average_over_the_labels_present():
    rows = [
        row("a", "x", "0.5"), row("a", "y", "1.0"), row("b", "x", "0.9"), row("b", "y", "", empties="absent"),
        row("c", "x", "", empties="absent"),
    ]  # fmt: skip
    assert case_means(rows) == {"a": 0.75, "b": 0.9, "c": None}


@pytest.mark.parametrize("cell", ["", None, "nan", float("nan"), "inf"])
def test_cells_without_a_finite_number(cell):
    assert number(cell) is None


def test_a_cell_of_text_is_refused():
    with pytest.raises(ValueError, match="good"):
        number("good")


def test_no_rows():
    assert summarise([]) == []
