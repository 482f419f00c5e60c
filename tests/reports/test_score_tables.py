import csv
import math

import numpy as np
import pytest

from medseg.errors import DataError, UsageError
from medseg.labels import Labels
from medseg.metrics.curves import curve
from medseg.metrics.summary import STATISTICS, summarise
from medseg.reports import write_scores
from medseg.reports.score_tables import mean_of_labels, table_lines, tabulate

METRICS = ("dice", "hd95", "volume_difference_ml")


def row(case, label, dice, hd95=2.0, empties="", **more):
    return {"case": case, "group": case, "label": label, "distance_unit": "mm", "dice": dice, "hd95": hd95,
            "volume_difference_ml": 1.0, "empties": empties, "reference_ml": 3.0, "prediction_ml": 4.0,
            "spacing_mm": "1 1 3", "subset": ""} | more  # fmt: skip


def baseline(case, label, name, dice):
    return {"case": case, "group": case, "label": label, "baseline": name, "dice": dice, "iou": dice / (2 - dice)}


ROWS = [
    row("c1", "liver", 0.9, volume_difference_ml=-4.0, site="A"),
    row("c2", "liver", 0.7, 8.0, site="B"),
    row("c3", "liver", 0.8, 5.0, site="A"),
    row("c1", "tumour_50%", 0.0, 300.0, "missed", site="A"),
    row("c2", "tumour_50%", 0.6, site="B"),
    row("c3", "tumour_50%", math.nan, math.nan, "absent", volume_difference_ml=0.0, site="A"),
]
BASELINES = [
    *(baseline(f"c{i}", "liver", "constant", 0.1 * i) for i in (1, 2, 3)),
    *(baseline(f"c{i}", "tumour_50%", "constant", 0.01) for i in (1, 2)),
    baseline("c3", "tumour_50%", "constant", math.nan),
]


def read(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def written(tmp_path):
    lines = write_scores(ROWS, tmp_path, METRICS, BASELINES, [("site", None)])
    return tmp_path, lines


def test_what_is_written(written):
    folder, _ = written
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == [
        "baselines.csv", "cases.csv", "figures/dice_by_label.png", "figures/hd95_by_label.png", "summary.csv",
        "summary.md", "summary.tex",
    ]  # fmt: skip
    cases = read(folder / "cases.csv")
    assert [(r["case"], r["label"], r["site"]) for r in cases] == [(r["case"], r["label"], r["site"]) for r in ROWS]
    assert float(cases[0]["volume_difference_ml"]) == -4.0
    assert read(folder / "baselines.csv")[-1] == {
        "case": "c3", "group": "c3", "label": "tumour_50%", "baseline": "constant", "dice": "", "iou": ""
    }  # fmt: skip


def test_the_lines_for_a_terminal(written):
    # Dice of the liver: 0.9, 0.7, 0.8 have the mean 0.8; Student's interval of three is 0.8 -+ 4.3027 * 0.1 / 3**0.5.
    _, lines = written
    assert lines[0].split() == ["mean", "[95", "%", "interval]", "median", "n", "missed/inv."]
    assert lines[1].split()[:3] == ["liver", "Dice", "0.800"]
    low, high = (float(number) for number in lines[1].split("[")[1].split("]")[0].split(","))
    assert low <= 0.8 - 0.248 + 5e-4 and high == 1.0
    assert lines[1].split()[-3:] == ["0.800", "3", "0/0"]
    assert [line.strip().split("  ")[0] for line in lines[2:5]] == [
        "HD95 (mm)",
        "Volume difference (ml)",
        "Dice: constant",
    ]
    assert lines[5].startswith("tumour_50%") and lines[5].split()[-2:] == ["2", "1/0"]
    assert max(map(len, lines)) <= 100
    assert lines[9] == "" and lines[10].split()[0] == "Dice" and len(lines) == 15
    assert [line.split()[:4] for line in lines[11:]] == [
        ["liver", "site", "=", "A"], ["liver", "site", "=", "B"], ["tumour_50%", "site", "=", "A"],
        ["tumour_50%", "site", "=", "B"],
    ]  # fmt: skip
    assert lines[13].split()[4:] == ["0.000", "\u2013", "0.000", "1", "1/0"]


def test_lines_stay_within_a_hundred_places():
    name = "a_very_long_label_name"
    long = [row(f"c{i}", name, i / 900, 400.0 + i, volume_difference_ml=i - 950.0, group="p",
                hd_prediction_to_reference=500.0 + i) for i in range(900)]  # fmt: skip
    long += [row(f"m{i}", name, 0.0, 900.0, "missed", group="q", hd_prediction_to_reference=900.0) for i in range(150)]
    lines = table_lines(tabulate(long, (*METRICS, "hd_prediction_to_reference")))
    assert max(map(len, lines)) <= 100
    assert "1050 (2)" in lines[1] and "150/0" in lines[1] and "n (patients)" in lines[0]


def test_the_summary_holds_every_statistic(written):
    found = [r for r in read(written[0] / "summary.csv") if not r["by"] and not r["baseline"]]
    expected = summarise(ROWS, METRICS)
    assert [(r["label"], r["metric"], r["distance_unit"]) for r in found] == [
        (e["label"], e["metric"], e["unit"]) for e in expected
    ]
    for text, entry in zip(found, expected, strict=True):
        assert {name: float(text[name]) for name in STATISTICS} == {name: entry[name] for name in STATISTICS}
        assert [int(text[kind]) for kind in ("missed", "invented", "absent")] == (
            [0, 0, 0] if text["label"] == "liver" else [1, 0, 1]
        )


def test_baselines_stand_beside_all_cases_and_each_stratum(written):
    found = {(r["stratum"], r["label"]): (float(r["mean"]), int(r["n"])) for r in read(written[0] / "summary.csv")
             if r["baseline"] == "constant" and r["metric"] == "dice"}  # fmt: skip
    assert found == {
        ("", "liver"): (pytest.approx(0.2), 3), ("", "tumour_50%"): (0.01, 2),  # where it is absent it is left out
        ("site = A", "liver"): (pytest.approx(0.2), 2), ("site = A", "tumour_50%"): (0.01, 1),
        ("site = B", "liver"): (0.2, 1), ("site = B", "tumour_50%"): (0.01, 1),
    }  # fmt: skip


def test_strata_are_summarised_by_label(written):
    found = {(r["stratum"], r["label"]): (r["n"], r["missed"], r["absent"]) for r in read(written[0] / "summary.csv")
             if r["by"] == "site" and r["metric"] == "dice" and not r["baseline"]}  # fmt: skip
    assert found == {("site = A", "liver"): ("2", "0", "0"), ("site = A", "tumour_50%"): ("1", "1", "1"),
                     ("site = B", "liver"): ("1", "0", "0"), ("site = B", "tumour_50%"): ("1", "0", "0")}  # fmt: skip


def test_markdown_has_a_table_and_one_a_column_of_strata(written):
    text = (written[0] / "summary.md").read_text(encoding="utf-8")
    tables = [[line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("|")]
              for part in text.split("## By site")]  # fmt: skip
    assert [len(table) for table in tables] == [2 + 8, 2 + 12]
    assert tables[0][2][:2] == ["liver", "Dice"] and tables[0][2][2].startswith("0.800 [")
    assert tables[0][2][3:] == ["0.100", "0.800 [0.750, 0.850]", "0.700 to 0.900", "3", "0/0/0"]
    assert tables[0][4][5] == "-4.000 to 1.000"
    assert [r[0] for r in tables[0][6:]] == ["tumour\\_50%"] * 4
    assert tables[1][5][:4] == ["liver", "site = B", "Dice", "0.700 \u2013"]
    assert "absent from both masks: left out" in text.lower() and "from resampling cases" in text


def test_latex_is_a_booktabs_table(written):
    lines = (written[0] / "summary.tex").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("% ") and lines[0].endswith("Needs \\usepackage{booktabs}.")
    assert lines[1:3] == [r"\begin{tabular}{llrrrrrr}", r"\toprule"]
    assert lines[5].startswith("liver & Dice & 0.800 [") and lines[5].endswith(" & 3 & 0/0/0 \\\\")
    assert "& $-$4.000 to 1.000 &" in lines[7]
    assert lines[9].startswith(r"tumour\_50\% & Dice & ")
    assert sum(line == r"\bottomrule" for line in lines) == 2
    assert all(line.count(" & ") == 8 for line in lines if line.startswith("liver & site"))


def test_names_cannot_break_the_files(tmp_path):
    name = "=1+1|<b>\n%&_~\\\x1b[2J"
    rows = [row(name, name, 0.9, site=name), row("c2", name, 0.8, site="")]
    lines = write_scores(rows, tmp_path, ("dice",), [baseline(name, name, "constant", 0.1)], [("site", None)])
    assert all(line.isprintable() for line in lines)
    for file in ("cases.csv", "baselines.csv", "summary.csv"):
        assert all(r["label"].startswith("'=1+1") for r in read(tmp_path / file))
    table = (tmp_path / "summary.md").read_text(encoding="utf-8").split("\n## ")[0]
    assert [line.count(" | ") for line in table.splitlines() if line.startswith("|")] == [7, 7, 7, 7]
    assert "<b>" not in table


def test_what_an_earlier_scoring_left_goes(tmp_path):
    (tmp_path / "mine.csv").write_text("mine")
    write_scores(ROWS, tmp_path, METRICS, BASELINES)
    write_scores(ROWS, tmp_path, ("dice",))
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == [
        "cases.csv", "dice_by_label.png", "mine.csv", "summary.csv", "summary.md", "summary.tex"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"metrics": ("dise",)}, UsageError), ({"strata": [("nowhere", None)]}, UsageError),
        ({"strata": [("site", (1.0,))]}, UsageError),
    ],
)  # fmt: skip
def test_wrong_settings_leave_nothing_behind(tmp_path, arguments, error):
    with pytest.raises(error, match="E903"):
        write_scores(ROWS, tmp_path / "out", **arguments)
    with pytest.raises(DataError, match="E105"):
        write_scores([*ROWS, row("c4", "liver", math.nan)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_rows_in_any_order_give_the_same_statistics():
    order = np.random.default_rng(0).permutation(len(ROWS))
    shuffled = tabulate([ROWS[i] for i in order], METRICS, BASELINES[::-1], [("site", None)])
    key = lambda each: [str(each[name]) for name in ("by", "stratum", "label", "baseline", "metric")]  # noqa: E731
    assert sorted(shuffled, key=key) == sorted(tabulate(ROWS, METRICS, BASELINES, [("site", None)]), key=key)


def test_the_mean_of_labels():
    assert mean_of_labels(tabulate(ROWS, METRICS, BASELINES), "dice") == pytest.approx((0.8 + 0.3) / 2)
    assert mean_of_labels([], "dice") is None


def test_pictures_are_in_pixels_and_so_are_their_baselines(tmp_path):
    rows = [row("c1", "x", 0.9, 30.0, distance_unit="px", reference_ml=math.nan, volume_difference_ml=math.nan)]
    lines = write_scores(rows, tmp_path, METRICS, [baseline("c1", "x", "constant", 0.1)])
    assert {r["distance_unit"] for r in read(tmp_path / "summary.csv")} == {"px"}
    assert [line[3:].split("  ")[0] for line in lines[1:]] == ["Dice", "HD95 (px)", "Dice: constant"]


def test_no_rows(tmp_path):
    assert write_scores([], tmp_path) == []
    assert read(tmp_path / "cases.csv") == read(tmp_path / "summary.csv") == []


def test_the_voxels_of_all_cases_go_along_and_an_earlier_scorings_go(tmp_path):
    labels = Labels({"background": 0, "liver": 1})
    probability, reference = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, True, False, True])
    pooled = {(0, 0): 7, (1, 1): 3}, {"liver": curve(probability, reference)}, labels
    write_scores(ROWS, tmp_path, METRICS, pooled=pooled)
    drawn = {"calibration.png", "confusion.png", "precision_recall.png", "roc.png"}
    assert {path.name for path in (tmp_path / "figures").iterdir()} >= drawn
    assert [row["voxels"] for row in read(tmp_path / "confusion.csv")] == ["7", "0", "0", "3"]
    assert read(tmp_path / "curves.csv")[0]["label"] == "liver"
    write_scores(ROWS, tmp_path, METRICS)
    assert not {path.name for path in (tmp_path / "figures").iterdir()} & drawn
    assert not (tmp_path / "confusion.csv").exists() and not (tmp_path / "curves.csv").exists()
