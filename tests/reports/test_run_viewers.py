"""The slices of cases on a run's page, and its budget."""

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
from written_run import case_row, images, noisy_stack, report, write_cases

from medseg import files
from medseg.reports import case_pictures, run_report, viewer, write_report
from medseg.reports.captions import captions
from medseg.reports.markup import TIMES
from medseg.volumes.stack import read_stack, write_stack


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
