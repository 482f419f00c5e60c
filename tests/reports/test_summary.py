import math

import pytest

from medseg.reports.summary import case_means, number, summarise


def row(case: str, label: str, dice, hd95="", empties: str = "", unit: str = "mm") -> dict:
    return {
        "case": case, "label": label, "dice": dice, "iou": "", "hd95": hd95, "assd": "", "empties": empties,
        "distance_unit": unit,
    }  # fmt: skip


def entry(rows: list[dict], label: str, metric: str) -> dict:
    return next(found for found in summarise(rows) if (found["label"], found["metric"]) == (label, metric))


def test_statistics_by_hand():
    # 2, 4, 4, 4, 5, 5, 7, 9 have the mean 5 and squared deviations that sum to 32.
    rows = [row(str(i), "liver", 0.5, hd95=str(v)) for i, v in enumerate((2, 4, 4, 4, 5, 5, 7, 9))]
    found = entry(rows, "liver", "hd95")
    assert found["n"] == 8
    assert found["mean"] == 5.0
    assert found["median"] == 4.5
    assert found["sd"] == pytest.approx(math.sqrt(32 / 7), rel=1e-15)
    assert (found["min"], found["max"]) == (2.0, 9.0)


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


def test_a_value_in_an_absent_row_does_not_count():
    assert entry([row("a", "x", "1.0", empties="absent")], "x", "dice")["n"] == 0


def test_all_absent_leaves_statistics_undefined_but_counted():
    found = entry([row("a", "x", "", empties="absent")], "x", "dice")
    assert (found["n"], found["absent"]) == (0, 1)
    assert all(found[name] is None for name in ("mean", "sd", "median", "min", "max"))


def test_one_value_has_no_deviation():
    assert entry([row("a", "x", 0.9)], "x", "dice")["sd"] is None


def test_means_do_not_depend_on_the_order():
    values = [0.1] * 10 + [1e16, -1e16]
    forward = entry([row(str(i), "x", v) for i, v in enumerate(values)], "x", "dice")["mean"]
    backward = entry([row(str(i), "x", v) for i, v in enumerate(values[::-1])], "x", "dice")["mean"]
    assert forward == backward == 1.0 / 12


def test_labels_keep_their_order_and_units_are_not_mixed():
    rows = [row("a", "spleen", 0.5, 1.0), row("a", "liver", 0.5, 1.0), row("b", "spleen", 0.7, 9.0, unit="px")]
    found = [(e["label"], e["unit"], e["n"]) for e in summarise(rows) if e["metric"] == "hd95"]
    assert found == [("spleen", "mm", 1), ("liver", "mm", 1), ("spleen", "px", 1)]


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
