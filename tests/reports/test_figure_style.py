import pytest

from medseg.labels import PALETTE
from medseg.reports.figure_style import MUTED, as_png, colour, label_line, legend_inches, name_text, new_figure, titled


@pytest.mark.parametrize(
    ("name", "text"),
    [("liver", "liver"), ("$x$", "\\$x\\$"), ("_x", " _x"), ("a\n\tb", "a b"), ("x" * 30, "x" * 23 + "…")],
)
def test_names_are_one_short_line_of_text(name, text):
    assert name_text(name) == text


def test_labels_have_their_colours_and_beyond_them_dashes():
    labels = [f"label {i}" for i in range(2 * len(PALETTE))]
    lines = [label_line(label, labels) for label in labels]
    assert lines[0] == {"color": colour(0), "linestyle": "-"} and colour(0) == tuple(c / 255 for c in PALETTE[0])
    assert len({(line["color"], line["linestyle"]) for line in lines}) == len(labels)
    assert label_line("other", labels) == {"color": MUTED}


def test_a_legend_is_as_high_as_its_lines():
    assert legend_inches(5, 2) == pytest.approx(3 * legend_inches(1, 1)) and legend_inches(0) == 0


def test_the_same_figure_gives_the_same_bytes():
    def draw():
        figure = new_figure(1.0)
        titled(figure.add_subplot(), "$x$ _ " + "y" * 90).plot([1, 2], [3, 4])
        return as_png(figure)

    assert draw() == draw()
