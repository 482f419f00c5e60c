import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from medseg.metrics.curves import BINS, THRESHOLDS, added, curve, curve_rows


def pixels(seed, size=4000, dtype=np.float32):
    """Probabilities with many ties, zeros and ones among them, that say something about the reference."""
    rng = np.random.default_rng(seed)
    reference = rng.random(size) < 0.2
    probability = np.clip(rng.normal(0.25 + 0.5 * reference, 0.3), 0, 1)
    probability[::7] = np.round(probability[::7], 1)
    return probability.astype(dtype), reference


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_point_is_exact(dtype):
    """Counted threshold by threshold."""
    probability, reference = pixels(0, dtype=dtype)
    found, wide = curve(probability, reference), probability.astype(np.float64)
    for place in range(0, len(THRESHOLDS), 25):
        reached = wide >= THRESHOLDS[place]
        assert found.tp[place] == np.sum(reached & reference) and found.fp[place] == np.sum(reached & ~reference)
        assert found.probability_sum[place] == pytest.approx(wide[reached].sum(), abs=1e-9)


def test_the_points_lie_on_scikit_learns_curves():
    """Where scikit-learn has a point at one of our thresholds; both count what is at least the threshold."""
    rng = np.random.default_rng(1)
    probability, reference = rng.choice(THRESHOLDS, 3000), rng.random(3000) < 0.3
    found = curve(probability, reference)
    n_foreground, n_background = int(reference.sum()), int((~reference).sum())
    fpr, tpr, at = roc_curve(reference, probability, drop_intermediate=False)
    places = np.searchsorted(THRESHOLDS, at[1:])
    assert (THRESHOLDS[places] == at[1:]).all() and len(places) > 900
    assert found.tp[places] / n_foreground == pytest.approx(tpr[1:])
    assert found.fp[places] / n_background == pytest.approx(fpr[1:])
    precision, recall, at = precision_recall_curve(reference, probability)
    places = np.searchsorted(THRESHOLDS, at)
    assert found.tp[places] / (found.tp + found.fp)[places] == pytest.approx(precision[:-1])
    assert found.tp[places] / n_foreground == pytest.approx(recall[:-1])


def test_the_grid_spans_zero_to_one_and_holds_the_edges_of_the_bins():
    assert THRESHOLDS[0] == 0 and THRESHOLDS[-1] == 1 and (np.diff(THRESHOLDS) > 0).all() and len(THRESHOLDS) >= 1000
    assert np.isin(np.arange(BINS + 1) / BINS, THRESHOLDS).all()


def test_parts_add_up_to_the_whole():
    (first, one), (second, two) = pixels(2), pixels(3)
    whole = curve(np.concatenate([first, second]), np.concatenate([one, two]))
    parts = added(added({}, {"a": curve(first, one)}), {"a": curve(second, two), "b": curve(first, one)})
    assert list(parts) == ["a", "b"]
    assert (parts["a"].tp == whole.tp).all() and (parts["a"].fp == whole.fp).all()
    assert parts["a"].probability_sum == pytest.approx(whole.probability_sum)


def test_rows_hold_the_four_counts():
    probability, reference = np.array([0.0, 0.4, 1.0, 1.0], np.float32), np.array([False, True, True, False])
    rows = curve_rows({"a": curve(probability, reference)})
    assert len(rows) == len(THRESHOLDS)
    counts = [tuple(row[name] for name in ("threshold", "tp", "fp", "fn", "tn")) for row in (rows[0], rows[-1])]
    assert counts == [(0.0, 2, 2, 0, 0), (1.0, 1, 1, 1, 1)]


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        curve(np.array([0.5, np.nan]), np.array([True, False]))
