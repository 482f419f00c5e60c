import csv
import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
from made_runs import LABELS, dice_of, row, rows_of, write_run, write_slices
from pages import Page
from PIL import Image
from scipy import stats
from statsmodels.stats.multitest import multipletests

from medseg.errors import DataError, MedsegError, UsageError
from medseg.reports.comparison import figures
from medseg.reports.comparison.figures import rank_shares, short_names, win_shares
from medseg.reports.comparison.method_runs import read_methods
from medseg.reports.comparison.paired_scores import pair_scores, shared_metrics
from medseg.reports.comparison.results import compare_methods, volume_points
from medseg.reports.comparison.side_by_side import choose_cases
from medseg.reports.comparison.words import (
    difference_text,
    headline,
    invented_note,
    leader,
    left_out,
    p_text,
    seeds_note,
)
from medseg.reports.comparison.write import write_comparison
from medseg.reports.metric_text import NOTHING

HOSTILE = "<img src=x onerror=alert(1)> </script> $x$ _x"
PUBLISHED = [
    {"method": "nnU-Net", "source": "Isensee 2021", "data": "MSD", "n": 260, "footnote": "a rounded figure",
     "scores": {"anterior": {"dice": 0.9}, "mean over labels": {"dice": 0.89}}},
]  # fmt: skip


def study(tmp_path, dice, seeds=None, **more):
    """Methods to their folders; `dice` is a name to Dice (cases, labels), or to one such a seed."""
    folders = {}
    for place, (name, tables) in enumerate(dice.items()):
        folders[name] = tmp_path / f"m{place}"
        for seed, table in enumerate(tables if seeds else [tables]):
            where = folders[name] / f"seed{seed}" if seeds else folders[name]
            write_run(where, rows_of(table, **more), seed)
    return folders


def results(folders, metrics=None):
    methods = read_methods(folders)
    return compare_methods(pair_scores(methods), metrics or shared_metrics(methods))


def table(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three methods with three seeds each; b is better than a by far, c about as good as b."""
    folder = tmp_path_factory.mktemp("three")
    gains = {"a": 0.0, "b": 0.05, "c": 0.051}
    dice = {name: [dice_of(16, gain, seed=10 * place + seed, seed_effect=0.002 * (seed - 1)) for seed in range(3)]
            for place, (name, gain) in enumerate(gains.items())}  # fmt: skip
    return study(folder, dice, seeds=True), dice


@pytest.fixture(scope="module")
def written(three, tmp_path_factory):
    folders, _ = three
    for folder in folders.values():
        for i in range(16):
            write_slices(folder / "seed0", f"c{i}", i)
    out = tmp_path_factory.mktemp("out")
    return out, write_comparison(folders, out, PUBLISHED)


def test_differences_and_tests_are_those_of_numpy_scipy_and_statsmodels(three):
    folders, dice = three
    found = results(folders, ("dice",))
    means = {name: np.mean(tables, axis=0) for name, tables in dice.items()}
    expected = []
    for label in (None, *LABELS):
        values = {
            name: mean.mean(axis=1) if label is None else mean[:, LABELS.index(label)] for name, mean in means.items()
        }
        for a, b in itertools.combinations(dice, 2):
            differences = values[a] - values[b]
            seeds = [
                [np.mean(t if label is None else t[:, LABELS.index(label)]) for t in dice[name]] for name in (a, b)
            ]
            error = stats.sem(differences)
            parts = [(error**2, 15), *((np.var(each, ddof=1) / 3, 2) for each in seeds)]
            variance = sum(part for part, _ in parts)
            freedom = variance**2 / sum(part**2 / df for part, df in parts)
            of_seeds = 2 * stats.t.sf(abs(differences.mean()) / np.sqrt(variance), freedom)
            expected.append((differences.mean(), stats.wilcoxon(differences).pvalue, of_seeds))
    pairs = [pair for label in (None, *LABELS) for pair in found.pairs["dice", label]]
    assert [pair.found.mean for pair in pairs] == pytest.approx([each[0] for each in expected], abs=1e-9)
    assert [pair.found.p for pair in pairs] == pytest.approx([each[1] for each in expected])
    assert [pair.found.with_seeds.p for pair in pairs] == pytest.approx([each[2] for each in expected], rel=1e-5)
    corrected = multipletests([max(each[1:]) for each in expected], method="holm")[1]
    assert [pair.p_holm for pair in pairs] == pytest.approx(corrected, rel=1e-5)
    assert [pair.n_tests for pair in pairs] == [9] * 9
    assert [pair.different == "yes" for pair in pairs] == list(corrected < 0.05)
    assert [pair.different for pair in pairs[:3]] == ["yes", "yes", "no"]


def test_scores_are_means_over_seeds_and_cases(three):
    folders, dice = three
    found = results(folders, ("dice",))
    for place, tables in enumerate(dice.values()):
        score = found.scores["dice", "posterior"][place]
        own = np.array(tables)[:, :, 1]
        assert score.mean == pytest.approx(own.mean())
        assert score.sd == pytest.approx(own.mean(axis=0).std(ddof=1))
        assert score.sd_seeds == pytest.approx(own.mean(axis=1).std(ddof=1))
        assert (score.n, score.n_seeds) == (16, 3)
    assert found.ranks["dice", None][0].ranks[0] == 3


def with_empties(tmp_path):
    """Eight cases; of the label b: c0 absent, c1 invented by x alone, c2 missed by y, c3 invented by both."""
    kinds = {
        "x": {0: "absent", 1: "invented", 3: "invented"},
        "y": {0: "absent", 1: "absent", 2: "missed", 3: "invented"},
    }
    folders = {}
    for name, empties in kinds.items():
        rows = [row(f"c{i}", "a", 0.9 if name == "x" else 0.8) for i in range(8)]
        rows += [row(f"c{i}", "b", 0.0 if i in empties else 0.7, empties.get(i, ""),
                     reference_ml=0.0 if i in (0, 1, 3) else 2.0) for i in range(8)]  # fmt: skip
        folders[name] = write_run(tmp_path / name, rows)
    return folders


def test_what_is_absent_is_no_pair_and_what_one_alone_invented_is_held_against_it(tmp_path):
    found = results(with_empties(tmp_path), ("dice",))
    pair = found.pairs["dice", "b"][0]
    assert (pair.found.n, pair.absent, pair.invented, pair.undefined) == (7, 1, (1, 0), 0)
    # c1: 0 against nothing found, that is 1; c2: 0.7 against a miss, that is 0; c3: 0 and 0; the other four are alike
    assert pair.found.mean == pytest.approx((0.7 - 1) / 7)
    assert pair.found.wins == pytest.approx((0 + 1 + 5 / 2) / 7)
    assert left_out(pair) == "Not in the pairs: 1 absent from all masks"
    assert invented_note(pair) == "x invents in 1 case, where y rightly finds nothing (which counts as Dice 1)"
    ranks, n = found.ranks["dice", "b"]
    assert (n, ranks.ranks.tolist(), ranks.mean_ranks.tolist()) == (7, [2, 1], [1.5, 1.5])
    assert [score.n for score in found.scores["dice", "b"]] == [7, 6]
    assert found.scores["dice", "b"][0].empties == {"missed": 0, "invented": 2, "absent": 1}


def test_the_mean_over_labels_is_over_those_that_both_have(tmp_path):
    pair = results(with_empties(tmp_path), ("dice",)).pairs["dice", None][0]
    # c0: a alone, 0.1; c1: (0.1 - 1) / 2; c2: (0.1 + 0.7) / 2; c3: (0.1 + 0) / 2; the other four: 0.05
    assert pair.found.n == 8
    assert pair.found.mean == pytest.approx((0.1 - 0.45 + 0.4 + 0.05 + 4 * 0.05) / 8)
    assert (pair.absent, pair.invented) == (1, (1, 0))
    pair = results(with_empties(tmp_path), ("hd95",)).pairs["hd95", None][0]
    # a: 1 and 2, b: 3, or 100 where missed or invented. c0: -1 (a alone); c1: (-1 + 100) / 2; c2: (4 - 102) / 2; c3 and
    # others: -1 / 2
    assert pair.found.mean == pytest.approx((-1 + 49.5 - 49 - 0.5 - 4 * 0.5) / 8)


def test_a_case_that_one_seed_invents_counts_for_that_seed(tmp_path):
    for seed, kind in ((0, "absent"), (1, "invented")):
        rows = [row(f"c{i}", "a", 0.8 + 0.01 * i + 0.01 * seed) for i in range(1, 8)]
        write_run(tmp_path / "x" / f"s{seed}", [row("c0", "a", 0.0, kind), *rows], seed)
    write_run(tmp_path / "y", [row("c0", "a", 0.0, "absent"), *(row(f"c{i}", "a", 0.8) for i in range(1, 8))])
    pair = results({"x": tmp_path / "x", "y": tmp_path / "y"}, ("dice",)).pairs["dice", "a"][0]
    assert (pair.found.n, pair.invented, pair.absent) == (8, (1, 0), 0)
    # c0: the seeds have 1 and 0, y has 1; c1 to c7: 0.01 i, and 0.01 of the second seed
    assert pair.found.mean == pytest.approx((-0.5 + 0.01 * 28 + 7 * 0.005) / 8)


def test_a_case_that_other_seeds_of_both_invent_is_nobodys_alone(tmp_path):
    for name, kinds in (("x", ("absent", "invented")), ("y", ("invented", "absent"))):
        for seed, kind in enumerate(kinds):
            rows = [row("c0", "a", 0.0, kind), *(row(f"c{i}", "a", 0.8 + 0.01 * seed) for i in range(1, 8))]
            write_run(tmp_path / name / f"s{seed}", rows, seed)
    pair = results({"x": tmp_path / "x", "y": tmp_path / "y"}, ("dice",)).pairs["dice", "a"][0]
    assert (pair.found.n, pair.invented, pair.absent, pair.undefined) == (8, (0, 0), 0, 0)
    assert pair.found.mean == 0
    assert left_out(pair) == invented_note(pair) == ""


def inventor_and_careful(tmp_path):
    """Of 20 cases 8 are without the structure; `inventor` finds it there, and is 0.01 better in the other 12."""
    folders = {}
    for name, kind, gain in (("careful", "absent", 0.0), ("inventor", "invented", 0.01)):
        rows = [row(f"c{i}", "x", 0.0, kind, reference_ml=0.0) for i in range(8)]
        rows += [row(f"c{i}", "x", 0.8 + 0.001 * i + gain) for i in range(8, 20)]
        folders[name] = write_run(tmp_path / name, rows)
    return folders


def test_a_method_that_invents_structures_is_nowhere_called_best(tmp_path):
    folders = inventor_and_careful(tmp_path)
    found = results(folders, ("dice",))
    pair = found.pairs["dice", "x"][0]
    assert pair.found.mean == pytest.approx((8 * 1 - 12 * 0.01) / 20)
    assert pair.found.wins == pytest.approx(8 / 20)
    assert leader(found, "dice") == "careful"
    assert found.ranks["dice", "x"][0].ranks.tolist() == [1, 2]
    # the table of means leaves out what is in neither mask
    assert [score.n for score in found.scores["dice", "x"]] == [12, 20]
    assert found.scores["dice", "x"][0].mean == pytest.approx(0.8 + 0.001 * 13.5)
    lines = write_comparison(folders, tmp_path / "out", metrics=["dice"])
    note = "inventor invents in 8 cases, where careful rightly finds nothing (which counts as Dice 1)"
    assert f"{note}." in lines
    text = Page(tmp_path / "out" / "comparison.html").text
    assert text.count(note) == 2  # what was found, and below the pair
    assert "Ranked first: mean Dice 0.814 careful, x" in text
    assert "Best mean" not in text
    assert "inventor leads" not in text
    assert "careful is ahead by 0.3940" in text


def test_distances_of_what_was_rightly_not_found_are_0(tmp_path):
    pair = results(inventor_and_careful(tmp_path), ("hd95",)).pairs["hd95", "x"][0]
    # 8 times 0 - 100; the other distances are 10 (1 - Dice), so 0.1 mm larger
    assert pair.found.mean == pytest.approx((-8 * 100 + 12 * 0.1) / 20)
    assert invented_note(pair).endswith("(which counts as HD95 0)")


def test_two_methods_that_find_nothing_are_no_pair_where_a_third_invents(tmp_path):
    folders = inventor_and_careful(tmp_path)
    rows = [row(f"c{i}", "x", 0.0, "absent", reference_ml=0.0) for i in range(8)]
    folders["third"] = write_run(tmp_path / "third", rows + [row(f"c{i}", "x", 0.7) for i in range(8, 20)])
    found = results(folders, ("dice",))
    assert [(pair.found.n, pair.absent) for pair in found.pairs["dice", "x"]] == [(20, 0), (12, 8), (20, 0)]
    assert (found.ranks["dice", "x"][1], found.ranks["dice", "x"][0].ranks.tolist()) == (20, [1, 3, 2])


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


def test_the_headline_says_who_leads_by_how_much_and_how_sure(tmp_path):
    dice = dice_of(10)
    gain = np.linspace(0.01, 0.03, 10)[:, None]
    found = results(study(tmp_path, {"UNETR": dice, "SegResNet": dice + gain}), ("dice", "hd95"))
    low, high = found.pairs["dice", None][0].found.interval
    assert headline(found, "dice") == [
        f"SegResNet leads by 0.0200 [{-high:.4f}, {-low:.4f}] in Dice over UNETR, p = 0.006, n = 10."
    ]  # three tests of least p 2 / 2^10
    # distances of the made-up rows are 10 (1 - Dice), so 0.2 mm smaller
    assert headline(found, "hd95")[0].startswith("SegResNet leads by 0.200 mm [")
    assert "tests of trained networks, not of methods" in seeds_note(found)


def test_no_difference_and_too_few_are_not_the_same(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, (12, 2))
    shown = results(study(tmp_path / "1", {"a": dice_of(12), "b": dice_of(12) + noise - noise.mean()}), ("dice",))
    assert headline(shown, "dice")[0].startswith("No difference shown between ")
    few = results(study(tmp_path / "2", {"a": dice_of(4), "b": dice_of(4) + 0.03}), ("dice",))
    sentence = headline(few, "dice")[0]
    assert sentence.startswith("Too few patients to tell b from a in Dice: b is ahead by 0.0300")
    assert sentence.endswith("n = 4; no scores could give p < 0.05.")


def test_a_lead_that_other_seeds_might_undo_is_said_to_be_one_of_networks(tmp_path):
    dice = {"a": [dice_of(20, 0.0, 1), dice_of(20, 0.03, 2)], "b": [dice_of(20, 0.02, 3), dice_of(20, 0.05, 4)]}
    found = results(study(tmp_path, dice, seeds=True), ("dice",))
    assert headline(found, "dice")[0].endswith(
        "These networks differ on these patients, but not by more than other seeds might."
    )
    assert seeds_note(found).startswith("Seeds: a 2, b 2.")


def test_a_method_with_one_seed_among_others_is_named_as_such(tmp_path):
    write_run(tmp_path / "b", rows_of(dice_of(12, 0.02)))
    several = study(tmp_path, {"a": [dice_of(12, seed=seed) for seed in range(3)]}, seeds=True)
    found = results(several | {"b": tmp_path / "b"}, ("dice",))
    assert seeds_note(found).startswith("Seeds: a 3, b 1.")
    assert "Comparisons with one seed are tests of trained networks" in seeds_note(found)
    assert found.pairs["dice", None][0].found.with_seeds is None


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


def test_wins_are_of_the_rows_method_and_ranks_stand_beside_their_method(three):
    found = results(three[0], ("dice", "hd95"))
    means = {name: np.mean(tables, axis=(0, 2)) for name, tables in three[1].items()}
    expected = [[np.nan if a == b else np.mean(means[a] > means[b]) for b in means] for a in means]
    for metric in ("dice", "hd95"):  # distances of the made-up rows are 10 (1 - Dice)
        shares, leads = win_shares(found, metric)
        assert shares == pytest.approx(np.array(expected), nan_ok=True)
        assert leads.tolist() == [[False, True, True], [True, False, False], [True, False, False]]
    assert expected[1][0] == 1.0
    shares = rank_shares(found, "dice")
    assert list(shares) == sorted(means, key=lambda name: -means[name].mean())
    assert shares["a"].tolist() == [0.0, 0.0, 1.0]
    assert shares["c"][0] > shares["b"][0]


def test_volumes_are_predicted_minus_reference(tmp_path):
    for seed, predicted in enumerate((2.5, 3.5)):
        rows = [row("c0", "x", 0.8, prediction_ml=predicted), row("c1", "x", 0.8, prediction_ml=1.0)]
        write_run(tmp_path / "m" / f"s{seed}", rows, seed)
    other = write_run(tmp_path / "n", [row("c0", "x", 0.7), row("c1", "x", 0.7)])
    data = pair_scores(read_methods({"m": tmp_path / "m", "n": other}))
    # the reference has 2 ml; the seeds' mean of c0 is 3
    assert volume_points(data, data.methods[0], "x") == [(2.5, 1.0), (1.5, -1.0)]


@pytest.mark.parametrize("letter", ["e", "W", "名"])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_long_label_names_do_not_overlap_in_figures(tmp_path, monkeypatch, letter):
    labels = tuple(f"{letter * 60}{i}" for i in range(2))
    dice = (dice_of(6), dice_of(6, 0.02))
    folders = {f"m{i}": write_run(tmp_path / f"m{i}", rows_of(each, labels)) for i, each in enumerate(dice)}
    boxes = []

    def measure(figure):
        figure.canvas.draw()
        boxes.append([axes._left_title.get_window_extent() for axes in figure.axes])
        return b""

    monkeypatch.setattr(figures, "as_png", measure)
    figures.draw_comparison(results(folders, ("dice",)))
    assert len(boxes[0]) == 3
    assert all(one.x1 < two.x0 for one, two in itertools.pairwise(boxes[0]))


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


def test_names_in_figures_differ_when_cut():
    shown = short_names(["the same long beginning, one", "the same long beginning, two", "short"])
    assert len(set(shown)) == 3


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


def test_what_was_not_the_same_is_marked(tmp_path):
    folders = study(tmp_path, {"a": dice_of(7), "b": dice_of(7, 0.02)})
    write_run(folders["b"], rows_of(dice_of(7, 0.02)), seed=3, epochs=9, data_fingerprint="g", network="UNETR")
    (folders["a"] / "config.yaml").unlink()
    write_comparison(folders, tmp_path / "out", metrics=["dice"])
    text = Page(tmp_path / "out" / "comparison.html").text
    assert "Not the same for all methods: epochs, data fingerprint; see What was run." in text
    assert "epochs 3 9 differs" in text
    assert re.search(r"network UNet UNETR (?!differs)", text)
    assert "No config.yaml in 1 of 2 runs (training writes it): a (m0)." in text
    assert "updates made 50 50" in text


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
    assert "train each with two seeds or more, all on one split." in text
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


def test_the_worst_the_most_disputed_and_the_best_cases_by_brute_force():
    rng = np.random.default_rng(5)
    values = rng.uniform(0.3, 0.9, (3, 30))
    values[:, 4] = np.nan
    values[1, 7] = np.nan
    for higher in (True, False):
        worst, disputed, best = choose_cases(values, higher, 5)
        known = [i for i in range(30) if i != 4]
        means = {i: np.mean([v for v in values[:, i] if np.isfinite(v)]) for i in known}
        spans = {i: max(v for v in values[:, i] if v == v) - min(v for v in values[:, i] if v == v) for i in known}
        assert worst == sorted(known, key=means.get, reverse=not higher)[:5]
        assert best == sorted(known, key=means.get, reverse=higher)[:5]
        assert disputed == sorted(known, key=spans.get, reverse=True)[:5]
    assert choose_cases(values[:, :3], True, 5)[2] == []


def test_comparing_loads_neither_torch_nor_monai():
    code = "import sys, medseg.reports.comparison.write; print({'torch', 'monai', 'matplotlib'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_p_is_not_rounded_over_the_threshold():
    assert [p_text(p) for p in (0.0496, 0.0502, 0.0004, 0.5, None)] == ["0.0496", "0.0502", "< 0.001", "0.500", NOTHING]
    assert [difference_text(d, "dice") for d in (-0.00001, -0.0168, None)] == ["0.0000", "-0.0168", NOTHING]
    assert difference_text(-12.345, "hd95") == "-12.345"


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
