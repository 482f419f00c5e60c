import base64
import dataclasses
import functools
import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from pages import Page

from medseg import files
from medseg.errors import DataError
from medseg.geometry import Geometry
from medseg.labels import PALETTE, Labels
from medseg.metrics.case_table import write_pooled
from medseg.metrics.confusion import confusion
from medseg.metrics.curves import curve
from medseg.reports import case_pictures, run_report, viewer, write_report
from medseg.reports.captions import SECTIONS, captions
from medseg.reports.markup import TIMES
from medseg.volumes.stack import make_stack, read_stack, write_stack
from medseg.volumes.volume import Volume

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=")
HOSTILE = """<script>alert("1")</script>'&"""
PAIRS = "reference,prediction,reference_name,prediction_name,voxels\n"
POINTS = "label,threshold,tp,fp,fn,tn,probability_sum\n"


def case_row(case: str, label: str, dice, empties: str = "", subset: str = "validate", **more) -> dict:
    return {
        "case": case, "group": case, "label": label, "distance_unit": "mm", "dice": dice, "iou": dice, "hd95": 2.0,
        "assd": 0.5, "empties": empties, "reference_ml": 0.0 if empties in ("absent", "invented") else 1.5,
        "prediction_ml": 0.0 if empties in ("absent", "missed") else 1.25, "spacing_mm": "1.0 1.0 2.5",
        "subset": subset,
    } | more  # fmt: skip


def write_cases(folder: Path, rows: list[dict]) -> None:
    files.write_csv(folder / "cases.csv", rows)


def write_log(folder: Path) -> None:
    columns = ("epoch", "iteration", "loss", "learning_rate", "seconds", "val_mean_dice", "val_dice_a")
    rows = [(1, 4, 0.9, 0.01, 30.0, "", ""), (2, 8, "nan", 0.005, 45.5, 0.62, 0.62)]
    files.write_csv(folder / "log.csv", [dict(zip(columns, row, strict=True)) for row in rows])


def write_previews(folder: Path, *cases: str) -> None:
    for case in cases:
        files.write_bytes(folder / "previews" / f"{case}.png", PNG)


def report(folder: Path, **options) -> Page:
    path = write_report(folder, **options)
    assert path == folder / "report.html"
    return Page(path)


def images(page: Page) -> list[str]:
    return [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]


@pytest.fixture
def complete(tmp_path: Path) -> Path:
    write_log(tmp_path)
    write_cases(tmp_path, [case_row("c1", "a", 0.9), case_row("c2", "a", 0.7), case_row("c3", "a", "", "absent")])
    write_previews(tmp_path, "c1", "c2", "c3")
    split = {"seed": 7, "layout": "folders", "train": [{"case": "t1", "group": "p1", "digest": "0"}], "validate": []}
    files.write_json(tmp_path / "split.json", split)
    record = {
        "task": "liver_ct",
        "network": "UNet",
        "versions": {"torch": "2.8"},
        "finished": "2024-05-06T07:08:09+00:00",
    }
    files.write_json(tmp_path / "record.json", record)
    files.write_text(tmp_path / "config.yaml", "seed: 7\n")
    return tmp_path


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


def noisy_stack(shape: tuple[int, int, int], label: str = "a"):
    """An image that hardly packs, and a label map."""
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(n // 4, n // 2) for n in shape)] = 1
    noise = np.random.default_rng(0).integers(0, 250, shape, np.uint8)
    labels = Labels({"background": 0, label: 1})
    return make_stack(Volume(noise, Geometry(np.diag([0.8, 0.8, 2.5, 1]), shape)), {"reference": mask}, labels)


def viewers(page: Page) -> list[dict]:
    return [json.loads(value) for tag, name, value in page.attributes if name == "data-facts"]


def test_cases_with_slices_get_a_viewer_and_one_script_whose_digest_the_policy_names(complete: Path):
    write_stack(complete / "previews/c2.npz", noisy_stack((9, 8, 7)))
    page = report(complete)
    assert [facts["shape"] for facts in viewers(page)] == [[9, 8, 7]]
    text = (complete / "report.html").read_text(encoding="utf-8")
    script = text[text.index("<script>") + 8 : text.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert text.count("<script") == text.count("</script") == 1
    policy = next(value for _, name, value in page.attributes if name == "content")
    assert policy.endswith(f"; script-src 'sha256-{digest}'")
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    alts = [alt for alt in images(page) if "image, reference and prediction" in alt and "cases" not in alt]
    assert [alt.split(":")[0] for alt in alts] == ["c2", "c1", "c3"]  # c2's for where scripts do not run


def test_hostile_names_stay_text_in_viewers(tmp_path: Path):
    name = "<img src=x onerror=alert(1)></script>$x$_x\u202e" + "long" * 40
    folder, case = name.rsplit("/", 1)
    write_cases(tmp_path, [case_row(name, name, 0.5)])
    try:
        write_stack(tmp_path / "previews" / folder / f"{case}.npz", noisy_stack((9, 8, 7), name))
    except OSError:
        pytest.skip("this file system does not take such names")
    page = report(tmp_path)
    assert len(viewers(page)) == 1 and page.elements.count("script") == 1
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert all(value.startswith("data:image/png;base64,") for _, name, value in page.attributes if name == "src")


def overwritten(content: bytes) -> bytes:
    return np.random.default_rng(0).bytes(len(content))


def cut(content: bytes) -> bytes:
    return content[:200]


def changed(content: bytes) -> bytes:
    return content[:200] + bytes(50) + content[250:]


@pytest.mark.parametrize("damage", [overwritten, cut, changed])
def test_slices_that_are_damaged_are_left_out_and_said_to_be(complete: Path, damage, caplog):
    paths = [write_stack(complete / f"previews/{case}.npz", noisy_stack((9, 8, 7))) for case in ("c1", "c2")]
    paths[1].write_bytes(damage(paths[1].read_bytes()))
    page = report(complete)
    note = "1 file of pictures or slices is damaged and left out: previews/c2.npz. Evaluate again to have them."
    assert note in page.text
    assert [each.getMessage() for each in caplog.records] == [f"{complete}: {note}"]
    assert len(viewers(page)) == 1
    assert [alt for alt in images(page) if alt.startswith("c2:")] == ["c2: image, reference and prediction"]  # its PNG
    assert "left out to keep the page small" not in page.text


def test_a_damaged_picture_is_named_and_what_is_no_cases_is_passed_over(complete: Path):
    for name in ("c2.png", "._c2.png", "notes.npz"):
        (complete / "previews" / name).write_bytes(b"not what it should be")
    text = report(complete).text
    assert "1 file of pictures or slices is damaged and left out: previews/c2.png." in text
    assert "1 case without a picture in previews" in text


def run_figures(folder: Path) -> list[str]:
    return [path.name for path in (folder / "figures").glob("*.png")]


def data_urls(page: Page) -> list[str]:
    return [value for _, name, value in page.attributes if name == "data-image" or name.startswith("data-mask")]


@pytest.fixture
def two_hundred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of 200 cases of 512 x 512 x 120 voxels. They are one, read and packed once for each size, to save time."""
    path = write_stack(tmp_path / "previews/c0.npz", noisy_stack((512, 512, 120)))
    for number in range(1, 200):
        os.link(path, path.with_name(f"c{number}.npz"))
    write_cases(tmp_path, [case_row(f"c{number}", "a", number / 200) for number in range(200)])
    stack, draw = read_stack(path), viewer._draw
    sizes = functools.cache(viewer.reduce_stack)
    drawn = functools.cache(lambda small, whole: draw(small, stack.shape, "", ["a"], 0, whole))  # no size fits exactly
    monkeypatch.setattr(case_pictures, "read_slices", lambda run, case: stack)
    monkeypatch.setattr(run_report, "draw_case_figures", lambda *given: {})
    monkeypatch.setattr(viewer, "reduce_stack", sizes)
    monkeypatch.setattr(viewer, "_draw", lambda small, shape, name, labels, allowance, whole: drawn(small, whole))
    return tmp_path


def test_200_large_cases_stay_inside_the_budget_and_the_page_says_what_was_reduced(two_hundred: Path):
    page = report(two_hundred, budget_mb=50.0)
    assert 40e6 < (two_hundred / "report.html").stat().st_size <= 50e6
    found = viewers(page)
    assert len(found) == 200 and all(min(facts["shape"][:2]) >= 64 for facts in found)
    assert all(max(facts["tile"][0] * facts["columns"], 1) <= 4096 for facts in found)
    assert re.search(
        r"To keep the page small, voxels were averaged in 200 of 200 cases: \d+ with slices of \d+ \S \d+ pixels",
        page.text,
    )
    assert "pictures left out" not in page.text
    kept = (
        "Evaluation kept the slices of large images reduced in 200 of 200 cases: 200 with 256 x 256 x 60 of 512 x 512 x"
    )
    assert f"{kept} 120 voxels." in page.text.replace(TIMES, "x")
    assert "To keep the page small, intensities are not exact (JPEG) in 200 of 200 cases." in page.text


def test_slices_that_evaluation_kept_reduced_are_said_to_be_where_the_budget_would_hold_more(tmp_path: Path):
    for name, shape in (("c0", (300, 12, 9)), ("c1", (600, 12, 9)), ("c2", (30, 12, 9))):
        write_stack(tmp_path / f"previews/{name}.npz", noisy_stack(shape))
    write_cases(tmp_path, [case_row(f"c{number}", "a", 0.5 + number / 10) for number in range(3)])
    text = report(tmp_path).text
    kept = "Evaluation kept the slices of large images reduced in 2 of 3 cases"
    sizes = "1 with 150 x 6 x 9 of 300 x 12 x 9 voxels; 1 with 200 x 4 x 9 of 600 x 12 x 9 voxels"
    assert f"{kept}: {sizes}." in text.replace(TIMES, "x")
    assert "To keep the page small" not in text


def test_older_slices_take_their_modality_from_the_record(tmp_path: Path):
    stack = noisy_stack((20, 12, 9))
    stack = dataclasses.replace(stack, levels=np.linspace(-160, 240, 256, dtype=np.float32))
    write_stack(tmp_path / "previews/c0.npz", stack)
    write_cases(tmp_path, [case_row("c0", "a", 0.5)])
    for modality, presets in (("MRI", False), ("CT", True)):
        files.write_json(tmp_path / "record.json", {"modality": modality})
        (facts,) = viewers(report(tmp_path))
        assert ("soft tissue" in [name for name, *_ in facts["windows"]]) is presets


def test_every_iteration_is_drawn_where_it_was_logged(complete: Path, monkeypatch: pytest.MonkeyPatch):
    given = []
    monkeypatch.setattr(run_report, "draw_training", lambda log, labels, iterations: given.append(iterations) or {})
    report(complete)
    (complete / "iterations.csv").write_text("iteration,epoch,loss,learning_rate\n1,1,0.5,0.1\n")
    report(complete)
    assert given[0] is None and (given[1].loss.tolist(), given[1].rate.tolist()) == ([0.5], [0.1])


def test_pictures_of_several_cases_give_way_before_slices_and_a_budget_that_cannot_be_kept_is_said(tmp_path: Path):
    for number in range(2):
        write_stack(tmp_path / f"previews/c{number}.npz", noisy_stack((60, 60, 20)))
    write_cases(tmp_path, [case_row(f"c{number}", "a", 0.5 + number / 10) for number in range(2)])
    whole = report(tmp_path)
    assert any(alt.startswith("The worst cases") for alt in images(whole)) and "keep the page small" not in whole.text
    size = (tmp_path / "report.html").stat().st_size
    folded = sum(
        (tmp_path / "figures" / name).stat().st_size * 4 / 3 for name in captions("cases", run_figures(tmp_path))
    )
    rest = size - folded - sum(len(json.dumps(value)) for value in data_urls(whole))
    budget = rest + 0.9 * folded
    tight = report(tmp_path, budget_mb=budget / 1e6)
    assert (tmp_path / "report.html").stat().st_size <= budget and len(viewers(tight)) == 2
    assert "Pictures of the worst and the best cases left out to keep the page small" in tight.text
    assert not any(alt.startswith(("The worst cases", "Slices")) for alt in images(tight))
    tiny = report(tmp_path, budget_mb=0.001)
    assert "2 pictures left out to keep the page small: none is shown, all are in previews" in tiny.text
    said = re.search(r"takes (\S+) MB without pictures of cases, more than the budget", tiny.text)
    assert abs(float(said[1]) - (tmp_path / "report.html").stat().st_size / 1e6) < 0.06 * float(said[1])


def test_where_even_that_is_too_much_the_best_cases_keep_their_scores_alone(two_hundred: Path):
    without = write_report(two_hundred, budget_mb=0).stat().st_size
    page = report(two_hundred, budget_mb=without / 1e6 + 0.5)
    assert 0 < (two_hundred / "report.html").stat().st_size - without <= 0.5e6
    shown = len(viewers(page))
    assert 20 < shown < 200
    assert f"{200 - shown} pictures left out to keep the page small: only the worst {shown} are shown" in page.text
    assert page.elements.count("details") >= 200
