from pages import Page

from medseg import files
from medseg.reports import score_lines, write_report


def row(case, label, dice, hd95=2.0, empties="", subset="test"):
    return {"case": case, "group": case, "label": label, "distance_unit": "mm", "dice": dice, "hd95": hd95,
            "empties": empties, "subset": subset}  # fmt: skip


def test_a_line_a_label_and_metric_and_the_mean_over_labels(tmp_path):
    rows = [row("c1", "a", 0.9), row("c2", "a", 0.7, 4.0), row("c1", "b", 0.0, 100.0, "missed"),
            row("c2", "b", "", "", "absent"), row("c3", "a", 0.1, subset="validate")]  # fmt: skip
    files.write_csv(tmp_path / "cases.csv", rows)
    # Student's interval of two values, the mean and 12.7062 times half their difference: beyond what scores can be
    assert score_lines(tmp_path) == [
        "              mean [95 % interval]  median  n  missed/inv.",
        "a  Dice       0.800 [0.000, 1.000]   0.800  2          0/0",
        "   HD95 (mm)    3.00 [0.00, 15.71]    3.00  2",
        "b  Dice                    0.000 \u2013   0.000  1          1/0",
        "   HD95 (mm)               100.0 \u2013   100.0  1",
        "mean Dice 0.4000",
    ]


def test_a_run_without_scores_has_no_lines(tmp_path):
    files.write_csv(tmp_path / "log.csv", [{"epoch": 1, "loss": 0.5}])
    assert score_lines(tmp_path) == []


def test_pictures_and_volumes_are_cases_of_one_mean(tmp_path):
    """One picture of 0.9 and three volumes of 0.1: a mean of 0.3, not one over two kinds of images."""
    rows = [row(f"v{number}", "a", 0.1) for number in range(3)] + [row("p", "a", 0.9) | {"distance_unit": "px"}]
    files.write_csv(tmp_path / "cases.csv", rows)
    assert score_lines(tmp_path)[-1] == "mean Dice 0.3000"
    headline = " ".join(str(text) for text in Page(write_report(tmp_path)).text.split())
    assert "0.300 mean over 1 label of the mean over cases; n = 4 cases" in headline
