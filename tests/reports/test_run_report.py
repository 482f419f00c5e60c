import json
import re
from pathlib import Path

import numpy as np
import pytest
from written_run import PNG, case_row, images, report, write_cases, write_log, write_previews

from medseg import files
from medseg.errors import DataError
from medseg.geometry import Geometry
from medseg.labels import PALETTE, Labels
from medseg.metrics.case_table import write_pooled
from medseg.metrics.confusion import confusion
from medseg.metrics.curves import curve
from medseg.reports import write_report
from medseg.reports.captions import SECTIONS, captions
from medseg.volumes.stack import make_stack, write_stack
from medseg.volumes.volume import Volume

HOSTILE = """<script>alert("1")</script>'&"""
PAIRS = "reference,prediction,reference_name,prediction_name,voxels\n"
POINTS = "label,threshold,tp,fp,fn,tn,probability_sum\n"


def test_a_complete_run(complete: Path):
    page = report(complete)
    for expected in ("liver_ct", "6 May 2024, 07:08 UTC", "0.800", "sd over cases 0.141", "n = 2 cases (validate)",
                     "1 min 16 s", "0 missed · 0 invented · 1 absent", "1 case, 1 group", "seed: 7",
                     "versions · torch"):  # fmt: skip
        assert expected in page.text
    assert "Not in this folder yet" not in page.text
    drawn = sorted(path.name for path in (complete / "figures").iterdir())
    assert drawn == ["dice_by_label.png", "hd95_by_label.png", "loss.png", "validation_dice.png"]


def test_one_file_that_loads_nothing(complete: Path):
    page = report(complete)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(page.elements)
    loaded = [value for _, name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    assert loaded
    assert all(value.startswith(("data:image/png;base64,", "#case-")) for value in loaded)
    policy = next(value for _, name, value in page.attributes if name == "content")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "url(" not in (complete / "report.html").read_text(encoding="utf-8")


def test_the_same_files_give_the_same_page(complete: Path):
    first = write_report(complete).read_bytes()
    assert write_report(complete).read_bytes() == first


def test_the_worst_case_comes_first_and_those_without_a_score_last(complete: Path):
    page = report(complete)
    assert [alt.split(":")[0] for alt in images(page) if ":" in alt] == ["c2", "c1", "c3"]
    assert ("a", "href", "#case-0") in page.attributes


def test_hostile_names_are_text(tmp_path: Path):
    write_cases(tmp_path, [case_row(HOSTILE, HOSTILE, 0.5, subset=HOSTILE), case_row("$x_", "_$y", 0.5, group='"><b>')])
    files.write_text(tmp_path / "config.yaml", "</pre><script>alert(2)</script>")
    files.write_json(tmp_path / "record.json", {"<i>": "</td><script>", "task": HOSTILE, "odd": "\ud800"})
    page = report(tmp_path)
    assert not {"script", "b", "i>"} & set(page.elements)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert HOSTILE in page.text
    assert "</pre><script>alert(2)</script>" in page.text


def test_a_case_name_cannot_lead_out_of_the_previews(tmp_path: Path):
    files.write_bytes(tmp_path / "secret.png", PNG)
    files.write_bytes(tmp_path / "run/previews/fine.png", PNG)
    write_cases(tmp_path / "run", [case_row("../../secret", "a", 0.5), case_row("fine", "a", 0.6)])
    assert [alt for alt in images(report(tmp_path / "run")) if "reference" in alt] == [
        "fine: image, reference and prediction"
    ]


def test_what_a_spreadsheet_would_run_is_shown_as_it_was(tmp_path: Path):
    write_cases(tmp_path, [case_row("-case", "=label", 0.5)])
    write_previews(tmp_path, "-case")
    page = report(tmp_path)
    assert "-case: image, reference and prediction" in images(page)
    assert "'=label" not in page.text


def test_trained_but_not_evaluated(tmp_path: Path):
    write_log(tmp_path)
    page = report(tmp_path)
    assert "Best validation Dice 0.620" in page.text
    assert "cases.csv : evaluation writes it" in page.text
    assert "No scores" in page.text
    assert "log.csv :" not in page.text


def test_evaluated_but_not_trained_here(tmp_path: Path):
    write_cases(tmp_path, [case_row("c1", "a", 0.9)])
    page = report(tmp_path)
    assert "log.csv : training writes it" in page.text
    assert "No curves" in page.text
    assert "Mean Dice 0.900" in page.text
    assert not (tmp_path / "figures" / "loss.png").exists()


def test_all_labels_absent(tmp_path: Path):
    write_cases(tmp_path, [case_row("c1", "a", "", "absent", hd95="", assd="", iou="")])
    assert "every label is absent" in report(tmp_path).text


def test_a_log_without_validation(tmp_path: Path):
    files.write_csv(tmp_path / "log.csv", [{"epoch": 1, "loss": 0.5}])
    assert "No epoch with validation" in report(tmp_path).text


def test_not_a_run_folder(tmp_path: Path):
    (tmp_path / "record.json").write_text("{}")
    with pytest.raises(DataError, match=r"E505.*log\.csv \(training writes it\)"):
        write_report(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        write_report(tmp_path / "nowhere")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cases.csv", "case,label\nc1,a\n", "columns are missing"),
        ("cases.csv", "case,label,dice\nc1,a,good\n", "line 2, column dice.*'good'"),
        (
            "cases.csv",
            "case,label,dice\nc1,a,0\nc2,a,7\n",
            r"E105\] case=c2 .*cases\.csv: line 3, label a, column dice",
        ),
        ("cases.csv", "case,label,dice\nc1,a,7\n", "cannot be; expected 0 to 1; found '7'"),
        ("cases.csv", "case,label,dice,hd95\nc1,a,0.5,-5\n", "column hd95: cannot be; expected 0 to 1e.15; found '-5'"),
        ("cases.csv", "case,label,dice,hd95\nc1,a,0.5,1e300\n", "column hd95.*found '1e300'"),
        (
            "cases.csv",
            "case,label,dice,empties\nc1,a,0.5,gone\n",
            "column empties.*missed, invented, absent or nothing",
        ),
        ("cases.csv", "case,label,dice,empties\nc1,a,0.5,absent\n", "column dice.*0 of a structure that is absent"),
        ("cases.csv", "case,label,dice,empties,reference_ml\nc1,a,,absent,2\n", "column reference_ml.*found '2'"),
        ("cases.csv", "case,label,dice,empties,prediction_ml\nc1,a,0,missed,2\n", "column prediction_ml.*is missed"),
        ("baselines.csv", "case,label,baseline,dice\nc1,a,constant,1.5\n", r"baselines\.csv.*column dice: cannot be"),
        ("log.csv", "epoch,val_mean_dice\n1,high\n", "column val_mean_dice"),
        ("record.json", "{", "record.json: the file is damaged"),
        ("split.json", "[]", "expected a JSON object; found list"),
        ("config.yaml", b"\xff", "UTF-8"),
        ("split.json", '{"train": 3}', r"E105.*split\.json.*train.*a list of cases"),
        ("split.json", '{"test": ["c1"]}', r"split\.json.*test is not what a run writes"),
        ("confusion.csv", f"{PAIRS}0,0,b,b,\n", r"confusion\.csv.*line 2, column voxels"),
        ("confusion.csv", f"{PAIRS}0,0,b,b,-3\n", r"confusion\.csv.*line 2, column voxels.*'-3'"),
        ("confusion.csv", f"{PAIRS}0,0,b,b,9\n0,7,b,x,1\n", r"confusion\.csv.*line 3: a prediction value.*7"),
        ("curves.csv", f"{POINTS}a,0,5,5,0,0,1\na,1,inf,0,0,0,0\n", r"curves\.csv.*line 3, column tp.*'inf'"),
        ("curves.csv", f"{POINTS}a,,5,5,0,0,1\n", r"curves\.csv.*line 2, column threshold"),
    ],
)
def test_damaged_files_are_named(complete: Path, name: str, content: str | bytes, message: str):
    (complete / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        write_report(complete)


def test_scores_at_the_ends_of_their_range_and_differences_below_0_are_taken(tmp_path: Path):
    rows = [case_row("c1", "a", 1.0000001, volume_difference_ml=-0.25, components=3), case_row("c2", "a", 0.0, hd95=0)]
    write_cases(tmp_path, [*rows, case_row("c3", "a", "", "absent"), case_row("c4", "a", 0.0, "missed")])
    assert "Mean Dice 0.333" in report(tmp_path).text


def test_beyond_the_budget_the_worst_cases_keep_their_pictures(tmp_path: Path):
    write_cases(tmp_path, [case_row(f"c{i}", "a", 0.1 * i) for i in range(1, 6)])
    write_previews(tmp_path, *(f"c{i}" for i in range(1, 6)))
    large = PNG + bytes(300_000)
    for case in range(1, 6):
        files.write_bytes(tmp_path / "previews" / f"c{case}.png", large)
    without = write_report(tmp_path, budget_mb=0).stat().st_size
    page = report(tmp_path, budget_mb=(without + 2.5 * len(large) * 4 / 3) / 1e6)
    assert [alt.split(":")[0] for alt in images(page) if ":" in alt] == ["c1", "c2"]
    assert "3 pictures left out" in page.text
    assert "c5" in page.text


def test_the_headline_speaks_of_the_test_cases(tmp_path: Path):
    rows = [case_row("v", "a", 0.9), case_row("t", "a", 0.5, subset="test"), case_row("u", "a", 0.6, subset="test")]
    write_cases(tmp_path, rows)
    page = report(tmp_path)
    assert "Mean Dice 0.550" in page.text
    assert "n = 2 cases (test)" in page.text
    assert "A dot a test case" in page.text


def test_the_headline_is_the_mean_over_labels(tmp_path: Path):
    # Labels: a 0.75, b 0; cases: c1 0.5, c2 0.5.
    rows = [case_row("c1", "a", 1.0), case_row("c1", "b", 0.0, "missed"), case_row("c2", "a", 0.5)]
    write_cases(tmp_path, [*rows, case_row("c2", "b", "", "absent")])
    page = report(tmp_path)
    assert "Mean Dice 0.375" in page.text
    assert "mean over 2 labels" in page.text


def test_a_run_that_has_not_finished(tmp_path: Path):
    write_log(tmp_path)
    files.write_json(tmp_path / "record.json", {"started": "2024-05-06T07:08:09+00:00", "finished": None})
    assert "started 6 May 2024, 07:08 UTC, not finished" in report(tmp_path).text


def test_labels_keep_their_colours(complete: Path):
    page = report(complete)
    styles = {value for _, name, value in page.attributes if name == "style" and "colour" in value}
    assert styles
    assert all(f"rgb{PALETTE[0]}" in style for style in styles)


def test_groups_in_two_subsets_are_counted(complete: Path):
    split = json.loads((complete / "split.json").read_text())
    split["validate"] = [{"case": "c1", "group": "p1", "digest": "1"}]
    files.write_json(complete / "split.json", split)
    assert re.search(r"groups in two subsets 1\b", report(complete).text)


def test_intervals_quartiles_and_patients_are_shown(tmp_path: Path):
    # Two patients of two cases: their means are 0.8 and 0.6, so Student's interval of two is 0.7 -+ 12.7 * 0.1.
    dice = (0.9, 0.7, 0.65, 0.55)
    write_cases(tmp_path, [case_row(f"c{i}", "a", v, group=f"p{i // 2}") for i, v in enumerate(dice)])
    page = report(tmp_path)
    assert "Dice 4 (2) 0.700 [0.000, 1.000] 0.147 0.675 [0.625, 0.750] 0.550 0.900" in page.text
    assert "sd over cases 0.147; 95 % interval [0.000, 1.000]" in page.text
    assert "from resampling patients" in page.text


def test_no_interval_is_given_for_a_mean_over_labels_that_is_not_one_over_cases(tmp_path: Path):
    rows = [case_row("c1", "a", 0.9), case_row("c1", "b", 0.1), case_row("c2", "a", 0.7)]
    write_cases(tmp_path, [*rows, case_row("c2", "b", "", "absent")])
    page = report(tmp_path)
    assert "Mean Dice 0.450" in page.text
    assert "95 % interval" not in page.text.split("Cases held out")[0]


def test_further_metrics_are_shown_where_they_were_scored(tmp_path: Path):
    write_cases(tmp_path, [case_row("c1", "a", 0.9, nsd=0.95, sensitivity=0.85, components=3.0)])
    page = report(tmp_path)
    assert "NSD 1 0.950" in page.text and "Sensitivity 1 0.850" in page.text
    assert "Precision" not in page.text and "Components" not in page.text


def test_baselines_are_shown_where_they_are_recorded(complete: Path):
    assert "constant" not in report(complete).text
    columns = ("case", "group", "label", "baseline", "dice", "iou")
    rows = [("c1", "c1", "a", "constant", 0.1, 0.05), ("c2", "c2", "a", "constant", 0.3, 0.2),
            ("c3", "c3", "a", "constant", "", ""), ("elsewhere", "e", "a", "constant", 0.9, 0.9)]  # fmt: skip
    files.write_csv(complete / "baselines.csv", [dict(zip(columns, row, strict=True)) for row in rows])
    assert "Dice: constant 2 0.200" in report(complete).text
    (complete / "baselines.csv").write_text("case,label,baseline,dice\nc1,a,constant,good\n")
    with pytest.raises(DataError, match=r"line 2, column dice.*'good'"):
        report(complete)


def test_millimetres_and_pixels_have_a_figure_each(tmp_path: Path):
    write_cases(tmp_path, [case_row("c1", "a", 0.9), case_row("c2", "a", 0.8, distance_unit="px")])
    page = report(tmp_path)
    assert "HD95 (mm) 1 2.00" in page.text and "HD95 (px) 1 2.00" in page.text
    assert (tmp_path / "figures/hd95_by_label_px.png").is_file()


def test_every_table_and_every_stack_gives_its_figures_and_they_go_with_it(complete: Path):
    labels, shape = Labels({"background": 0, "a": 1}), (6, 6, 6)
    mask = np.zeros(shape, np.uint8)
    mask[2:4, 2:4, 2:4] = 1
    image = Volume(np.random.default_rng(0).normal(size=shape).astype(np.float32), Geometry(np.eye(4), shape))
    stack = make_stack(image, {"reference": mask, "prediction": mask}, labels)
    for case in ("c1", "c2"):
        write_stack(complete / "previews" / f"{case}.npz", stack)
    write_pooled(complete, confusion(mask, mask, labels), {"a": curve(mask * 0.9, mask == 1)}, labels)
    files.write_bytes(complete / "figures" / "mine.png", PNG)
    page = report(complete)
    own = {"best_cases.png", "calibration.png", "confusion.png", "precision_recall.png", "roc.png", "slices_best.png",
           "slices_worst.png", "worst_cases.png"}  # fmt: skip
    usual = {"dice_by_label.png", "hd95_by_label.png", "loss.png", "validation_dice.png", "mine.png"}
    assert {path.name for path in (complete / "figures").iterdir()} == own | usual
    shown = [text for section in SECTIONS for text in captions(section, own | usual).values()]
    assert set(shown) <= set(images(page))
    for name in ("confusion.csv", "curves.csv", "previews/c1.npz", "previews/c2.npz"):
        (complete / name).unlink()
    report(complete)
    assert {path.name for path in (complete / "figures").iterdir()} == usual
