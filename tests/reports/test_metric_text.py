import pytest

from medseg.reports.metric_text import figure, headlines, interval, title


@pytest.mark.parametrize(
    ("metric", "unit", "expected"),
    [
        ("dice", "mm", "Dice"), ("hd95", "mm", "HD95 (mm)"), ("hd95", "px", "HD95 (px)"),
        ("volume_difference_ml", "mm", "Volume difference (ml)"), ("roc_auc", "px", "ROC AUC"),
    ],
)  # fmt: skip
def test_titles_have_their_unit(metric, unit, expected):
    assert title(metric, unit) == expected


@pytest.mark.parametrize(
    ("value", "metric", "expected"),
    [
        (0.9126, "dice", "0.913"), (1.0, "dice", "1.000"), (None, "dice", "\u2013"), (3.14159, "hd95", "3.14"),
        (440.26, "hd95", "440.3"), (1978.4, "reference_ml", "1978"), (12345.6, "reference_ml", "12346"),
        (-19.551, "volume_difference_ml", "-19.55"),
    ],
)  # fmt: skip
def test_values_have_four_figures_at_most(value, metric, expected):
    assert figure(value, metric) == expected


def test_intervals():
    assert interval(0.81234, 0.9, "dice") == "[0.812, 0.900]"
    assert interval(None, None, "dice") == "\u2013"


def test_headlines_are_dice_and_hd95_or_the_first_two():
    assert headlines(("iou", "hd95", "dice")) == ("dice", "hd95")
    assert headlines(("iou", "dice")) == ("dice",)
    assert headlines(("nsd", "assd", "iou")) == ("nsd", "assd")
    assert headlines(()) == ()
