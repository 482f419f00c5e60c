import numpy as np

from medseg.labels import PALETTE, Labels
from medseg.volumes.slice_pixels import intensity_window, place_legend, printable, with_labels

LABELS = Labels({"background": 0, "liver": 1, "tumour": 2})


def test_the_window_spans_the_1st_to_the_99th_percentile():
    image = np.arange(101.0).repeat(80).reshape(101, 8, 10)
    assert intensity_window([image]) == (1.0, 99.0)
    assert intensity_window([np.full((3, 3, 3), 7.0)]) == (7.0, 8.0)
    assert intensity_window([np.full((3, 3, 3), np.nan)]) == (0.0, 1.0)


def test_names_are_one_line_of_what_can_be_printed():
    assert printable("a\n\tb\x00\u202ec", 10) == "a b c"
    assert printable("x" * 50, 10) == "x" * 9 + "…"


def test_a_label_is_filled_outlined_or_both():
    """A square of 10 pixels across: an outline 2 wide is 100 - 36 of its pixels."""
    plain, label_map = np.full((20, 20, 3), 100, np.uint8), np.zeros((20, 20), np.uint8)
    label_map[5:15, 5:15] = 1
    edge = (with_labels(plain, label_map, LABELS) == PALETTE[0]).all(axis=2)
    assert edge.sum() == 64 and edge[5, 5] and not edge[7:13, 7:13].any()
    filled = with_labels(plain, label_map, LABELS, outline=False)
    assert (filled[5:15, 5:15] == np.array(PALETTE[0]) * 0.3 // 1 + 70).all(axis=2).mean() > 0.9
    assert (filled[:5] == 100).all()
    outlined = with_labels(plain, label_map, LABELS, fill=False)
    assert (outlined[7:13, 7:13] == 100).all() and (outlined[edge] == PALETTE[0]).all()
    assert (plain == 100).all()


def test_a_legend_breaks_its_lines():
    places, height = place_legend(Labels({"background": 0} | {f"label {i}": i for i in range(1, 9)}), 200)
    assert [name for name, *_ in places] == [f"label {i}" for i in range(1, 9)]
    assert places[0][2:] == (0, 0) and places[-1][3] > 0 and height > places[-1][3] * 26
