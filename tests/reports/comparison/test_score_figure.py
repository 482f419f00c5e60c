import numpy as np
import pytest
from made_runs import dice_of, row, write_run

from medseg.reports.comparison import figures
from medseg.reports.comparison.method_runs import read_methods
from medseg.reports.comparison.paired_scores import pair_scores
from medseg.reports.comparison.results import compare_methods
from medseg.reports.figures import jitter


@pytest.fixture
def axes(monkeypatch, tmp_path):
    """Of the figure of HD95 of one label: 40 cases on a grid of 1 mm, so that many are equal."""
    monkeypatch.setattr(figures, "as_png", lambda drawn: drawn)
    folders = {}
    for place, name in enumerate(("a", "b")):
        rows = [row(f"c{i}", "x", float(dice), hd95=1.0 + (i + place) % 3)
                for i, dice in enumerate(dice_of(40, seed=place, labels=1)[:, 0])]  # fmt: skip
        folders[name] = write_run(tmp_path / name, rows)
    found = compare_methods(pair_scores(read_methods(folders)), ("hd95",))
    return figures._draw_scores(found, "hd95").axes[0]


def test_equal_scores_are_dots_of_their_own_within_their_box(axes):
    dots = [np.asarray(each.get_offsets()) for each in axes.collections]
    assert [len(each) for each in dots] == [40, 40]
    for place, each in enumerate(dots):
        assert len({tuple(np.round(dot, 3)) for dot in each}) == 40
        assert sorted(each[:, 0]) == sorted([1.0 + (i + place) % 3 for i in range(40)])
        assert np.abs(each[:, 1] - place).max() <= figures.BOX / 2 + 1e-9


def test_lines_join_the_dots_of_a_case(axes):
    first, second = (np.asarray(each.get_offsets()) for each in axes.collections)
    joined = [line.get_xydata() for line in axes.get_lines() if line.get_linewidth() == 0.6]
    assert len(joined) == 40
    for i, (start, end) in enumerate(joined):
        assert start == pytest.approx(first[i]) and end == pytest.approx(second[i])


def test_places_are_always_alike_and_evenly_spread():
    assert jitter(50) == jitter(60)[:50] and max(map(abs, jitter(500))) <= 0.2
    counts, _ = np.histogram(jitter(100, 2.0), bins=10, range=(-1, 1))
    assert counts.min() >= 9 and counts.max() <= 11
