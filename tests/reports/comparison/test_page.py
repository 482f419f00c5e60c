import re

import numpy as np
import pytest
from made_runs import dice_of, rows_of, write_run
from pages import Page

from medseg.reports.comparison.write import write_comparison


def top(tmp_path, dice):
    """What the page says before its first section; `dice` is a name to Dice (cases, 1)."""
    folders = {name: write_run(tmp_path / name, rows_of(each, ("liver",))) for name, each in dice.items()}
    write_comparison(folders, tmp_path / "out", metrics=["dice"])
    return Page(tmp_path / "out" / "comparison.html").text.partition("What was found")[0]


def test_beside_the_best_mean_stands_from_whom_it_is_not_told_apart(tmp_path):
    dice = dice_of(16, labels=1)
    noise = np.random.default_rng(0).normal(0, 0.02, (16, 1))
    text = top(tmp_path, {"behind": dice - 0.08, "first": dice + 0.002, "close": dice + noise - noise.mean()})
    assert "first, liver [" in text and "] No difference shown to close Methods 3" in text


def test_of_many_that_are_not_told_apart_three_are_named(tmp_path):
    dice = dice_of(16, labels=1)
    noise = np.where(np.arange(16) % 2, 0.01, -0.0101)[:, None]
    others = {f"m{i}": dice + noise * (1 + i / 4) for i in range(5)}
    assert "No difference shown to m0, m1, m2 and 2 more" in top(tmp_path, {"first": dice, **others})


def test_few_patients_and_leads_in_the_mean_alone_are_told_apart_from_that(tmp_path):
    few = top(tmp_path / "few", {"a": dice_of(4, labels=1), "b": dice_of(4, labels=1) + 0.03})
    assert "Too few patients to tell it from a" in few and "No difference" not in few
    failing = np.full((20, 1), 0.8) + np.linspace(0.01, 0.02, 20)[:, None]
    failing[0] = 0.01
    assert "No clear lead over b" in top(tmp_path / "split", {"a": np.full((20, 1), 0.8), "b": failing})


@pytest.mark.parametrize("words", ["o difference shown to", "oo few", "o clear lead"])
def test_a_method_that_leads_all_stands_without_a_doubt(tmp_path, words):
    dice = dice_of(16, labels=1)
    assert words not in top(tmp_path, {"a": dice, "b": dice + 0.03, "c": dice - 0.02})


def test_p_stands_beside_the_verdict(tmp_path):
    dice = dice_of(16, labels=1)
    folders = {name: write_run(tmp_path / name, rows_of(each, ("liver",))) for name, each in
               (("a", dice), ("b", dice + 0.03))}  # fmt: skip
    write_comparison(folders, tmp_path / "out", metrics=["dice"])
    text = Page(tmp_path / "out" / "comparison.html").text
    assert "verdict p (Holm) difference 95 % interval over seeds too n p wins median" in text
    assert re.search(r"a . b different < 0\.001 -0\.0300 (\[.{16}\]|.) . 16 < 0\.001 0 % -0\.0300", text)
