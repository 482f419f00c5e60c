import csv

import numpy as np
import pytest

from medseg.errors import UsageError
from medseg.metrics.case_table import write_cases
from medseg.metrics.strata import stratify


def rows(column, values, labels=("tumour",), **more):
    return [{"case": f"c{i}", "label": label, "distance_unit": "mm", "empties": "", column: value} | more
            for label in labels for i, value in enumerate(values)]  # fmt: skip


def cases(strata):
    return {name: " ".join(row["case"] for row in members) for name, members in strata.items()}


def test_tertiles_have_a_third_of_the_cases_each():
    # of nine sorted numbers the tertiles lie between the third and fourth, and the sixth and seventh: 0.41 to 1.23 and
    # 5.04 to 9.66, where 1 and 6 are the shortest numbers
    values = (9.66, 0.1, 1.23, 0.2, 22.5, 5.04, 0.41, 3.0, 70.0)
    assert cases(stratify(rows("reference_ml", values), "reference_ml")) == {
        "reference_ml < 1": "c1 c3 c6",
        "1 <= reference_ml < 9": "c2 c5 c7",
        "reference_ml >= 9": "c0 c4 c8",
    }


@pytest.mark.parametrize("n", [3, 7, 10, 100])
def test_cuts_part_any_numbers_into_thirds(n):
    """Also ones that differ late, or lie around zero: rounding a cut moves no case."""
    for values in (1e6 + np.arange(n) * 1e-6, np.random.default_rng(n).normal(size=n), np.geomspace(1e-12, 1e12, n)):
        strata = stratify(rows("x", values.tolist()), "x")
        sizes = [len(members) for members in strata.values()]
        assert len(sizes) == 3 and max(sizes) - min(sizes) <= 1
        assert all(eval(name, {"x": row["x"]}) for name, members in strata.items() for row in members)


def test_names_say_what_the_cuts_did():
    values = np.random.default_rng(1).lognormal(0, 2, 60).tolist()
    for name, members in stratify(rows("v", values), "v").items():
        for row in members:
            assert eval(name, {"v": row["v"]}) is True


def test_given_cuts_are_kept_and_a_case_on_one_belongs_above():
    strata = stratify(rows("reference_ml", (0.5, 1.2, 9.999, 10.0, 3.0)), "reference_ml", (10, 1.2))
    assert cases(strata) == {"reference_ml < 1.2": "c0", "1.2 <= reference_ml < 10": "c1 c2 c4",
                             "reference_ml >= 10": "c3"}  # fmt: skip


def test_a_stratum_without_cases_does_not_occur():
    assert cases(stratify(rows("v", (5.0, 6.0)), "v", (1, 2, 100))) == {"2 <= v < 100": "c0 c1"}


def test_each_label_is_cut_for_itself():
    strata = stratify(rows("v", (1.0, 2.0, 3.0)) + rows("v", (10.0, 20.0, 30.0), ["liver"]), "v")
    assert [(name, row["label"]) for name, members in strata.items() for row in members] == [
        ("v < 2", "tumour"), ("2 <= v < 3", "tumour"), ("v >= 3", "tumour"),
        ("v < 20", "liver"), ("20 <= v < 30", "liver"), ("v >= 30", "liver"),
    ]  # fmt: skip


def test_a_column_of_the_case_cuts_all_labels_alike():
    strata = stratify(rows("age", (31, 45, 52, 66, 70, 81), ("tumour", "liver")), "age")
    assert cases(strata) == {"age < 50": "c0 c1 c0 c1", "50 <= age < 70": "c2 c3 c2 c3", "age >= 70": "c4 c5 c4 c5"}


def test_a_few_numbers_that_repeat_are_strata_of_their_own():
    strata = stratify(rows("thickness", ("5", "1", "2.5", "1.0", "5.00", "2.5", "1")), "thickness")
    assert cases(strata) == {"thickness = 1": "c1 c3 c6", "thickness = 2.5": "c2 c5", "thickness = 5": "c0 c4"}
    assert len(stratify(rows("x", (1.0, 2.0, 3.0, 4.0)), "x")) == 3  # they do not repeat


def test_text_is_sorted_and_empty_cells_come_last():
    strata = stratify(rows("modality", ("MR", "", "CT", "MR", None)), "modality")
    assert cases(strata) == {"modality = CT": "c2", "modality = MR": "c0 c3", "modality not given": "c1 c4"}


def test_numbers_that_are_not_given_come_last():
    strata = stratify(rows("age", (50.0, float("nan"), 20.0, "", 80.0)), "age", (40,))
    assert cases(strata) == {"age < 40": "c2", "age >= 40": "c0 c4", "age not given": "c1 c3"}


def test_one_text_among_numbers_makes_all_of_them_text():
    strata = stratify(rows("grade", (0, 2, "low")), "grade")
    assert cases(strata) == {"grade = 0": "c0", "grade = 2": "c1", "grade = low": "c2"}


def test_slice_thickness_is_the_largest_spacing_in_millimetres():
    table = [{"case": str(i), "label": "x", "distance_unit": unit, "spacing_mm": spacing}
             for i, (spacing, unit) in enumerate([("5 0.7 0.7", "mm"), ("0.7 0.7 2.5", "mm"), ("1 1 1", "px"),
                                                  ("0.9 5 0.9", "mm"), ("0.5 0.5 2.5", "mm"), ("", "mm")])]  # fmt: skip
    assert cases(stratify(table, "thickness_mm")) == {"thickness_mm = 2.5": "1 4", "thickness_mm = 5": "0 3",
                                                      "thickness_mm not given": "2 5"}  # fmt: skip


def test_a_thickness_of_the_table_comes_before_the_spacing():
    table = rows("thickness_mm", (3, 3, 8, 8), spacing_mm="1 1 1")
    assert list(stratify(table, "thickness_mm")) == ["thickness_mm = 3", "thickness_mm = 8"]


def test_cases_without_the_structure_do_not_move_its_tertiles():
    table = rows("reference_ml", (0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0))
    for row in table[:4]:
        row["empties"] = "absent"
    assert cases(stratify(table, "reference_ml")) == {
        "reference_ml < 2": "c0 c1 c2 c3 c4", "2 <= reference_ml < 3": "c5", "reference_ml >= 3": "c6",
    }  # fmt: skip


def test_mostly_one_number_is_parted_from_the_rest():
    assert cases(stratify(rows("v", (0, 0, 0, 0, 0, 7, 8)), "v", None)) == {"v = 0": "c0 c1 c2 c3 c4", "v = 7": "c5",
                                                                           "v = 8": "c6"}  # fmt: skip
    strata = stratify(rows("v", [0] * 20 + [7, 8, 9, 10, 11, 12]), "v")
    assert list(strata) == ["v < 7", "v >= 7"] and [len(members) for members in strata.values()] == [20, 6]


def test_a_label_whose_numbers_are_all_equal_is_one_stratum():
    table = rows("v", (1.5,) * 7) + rows("v", (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0), ["liver"])
    assert [name for name, members in stratify(table, "v").items() if members[0]["label"] == "tumour"] == ["v = 1.5"]


def test_every_row_is_in_one_stratum_whatever_the_order():
    table = rows("v", [*np.random.default_rng(0).normal(size=20).tolist(), None], ("a", "b"))
    strata = stratify(table, "v")
    assert sorted(id(row) for members in strata.values() for row in members) == sorted(map(id, table))
    backwards = stratify(table[::-1], "v")
    assert {name: {id(row) for row in members} for name, members in backwards.items()} == {
        name: {id(row) for row in members} for name, members in strata.items()
    }


def test_text_and_numbers_give_the_same_strata(tmp_path):
    table = rows("v", np.random.default_rng(0).normal(size=9).tolist(), ("a", "b"), spacing_mm="1 1 3")
    with open(write_cases(tmp_path / "cases.csv", table, ()), newline="", encoding="utf-8") as stream:
        text = list(csv.DictReader(stream))
    for column in ("v", "thickness_mm", "label"):
        assert cases(stratify(text, column)) == cases(stratify(table, column))


def test_an_unknown_column_is_refused_with_those_that_there_are():
    with pytest.raises(UsageError, match=r"E903.*no such column.*age, thickness_mm; found agee"):
        stratify(rows("age", (1, 2)), "agee")
    assert stratify([], "age") == {}


def test_text_cannot_be_cut():
    with pytest.raises(UsageError, match=r"E903.*modality holds text.*found CT"):
        stratify(rows("modality", ("", "CT")), "modality", (1.0,))
