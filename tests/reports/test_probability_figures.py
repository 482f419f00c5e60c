import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from medseg.metrics.curves import BINS, curve, curve_rows
from medseg.reports import probability_figures
from medseg.reports.probability_figures import draw_probabilities, reliability


def pixels(seed=0, size=5000):
    rng = np.random.default_rng(seed)
    probability = rng.random(size)
    return probability, rng.random(size) < probability**2


def as_text(rows):
    return [{name: str(value) for name, value in row.items()} for row in rows]


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setattr(probability_figures, "as_png", lambda figure: figure)
    probability, reference = pixels()
    rows = [{"case": str(i), "label": "a", "empties": "", "roc_auc": f"0.{i}", "pr_auc": ""} for i in (8, 9)]
    return (
        draw_probabilities(as_text(curve_rows({"a": curve(probability, reference)})), rows, ["a"]),
        probability,
        reference,
    )


def test_bins_agree_with_scikit_learn():
    probability, reference = pixels()
    points = sorted(curve_rows({"a": curve(probability, reference)}), key=lambda row: -row["threshold"])
    shares, means = calibration_curve(reference, probability, n_bins=BINS)
    found = reliability(points)
    assert [each[0] for each in found] == pytest.approx(means) and [each[1] for each in found] == pytest.approx(shares)
    assert sum(each[2] for each in found) == len(probability)


def test_empty_bins_are_left_out():
    """Two of four pixels at 0.1, of which one is the label, and two at 1."""
    points = curve_rows({"a": curve(np.array([0.1, 0.1, 1.0, 1.0]), np.array([True, False, True, True]))})
    assert reliability(points[::-1]) == [(pytest.approx(0.1), 0.5, 2), (1.0, 1.0, 2)]


def test_the_roc_curve_runs_from_corner_to_corner(drawn):
    line = drawn[0]["roc.png"].axes[0].get_lines()[0]
    (x, y) = line.get_data()
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1) and (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all()
    assert line.get_label() == "a: mean AUC 0.850 (n = 2)"
    from sklearn.metrics import roc_auc_score

    assert np.trapezoid(y, x) == pytest.approx(roc_auc_score(drawn[2], drawn[1]), abs=1e-3)


def test_precision_falls_to_the_share_of_the_label(drawn):
    line = drawn[0]["precision_recall.png"].axes[0].get_lines()[0]
    assert line.get_label() == "a" and line.get_data()[1][-1] == pytest.approx(drawn[2].mean())


def test_a_label_without_pixels_has_no_curve():
    rows = curve_rows({"a": curve(np.array([0.2, 0.7]), np.array([False, False]))})
    assert draw_probabilities(rows, [], ["a"]) == {} and draw_probabilities([], [], []) == {}
