import io

import numpy as np
from PIL import Image

from medseg.labels import PALETTE
from medseg.reports.figures import draw_headlines


def row(case, label, unit="mm", **scores):
    return {"case": case, "label": label, "distance_unit": unit, "empties": ""} | scores


def shows(png, colour):
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    return bool((pixels == colour).all(axis=2).any())


def test_a_figure_a_metric_with_the_labels_colours():
    rows = [row(str(i), label, dice=0.1 * i, hd95=i) for i in range(4) for label in ("a", "b")]
    drawn = draw_headlines(rows, ["a", "b", "c"], ("dice", "hd95"))
    assert list(drawn) == ["dice_by_label.png", "hd95_by_label.png"]
    for png in drawn.values():
        assert [shows(png, colour) for colour in PALETTE[:3]] == [True, True, False]


def test_millimetres_and_pixels_are_drawn_apart():
    rows = [row("1", "a", dice=0.5, hd95=3.0), row("2", "b", "px", dice=0.5, hd95=30.0)]
    drawn = draw_headlines(rows, ["a", "b"], ("dice", "hd95"))
    assert list(drawn) == ["dice_by_label.png", "hd95_by_label_mm.png", "hd95_by_label_px.png"]
    shown = [[shows(png, colour) for colour in PALETTE[:2]] for png in drawn.values()]
    assert shown == [[True, True], [True, False], [False, True]]


def test_a_metric_without_values_is_not_drawn():
    assert draw_headlines([row("1", "a", dice="")], ["a"], ("dice", "hd95")) == {}
    assert draw_headlines([], [], ("dice",)) == {}
