import itertools
import re

import numpy as np
import pytest
from made_runs import LABELS, dice_of, results, row, rows_of, study, write_run
from pages import Page
from scipy import stats
from statsmodels.stats.multitest import multipletests

from medseg.reports.comparison import figures
from medseg.reports.comparison.figures import rank_shares, short_names, win_shares
from medseg.reports.comparison.method_runs import read_methods
from medseg.reports.comparison.paired_scores import pair_scores
from medseg.reports.comparison.results import volume_points
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


def test_the_leaders_closest_rivals_come_first(tmp_path):
    """`far0` is behind in all cases by the most; `lucky` has the larger p, `near` the smaller difference."""
    dice = dice_of(16, labels=1)
    behind = {f"far{i}": dice - 0.09 + 0.01 * i for i in range(7)}
    near = dice - 0.002 + np.where(np.arange(16) < 7, 0.003, 0.0)[:, None]
    others = {"near": near, "lucky": dice + np.where(np.arange(16) % 2, -0.04, 0.035)[:, None]}
    tables = {**behind, **others, "first": dice}
    found = results(
        {name: write_run(tmp_path / name, rows_of(each, ("liver",))) for name, each in tables.items()}, ("dice",)
    )
    assert leader(found, "dice") == "first"
    said = headline(found, "dice")
    rivals = [re.search(r"(?:over|between first and|tell first from) (\w+)", line)[1] for line in said[:-1]]
    assert rivals == ["lucky", "near", "far6", "far5", "far4", "far3"]
    assert said[:2] == [line for line in said if line.startswith("No difference shown")]
    assert said[-1] == "And 3 more comparisons, in the table."


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


def test_names_in_figures_differ_when_cut():
    shown = short_names(["the same long beginning, one", "the same long beginning, two", "short"])
    assert len(set(shown)) == 3


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


def test_p_is_not_rounded_over_the_threshold():
    assert [p_text(p) for p in (0.0496, 0.0502, 0.0004, 0.5, None)] == ["0.0496", "0.0502", "< 0.001", "0.500", NOTHING]
    assert [difference_text(d, "dice") for d in (-0.00001, -0.0168, None)] == ["0.0000", "-0.0168", NOTHING]
    assert difference_text(-12.345, "hd95") == "-12.345"
