import csv
import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
from made_runs import dice_of, results, row, rows_of, study, write_run, write_slices
from pages import Page
from PIL import Image

from medseg.errors import DataError, MedsegError, UsageError
from medseg.reports.comparison.figures import win_shares
from medseg.reports.comparison.words import headline
from medseg.reports.comparison.write import write_comparison

HOSTILE = "<img src=x onerror=alert(1)> </script> $x$ _x"
PUBLISHED = [
    {"method": "nnU-Net", "source": "Isensee 2021", "data": "MSD", "n": 260, "footnote": "a rounded figure",
     "scores": {"anterior": {"dice": 0.9}, "mean over labels": {"dice": 0.89}}},
]  # fmt: skip


def table(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def written(three, tmp_path_factory):
    folders, _ = three
    for folder in folders.values():
        for i in range(16):
            write_slices(folder / "seed0", f"c{i}", i)
    out = tmp_path_factory.mktemp("out")
    return out, write_comparison(folders, out, PUBLISHED)


def test_an_overlap_that_is_not_there_is_refused(tmp_path):
    folders = study(tmp_path, {"a": dice_of(6), "b": dice_of(6)})
    write_run(
        folders["b"], [each | {"dice": "" if each["case"] == "c2" else each["dice"]} for each in rows_of(dice_of(6))]
    )
    with pytest.raises(DataError, match=r"E105.*case=c2.*m1/cases\.csv.*no dice of anterior in a run of b"):
        write_comparison(folders, tmp_path / "out", metrics=["dice"])
    assert not (tmp_path / "out").exists()


def test_equal_methods_are_said_to_be_equal(tmp_path):
    folders = study(tmp_path, {"a": dice_of(8), "b": dice_of(8)})
    found = results(folders, ("dice",))
    assert headline(found, "dice") == ["a and b score the same in every case in Dice, n = 8."]
    assert {(pair.found.p, pair.p_holm, pair.different) for pairs in found.pairs.values() for pair in pairs} == {
        (1, 1, "no")
    }
    write_comparison(folders, tmp_path / "out", metrics=["dice"])
    for name in ("comparison.csv", "scores.csv", "scores.md"):
        assert "nan" not in (tmp_path / "out" / name).read_text().lower()
    assert not re.search(r"\bnan\b", Page(tmp_path / "out" / "comparison.html").text, re.IGNORECASE)


def test_no_method_is_called_better_where_nothing_was_shown(tmp_path):
    rng = np.random.default_rng(0)
    noise = np.abs(rng.normal(0, 0.02, (12, 2))) * np.where(np.arange(12) % 3, 1, -1.2)[:, None]
    pairs = {"no": (dice_of(12), dice_of(12) + noise), "too few": (dice_of(4), dice_of(4) + 0.03),
             "yes": (dice_of(12), dice_of(12) + noise * 0.1 - 0.03)}  # fmt: skip
    for verdict, (a, b) in pairs.items():
        folders = study(tmp_path / verdict, {"a": a, "b": b})
        found = results(folders, ("dice",)).pairs["dice", None][0]
        assert (found.different, found.better) == (verdict, "a" if verdict == "yes" else "b")
        write_comparison(folders, tmp_path / verdict / "out", metrics=["dice"])
        first = table(tmp_path / verdict / "out" / "comparison.csv")[0]
        assert (first["different"], first["better"]) == (verdict, "a" if verdict == "yes" else "")


@pytest.mark.parametrize("damage", ["overwritten", "cut", "changed"])
def test_slices_that_are_damaged_are_left_out_and_said_to_be(tmp_path, damage):
    folders = study(tmp_path, {"a": dice_of(6), "b": dice_of(6, 0.02)})
    for folder in folders.values():
        paths = [write_slices(folder, case) for case in ("c1", "c2")]
    content = paths[0].read_bytes()
    paths[0].write_bytes({"overwritten": np.random.default_rng(0).bytes(900), "cut": content[:-100],
                          "changed": content[:200] + bytes(50) + content[250:]}[damage])  # fmt: skip
    lines = write_comparison(folders, tmp_path / "out", metrics=["dice"])
    page = Page(tmp_path / "out" / "comparison.html")
    note = "1 file of pictures or slices is damaged and left out: b: m1/previews/c1.npz. Evaluate again to have them."
    assert note in page.text and note in " ".join(lines)
    assert [alt.split(":")[0] for alt in page.pictures if "predictions of a, b" in alt] == ["c2"]


@pytest.mark.parametrize("below", ["", "comparison", "../m1/previews"])
def test_a_comparison_is_not_written_into_a_run(tmp_path, below):
    folders = study(tmp_path, {"a": dice_of(7), "b": dice_of(7, 0.02)})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        DataError, match=r"E503.*that of a run, or lies in it.*expected a folder beside the runs.*m[01]"
    ):
        write_comparison(folders, folders["a"] / below)
    assert sorted(tmp_path.rglob("*")) == before


def test_means_and_most_cases_that_disagree_are_said_to(tmp_path):
    a = np.full((20, 2), 0.8)
    b = a + np.linspace(0.01, 0.02, 20)[:, None]
    b[0] = 0.01
    found = results(study(tmp_path, {"a": a, "b": b}), ("dice",))
    assert "but a is ahead by" in headline(found, "dice")[0]
    assert headline(found, "dice")[0].endswith("by the mean, b in most cases.")
    pair = found.pairs["dice", None][0]
    assert (pair.better, pair.different, pair.has_leader) == ("", "yes", False)
    assert not win_shares(found, "dice")[1].any()
    lines = write_comparison(study(tmp_path, {"a": a, "b": b}), tmp_path / "out", metrics=["dice"])
    assert any(line.endswith("  different, no leader") for line in lines)
    page = tmp_path / "out" / "comparison.html"
    assert "by Dice, mean over labels; 1 without a leader" in Page(page).text
    assert "different, no leader" in Page(page).text
    assert strong_pairs(page) == []


def strong_pairs(page):
    """Pairs whose verdict is printed bold."""
    found = page.read_text(encoding="utf-8")
    return re.findall(r'<th scope="row">([^<]*)</th><td class=strong>different', found)


def test_every_p_stands_beside_its_n(written):
    out, _ = written
    rows = table(out / "comparison.csv")
    assert len(rows) == 3 * 3 * 2  # pairs, labels and their mean, Dice and HD95
    assert all(each["n"] == "16" and each["n_patients"] == "16" and 0 <= float(each["p"]) <= 1 for each in rows)
    assert {each["different"] for each in rows} <= {"yes", "no", "too few"}
    first = rows[0]
    assert (first["a"], first["b"], first["label"], first["better"]) == ("a", "b", "mean over labels", "b")
    assert float(first["low_with_seeds"]) < float(first["low"]) < float(first["mean_difference"]) < 0
    assert float(first["wins_a"]) == 0.0


def test_scores_hold_ours_and_published_rows_marked(written):
    out, _ = written
    rows = table(out / "scores.csv")
    ours = [each for each in rows if not each["published"]]
    assert {each["method"] for each in ours} == {"a", "b", "c"}
    assert all(
        float(each["low"]) < float(each["mean"]) < float(each["high"]) for each in ours if each["metric"] == "dice"
    )
    theirs = [each for each in rows if each["published"]]
    assert [(each["method"], each["label"], each["mean"], each["low"]) for each in theirs] == [
        ("nnU-Net", "anterior", "0.9", ""), ("nnU-Net", "mean over labels", "0.89", ""),
    ]  # fmt: skip
    assert {(each["published"], each["source"], each["footnote"]) for each in theirs} == {
        ("published, not rerun", "Isensee 2021", "a rounded figure")
    }
    for name in ("scores.md", "scores.tex"):
        text = (out / name).read_text()
        assert "published, not rerun" in text
        assert "a rounded figure" in text


def test_the_page_is_one_file_with_all_sections(written):
    out, _ = written
    page = Page(out / "comparison.html")
    for expected in ("What was found", "c leads by", "Seeds: a 3, b 3, c 3.", "9 tests in the family",
                     "Volumes", "Cases side by side", "Worst cases", "What was run", "Published figures",
                     "published, not rerun", "a rounded figure", "How to read this"):  # fmt: skip
        assert expected in page.text
    assert not {"script", "link", "iframe", "object", "form"} & set(page.elements)
    loaded = [value for _, name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    assert all(value.startswith(("data:image/png;base64,", "#case-")) for value in loaded)
    drawn = sorted(path.name for path in (out / "figures").iterdir())
    assert drawn == ["ranks_dice.png", "ranks_hd95.png", "scores_dice.png", "scores_hd95.png", "volumes.png",
                     "wins_dice.png", "wins_hd95.png"]  # fmt: skip


def test_cases_are_shown_side_by_side_from_their_slices(written, three):
    out, _ = written
    page = Page(out / "comparison.html")
    rows = [alt for alt in page.pictures if "predictions of a, b, c" in alt]
    means = np.mean([np.mean(tables, axis=(0, 2)) for tables in three[1].values()], axis=0)
    assert rows[0].startswith(f"c{np.argmin(means)}:")
    assert len(rows) == 16  # 8 worst, 8 best, and no other is left
    assert "Shown above: " in page.text
    assert page.text.count("Filled: the reference; outlined: the prediction.") == 1
    assert "letters at the edges say which side is which" in page.text
    assert "xial" not in page.text


def test_terminal_lines_fit_and_name_the_page(written):
    out, lines = written
    assert max(map(len, lines)) <= 100
    assert lines[-1] == str(out / "comparison.html")
    assert any(re.match(r"a +b +-0\.\d{4} +\[-0\.\d{4}, -0\.\d{4}\] +16 +\S+ ?\S* +different$", line) for line in lines)
    assert any("nnU-Net" in line and line.endswith("published") for line in lines)


def test_only_pairs_with_a_leader_are_bold(written):
    out, _ = written
    bold = {each["a"] + each["b"] for each in table(out / "comparison.csv") if each["different"] == "yes"}
    assert bold == {"ab", "ac"}
    assert set(strong_pairs(out / "comparison.html")) == {"a \u2013 b", "a \u2013 c"}


def test_the_same_files_give_the_same_comparison(written, three, tmp_path):
    out, _ = written
    write_comparison(three[0], tmp_path, PUBLISHED)
    for name in ("comparison.html", "comparison.csv", "scores.csv", "scores.md", "scores.tex"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


@pytest.mark.filterwarnings("ignore:Glyph")  # the figures' typeface has no Chinese letters
def test_markup_in_names_is_text(tmp_path):
    labels = (HOSTILE, "_$y^{")
    folders = {}
    for place, name in enumerate((f"{HOSTILE} 1", f"{HOSTILE} 2", "名前" * 40)):
        rows = [each | {"case": f"{HOSTILE}{each['case']}"} for each in rows_of(dice_of(7, seed=place), labels)]
        folders[name] = write_run(tmp_path / f"<b>{place}", rows, network=HOSTILE, **{HOSTILE: HOSTILE})
        (folders[name] / "config.yaml").unlink()
        write_slices(folders[name], "odd", labels=labels)
    published = [
        {"method": HOSTILE, "source": HOSTILE, "data": HOSTILE, "scores": {HOSTILE: {"dice": 0.5}}, "footnote": HOSTILE}
    ]
    lines = write_comparison(folders, tmp_path / "out", published)
    page = Page(tmp_path / "out" / "comparison.html")
    assert not {"script", "b"} & set(page.elements)
    assert "(<b>0)" in page.text
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert HOSTILE in page.text
    assert all(len(line) <= 100 for line in lines[:-1])
    names = [cell for each in table(tmp_path / "out" / "scores.csv") for cell in (each["method"], each["label"])]
    assert {HOSTILE, f"{HOSTILE} 1"} <= set(names)
    markdown = (tmp_path / "out" / "scores.md").read_text()
    assert "<img" not in markdown
    assert {line.count(" | ") for line in markdown.splitlines() if line.startswith("| ")} == {8}
    assert r"\$x\$" in (tmp_path / "out" / "scores.tex").read_text()


def test_without_slices_the_runs_own_pictures_are_shown(tmp_path):
    folders = study(tmp_path, {"a": dice_of(6), "b": dice_of(6, 0.02)})
    for folder in folders.values():
        Image.new("RGB", (8, 8)).save(folder / "previews" / "c1.png")
    write_slices(folders["a"], "c2")  # b has none: no row of panels
    write_comparison(folders, tmp_path / "out", metrics=["dice"])
    page = Page(tmp_path / "out" / "comparison.html")
    assert {alt for alt in page.pictures if alt.startswith("c")} == {
        "c1: image, reference and prediction of a", "c1: image, reference and prediction of b",
    }  # fmt: skip
    text = (tmp_path / "out" / "comparison.html").read_text()
    assert re.findall(r'<figcaption class="note">(\w)</figcaption>', text) == ["a", "b"]
    assert "outlined" not in page.text
    assert "c2: mean 0." in page.text
    assert "no picture" in page.text


def test_beyond_the_budget_cases_are_left_out_and_said_to_be(written, three, tmp_path):
    out, _ = written
    full = (out / "comparison.html").stat().st_size
    pictures = len([alt for alt in Page(out / "comparison.html").pictures if "predictions of" in alt])
    budget = 0.8 * full / 1e6
    write_comparison(three[0], tmp_path, PUBLISHED, budget_mb=budget)
    page = Page(tmp_path / "comparison.html")
    assert (tmp_path / "comparison.html").stat().st_size <= budget * 1e6
    kept = len([alt for alt in page.pictures if "predictions of" in alt])
    assert 0 < kept < pictures
    assert f"{pictures - kept} cases left out" in page.text
    assert "larger than was asked for" not in page.text
    write_comparison(three[0], tmp_path, PUBLISHED, budget_mb=0.01)
    assert (tmp_path / "comparison.html").stat().st_size > 0.01e6
    assert (
        "Even without pictures of cases this page is larger than was asked for"
        in Page(tmp_path / "comparison.html").text
    )


def test_metrics_that_only_some_have_are_named(tmp_path):
    folders = study(tmp_path, {"a": dice_of(7), "b": dice_of(7, 0.02)})
    write_run(folders["b"], [each | {"nsd": 0.9} for each in rows_of(dice_of(7, 0.02))])
    published = [PUBLISHED[0] | {"scores": {"anterior": {"iou": 0.8}}}]
    write_comparison(folders, tmp_path / "out", published)
    text = Page(tmp_path / "out" / "comparison.html").text
    assert "Not compared, since some runs were not scored by it: NSD." in text
    assert "Not compared here, only in scores.csv: IoU." in text


@pytest.mark.parametrize("n", [1, 8])
def test_one_case_or_a_label_that_is_nowhere_leave_dashes_and_no_nan(tmp_path, n):
    folders = {}
    for place in range(3):
        rows = [row(f"c{i}", "a", 0.8 + 0.01 * place + 0.001 * i) for i in range(n)]
        folders[f"m{place}"] = write_run(
            tmp_path / f"m{place}", rows + [row(f"c{i}", "b", 0, "absent") for i in range(n)]
        )
    write_comparison(folders, tmp_path / "out", metrics=["dice"])
    absent = [each for each in table(tmp_path / "out" / "comparison.csv") if each["label"] == "b"]
    assert {(each["n"], each["p"], each["different"], each["absent"]) for each in absent} == {
        ("0", "", "too few", str(n))
    }
    for name in ("comparison.csv", "scores.csv", "scores.md"):
        assert "nan" not in (tmp_path / "out" / name).read_text().lower()
    assert Page(tmp_path / "out" / "comparison.html").text.count("Not in the pairs: ") == 6


def test_pictures_are_measured_in_pixels(tmp_path):
    folders = study(tmp_path, {"a": dice_of(7), "b": dice_of(7, 0.02, seed=3)}, distance_unit="px", spacing_mm="1 1 1")
    lines = write_comparison(folders, tmp_path / "out")
    assert any("HD95 (px)" in line for line in lines)
    assert " px [" in Page(tmp_path / "out" / "comparison.html").text


def test_mm_and_px_are_not_mixed(tmp_path):
    rows = rows_of(dice_of(6))
    rows[0] = rows[0] | {"distance_unit": "px"}
    rows[1] = rows[1] | {"distance_unit": "px"}
    folders = {name: write_run(tmp_path / name, rows) for name in ("a", "b")}
    with pytest.raises(DataError, match=r"E507.*cases in mm and cases in px"):
        write_comparison(folders, tmp_path / "out")


def test_one_label_has_no_mean_over_labels(tmp_path):
    dice = dice_of(7, labels=1)
    folders = {
        name: write_run(tmp_path / name, rows_of(dice + gain, ("liver",))) for name, gain in (("a", 0), ("b", 0.01))
    }
    write_comparison(folders, tmp_path / "out", metrics=["dice"])
    assert {each["label"] for each in table(tmp_path / "out" / "comparison.csv")} == {"liver"}
    published = [PUBLISHED[0] | {"scores": {"mean over labels": {"dice": 0.9}}}]
    with pytest.raises(UsageError, match=r"E903.*no such label in these runs.*expected liver; found mean over labels"):
        write_comparison(folders, tmp_path / "out", published)


def test_folds_are_compared_as_one_run(tmp_path):
    rows = {name: rows_of(dice_of(8, gain)) for name, gain in (("a", 0.0), ("b", 0.03))}
    for name, fold in itertools.product(rows, range(2)):
        members = [each for each in rows[name] if int(each["case"][1:]) % 2 == fold]
        write_slices(write_run(tmp_path / name / f"fold{fold}", members), f"c{fold}")
    write_comparison({name: tmp_path / name for name in rows}, tmp_path / "out", metrics=["dice"])
    assert {each["n"] for each in table(tmp_path / "out" / "comparison.csv")} == {"8"}
    text = Page(tmp_path / "out" / "comparison.html").text
    assert "Folds are joined. Each method was trained once a fold, so these are" in text
    assert "train each with three seeds or more, all on one split." in text
    assert "c1: image, reference and predictions of a, b" in Page(tmp_path / "out" / "comparison.html").pictures


def test_metrics_are_chosen_and_must_be_shared(tmp_path):
    folders = study(tmp_path, {"a": dice_of(7), "b": dice_of(7, 0.02)})
    write_comparison(folders, tmp_path / "out", metrics=["hd95"])
    assert {each["metric"] for each in table(tmp_path / "out" / "comparison.csv")} == {"hd95"}
    with pytest.raises(DataError, match=r"E507.*not every run was scored by this metric.*found nsd"):
        write_comparison(folders, tmp_path / "out", metrics=["dice", "nsd"])
    with pytest.raises(DataError, match=r"E507.*no metric that the runs have in common"):
        write_comparison(folders, tmp_path / "out", metrics=["reference_ml"])
    with pytest.raises(UsageError, match=r"E903.*no such metric"):
        write_comparison(folders, tmp_path / "out", metrics=["dize"])


def test_methods_that_find_nothing_where_nothing_is_are_not_compared(tmp_path):
    rows = [row(f"c{i}", "x", 0.0, "absent") for i in range(6)]
    folders = {name: write_run(tmp_path / name, rows) for name in ("a", "b")}
    with pytest.raises(DataError, match=r"E507.*every structure is absent from all masks"):
        write_comparison(folders, tmp_path / "out")


def test_figures_of_an_earlier_comparison_go_and_others_stay(tmp_path):
    folders = study(tmp_path, {"a": dice_of(7), "b": dice_of(7, 0.02)})
    write_comparison(folders, tmp_path / "out")
    (tmp_path / "out" / "figures" / "mine.png").write_bytes(b"")
    write_comparison(folders, tmp_path / "out", metrics=["hd95"])
    drawn = sorted(path.name for path in (tmp_path / "out" / "figures").iterdir())
    assert drawn == ["mine.png", "ranks_hd95.png", "scores_hd95.png", "volumes.png", "wins_hd95.png"]


def test_a_folder_that_cannot_be_written_is_found_out_first(tmp_path):
    folders = study(tmp_path, {"a": dice_of(7), "b": dice_of(7, 0.02)})
    (tmp_path / "file").write_text("")
    with pytest.raises(MedsegError, match=r"E701.*choose another folder: there is a file of this name"):
        write_comparison(folders, tmp_path / "file")


def test_comparing_loads_neither_torch_nor_monai():
    code = "import sys, medseg.reports.comparison.write; print({'torch', 'monai', 'matplotlib'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_ten_methods_and_eight_labels_are_readable(tmp_path):
    labels = tuple(f"organ {i} with a very long name" for i in range(8))
    folders = {}
    for place in range(10):
        rows = rows_of(dice_of(6, 0.005 * place, place, labels=8), labels)
        folders[f"a method with a long name {place}"] = write_run(tmp_path / f"{place}", rows)
    lines = write_comparison(folders, tmp_path / "out", metrics=["dice"])
    assert max(map(len, lines[:-1])) <= 100
    assert len(table(tmp_path / "out" / "comparison.csv")) == 45 * 9
    page = Page(tmp_path / "out" / "comparison.html")
    assert "And 3 more comparisons" in page.text
    assert "405 tests in the family" in page.text
    with Image.open(tmp_path / "out" / "figures" / "scores_dice.png") as figure:
        assert figure.width < 2000
