import pytest

from medseg.reports.captions import SECTIONS, captions

NAMES = (
    "validation_overlaps.png", "roc.png", "loss.png", "hd95_by_label_mm.png", "slices_best.png", "slices_worst.png",
    "validation_dice.png", "confusion.png", "dice_by_label.png", "mine.png", "x_by_label.png",
)  # fmt: skip


def test_each_figure_stands_in_one_section_in_the_order_of_the_page():
    found = {section: list(captions(section, NAMES)) for section in SECTIONS}
    assert found == {
        "scores": ["hd95_by_label_mm.png", "dice_by_label.png", "confusion.png", "roc.png"],
        "training": ["loss.png", "validation_dice.png", "validation_overlaps.png"],
        "cases": ["slices_worst.png", "slices_best.png"],
    }


def test_a_caption_says_what_is_shown():
    assert captions("scores", ["hd95_by_label_px.png"]) == {"hd95_by_label_px.png": "HD95 of every case, by label"}
    assert all(text for section in SECTIONS for text in captions(section, NAMES).values())


def test_there_are_three_sections():
    with pytest.raises(ValueError, match="found figures"):
        captions("figures", NAMES)
