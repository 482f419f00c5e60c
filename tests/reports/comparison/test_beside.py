import csv

import pytest
from made_runs import dice_of, rows_of, write_run

from medseg import files
from medseg.metrics.reported import constant_soft_dice
from medseg.reports.comparison import tables
from medseg.reports.comparison.write import write_comparison

SECOND = "second observer"


def baseline(case, label, name, dice):
    return {"case": case, "group": case, "label": label, "baseline": name, "dice": dice, "iou": dice / 2}


def with_baselines(folder, dice, rows):
    write_run(folder, rows_of(dice, soft_dice_with_background=0.8))
    files.write_csv(folder / "baselines.csv", rows)
    return folder


def scores(out):
    with open(out / "scores.csv", newline="") as stream:
        return {(row["method"], row["label"], row["metric"]): row for row in csv.DictReader(stream) if row["published"]}


@pytest.fixture
def compared(tmp_path):
    """Eight cases; the observer drew six of them, one label of the sixth."""
    rows = [baseline(f"c{i}", label, "constant", 0.2) for i in range(8) for label in ("anterior", "posterior")]
    rows += [baseline(f"c{i}", "anterior", SECOND, 0.9) for i in range(6)]
    rows += [baseline(f"c{i}", "posterior", SECOND, 0.7) for i in range(5)]
    rows += [baseline("another", "anterior", SECOND, 0.0)]
    runs = {name: with_baselines(tmp_path / name, dice_of(8, gain), rows) for name, gain in (("a", 0.0), ("b", 0.05))}
    lines = write_comparison(runs, tmp_path / "out")
    return tmp_path / "out", lines


def test_baselines_are_means_over_the_cases_that_are_compared(compared):
    found = scores(compared[0])
    assert {row["published"] for row in found.values()} == {"baseline"}
    assert float(found["constant", "anterior", "dice"]["mean"]) == pytest.approx(0.2)
    assert float(found["constant", "anterior", "iou"]["mean"]) == pytest.approx(0.1)
    assert float(found[SECOND, "posterior", "dice"]["mean"]) == pytest.approx(0.7)
    soft = float(found["constant", "anterior", "soft_dice_with_background"]["mean"])
    assert soft == pytest.approx(constant_soft_dice(0.1))  # the label's share is the constant's IoU
    assert (SECOND, "anterior", "soft_dice_with_background") not in found
    both = found[
        SECOND, "mean over labels", "dice"
    ]  # of five cases the mean of two labels, of one the one that is there
    assert float(both["mean"]) == pytest.approx((5 * 0.8 + 0.9) / 6) and both["n"] == "6"


def test_they_stand_on_the_page_and_a_person_on_the_terminal_too(compared):
    out, lines = compared
    page = (out / "comparison.html").read_text()
    assert "<h2>Baselines</h2>" in page and "the whole image is the label; the same cases (n = 8)" in page
    assert "(2), baseline" in page and "baseline (2)" in (out / "scores.md").read_text()
    assert any(SECOND in line and "0.900" in line for line in lines)


def test_what_needs_no_image_alone_makes_no_table_on_the_terminal(tmp_path):
    rows = [baseline("c0", "anterior", "constant", 0.2)]
    runs = {name: with_baselines(tmp_path / name, dice_of(8, gain), rows) for name, gain in (("a", 0.0), ("b", 0.05))}
    assert not any("constant" in line for line in write_comparison(runs, tmp_path / "out"))
    found = scores(tmp_path / "out")
    assert found["constant", "anterior", "dice"]["n"] == "1"
    write_run(tmp_path / "a", rows_of(dice_of(8)))  # without that metric
    write_comparison(runs, tmp_path / "out", notices=["Not compared: c < d."])
    assert "<li>Not compared: c &lt; d.</li>" in (tmp_path / "out" / "comparison.html").read_text()
    assert {metric for _, _, metric in scores(tmp_path / "out")} == {"dice", "iou"}


def test_of_many_pairs_in_which_one_alone_invents_few_are_told(monkeypatch):
    monkeypatch.setattr(tables, "invented_note", lambda pair: f"{pair} invents in 1 case")
    assert tables._invented_lines("abc") == [f"{name} invents in 1 case." for name in "abc"]
    told = tables._invented_lines("abcdefghi")
    assert len(told) == 7 and told[-1] == "3 more such pairs: comparison.csv and the page have all."
