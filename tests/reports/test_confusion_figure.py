import io

import pytest
from PIL import Image

from medseg.reports import confusion_figure
from medseg.reports.confusion_figure import draw_confusion


def rows(counts, names):
    return [{"reference": r, "prediction": p, "reference_name": names[r], "prediction_name": names[p], "voxels": str(n)}
            for r, line in enumerate(counts) for p, n in enumerate(line)]  # fmt: skip


def drawn(monkeypatch, *arguments):
    monkeypatch.setattr(confusion_figure, "as_png", lambda figure: figure)
    (axes,) = draw_confusion(rows(*arguments))["confusion.png"].axes
    return axes, [text.get_text() for text in axes.texts]


def test_rows_are_references_in_percent_and_in_voxels(monkeypatch):
    axes, texts = drawn(monkeypatch, [[900, 100], [50, 150]], ["background", "liver"])
    assert texts == ["90.0 %\n900", "10.0 %\n100", "25.0 %\n50", "75.0 %\n150"]
    assert axes.get_ylabel() == "reference" and axes.get_xlabel() == "prediction"
    assert [text.get_text() for text in axes.get_yticklabels()] == ["background", "liver"]


def test_nearly_all_is_not_all_and_a_reference_without_voxels_has_no_shares(monkeypatch):
    _, texts = drawn(monkeypatch, [[99_999_999, 1], [0, 0]], ["a", "b"])
    assert texts == [">99.9 %\n100M", "<0.1 %\n1", "", ""]


def test_many_values_are_cut_to_the_largest_and_the_others_summed(monkeypatch):
    n = 20
    counts = [[(r + 1) * 10 if r == p else 0 for p in range(n)] for r in range(n)]
    axes, texts = drawn(monkeypatch, counts, [f"v{i}" for i in range(n)])
    shown = [text.get_text() for text in axes.get_yticklabels()]
    assert shown == [*(f"v{i}" for i in range(5, 20)), "others"]
    assert texts[-1] == f"100.0 %\n{10 + 20 + 30 + 40 + 50}"


def test_nothing_is_not_drawn_and_names_are_text():
    assert draw_confusion([]) == {} and draw_confusion(rows([[0]], ["a"])) == {}
    odd = ["<script>", "$x$", "_x", "y" * 200, "\\frac{$"]
    png = draw_confusion(rows([[1] * 5] * 5, odd))["confusion.png"]
    assert Image.open(io.BytesIO(png)).size[0] < 1200


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "0"), (987, "987"), (1234, "1.23k"), (999_999, "1000k"), (4_560_000, "4.56M"), (78_900_000_000, "78.9G")],
)
def test_counts_are_short(n, text):
    assert confusion_figure._short(n) == text
