import csv
import math

import numpy as np
import pytest

from medseg.metrics.case_table import write_cases, write_rows


def read(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_columns_come_in_one_order_with_strata_last(tmp_path):
    rows = [{"subset": "test", "site": "A", "dice": 0.5, "case": "c1", "label": "x"}, {"case": "c2", "age": "70"}]
    found = read(write_cases(tmp_path / "cases.csv", rows, ("hd95", "dice")))
    assert list(found[0]) == ["case", "group", "label", "distance_unit", "hd95", "dice", "empties", "reference_ml",
                              "prediction_ml", "tolerance_mm", "spacing_mm", "subset", "site", "age"]  # fmt: skip
    assert (found[0]["dice"], found[0]["hd95"], found[0]["age"], found[1]["age"]) == ("0.5", "", "", "70")


def test_a_volume_among_the_metrics_has_one_column(tmp_path):
    rows = [{"case": "c", "reference_ml": 2.5}]
    found = read(write_cases(tmp_path / "cases.csv", rows, ("dice", "reference_ml")))
    assert list(found[0]).count("reference_ml") == 1 and found[0]["reference_ml"] == "2.5"


@pytest.mark.parametrize("number", [-1.5, 1 / 3, -1e-17, 5e-324, 1e300, np.float64(-0.1), np.float64(2) / 3])
def test_numbers_are_read_back_as_they_were(tmp_path, number):
    """A leading minus sign is a number's and no formula."""
    found = read(write_cases(tmp_path / "cases.csv", [{"case": "c", "volume_difference_ml": number}],
                             ("volume_difference_ml",)))  # fmt: skip
    assert float(found[0]["volume_difference_ml"]) == number


def test_undefined_is_an_empty_cell(tmp_path):
    row = {"a": math.nan, "b": None, "c": np.float64("nan"), "d": np.float32("nan")}
    assert read(write_rows(tmp_path / "t.csv", [row], tuple(row))) == [dict.fromkeys(row, "")]


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(tmp_path, text):
    row = {"case": text, "label": text, "site": text}
    found = read(write_cases(tmp_path / "cases.csv", [row], ("dice",)))[0]
    assert all(found[name].startswith("'") for name in row)


def test_no_rows_leave_the_head(tmp_path):
    path = write_cases(tmp_path / "cases.csv", [], ("dice",))
    assert path.read_text().startswith("case,group,label,distance_unit,dice,empties,") and not read(path)
