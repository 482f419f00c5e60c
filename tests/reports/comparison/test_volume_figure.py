import numpy as np
import pytest
from made_runs import dice_of, rows_of, write_run
from pages import Page

from medseg.reports.comparison import volume_figure
from medseg.reports.comparison.method_runs import read_methods
from medseg.reports.comparison.paired_scores import pair_scores
from medseg.reports.comparison.results import compare_methods
from medseg.reports.comparison.volume_figure import draw_volumes, left_out_note
from medseg.reports.comparison.write import write_comparison

LONG = "the left one of a pair of organs with a very long name, part {}"


def folders(tmp_path, n_methods, n_labels, cases=9):
    """Volumes whose differences are known: case i of label k differs by i - 4 + k ml, of a later method by more."""
    labels = tuple(LONG.format(k) for k in range(n_labels))
    made = {}
    for place in range(n_methods):
        rows = rows_of(dice_of(cases, seed=place, labels=n_labels), labels)
        for each in rows:
            case, k = int(each["case"][1:]), labels.index(each["label"])
            each |= {"reference_ml": 500.0 + case, "prediction_ml": 500.0 + case + (case - 4 + k) * (place + 1)}
        made[f"a method whose name is long as well {place}"] = write_run(tmp_path / f"m{place}", rows)
    return made


def found(made):
    return compare_methods(pair_scores(read_methods(made)), ("dice",))


@pytest.fixture
def figure(monkeypatch):
    """Draws, and gives the figure itself instead of its PNG."""
    monkeypatch.setattr(volume_figure, "as_png", lambda drawn: drawn)
    return draw_volumes


def test_every_label_and_method_has_a_panel_with_bias_and_limits(tmp_path, figure):
    drawn = figure(found(folders(tmp_path, 2, 4)))
    assert len(drawn.subfigs) == 4
    for k, part in enumerate(drawn.subfigs):
        assert len(part.axes) == 2
        for times, axes in enumerate(part.axes, start=1):
            differences = (np.arange(9) - 4.0 + k) * times
            heights = [line.get_ydata()[0] for line in axes.get_lines()]
            bias, spread = differences.mean(), 1.96 * differences.std(ddof=1)
            assert heights == pytest.approx([0, bias, bias - spread, bias + spread])
            points = axes.collections[0].get_offsets()
            assert sorted(points[:, 1]) == pytest.approx(sorted(differences))
            assert axes.get_ylim() == part.axes[0].get_ylim() and axes.get_xlim() == part.axes[0].get_xlim()


def test_names_are_told_apart(tmp_path, figure):
    drawn = figure(found(folders(tmp_path, 2, 4)))
    heads = [part.get_suptitle() for part in drawn.subfigs]
    titles = [axes.get_title("left") for axes in drawn.subfigs[0].axes]
    assert len(set(heads)) == 4 and len(set(titles)) == 2
    assert all(len(name) <= 40 for name in heads + titles)


@pytest.mark.parametrize(("n_methods", "n_labels", "drawn"), [(2, 13, 12), (5, 12, 4), (25, 2, 1)])
def test_of_many_labels_the_first_are_drawn_and_the_others_named(tmp_path, n_methods, n_labels, drawn):
    made = found(folders(tmp_path, n_methods, n_labels, cases=2))
    assert len(volume_figure.drawn_labels(made)) == drawn
    first = LONG.format(drawn)
    assert left_out_note(made).startswith(f"Not drawn, but in the table: {first}")
    assert left_out_note(made).endswith(" and 2 more") is (n_labels - drawn == 8)
    assert left_out_note(found(folders(tmp_path / "few", 2, 3))) == ""


def test_the_page_names_what_is_not_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(volume_figure, "MOST_PANELS", 4)
    write_comparison(folders(tmp_path, 2, 3, cases=6), tmp_path / "out", metrics=["dice"])
    text = Page(tmp_path / "out" / "comparison.html").text
    assert f"the dashed ones are the limits of agreement. Not drawn, but in the table: {LONG.format(2)}." in text
