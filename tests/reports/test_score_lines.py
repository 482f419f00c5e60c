from medseg import files
from medseg.reports import score_lines


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
