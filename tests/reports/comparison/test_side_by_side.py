import numpy as np
import pytest

from medseg.geometry import Geometry
from medseg.labels import Labels
from medseg.reports.case_panels import GAP, PANEL_PIXELS
from medseg.reports.comparison import side_by_side
from medseg.volumes.stack import make_stack
from medseg.volumes.volume import Volume

LABELS = Labels({"background": 0, "liver": 1})


@pytest.fixture
def row(monkeypatch):
    """Rows of (titles, notes, sizes) of the panels of some methods on one case."""
    monkeypatch.setattr(side_by_side, "draw_panels", lambda rows: rows)

    def drawn(shape, spacing_mm, n_methods=2, unit="mm"):
        mask = np.zeros(shape, np.uint8)
        mask[tuple(slice(n // 3, n // 2 + 1) for n in shape)] = 1
        grid = Geometry(np.diag([*spacing_mm, 1.0]), shape, unit)
        stack = make_stack(Volume(np.zeros(shape, np.float32), grid), {"reference": mask, "prediction": mask}, LABELS)
        rows = side_by_side._row([stack] * n_methods, [f"method {n}" for n in range(n_methods)])
        return [([name for name, _ in row], [panel.note for _, panel in row], row[0][1].pixels.shape[1::-1])
                for _, row in rows]  # fmt: skip

    return drawn


def test_volumes_are_shown_in_three_planes_to_one_scale(row):
    """35 x 50 x 25 mm: the longest side fills a panel."""
    found = row((35, 50, 25), (1.0, 1.0, 1.0))
    assert [names for names, *_ in found] == [["image", "reference", "method 0", "method 1"], [""] * 4, [""] * 4]
    assert [notes for _, notes, _ in found] == [[plane, "", "", ""] for plane in ("axial", "coronal", "sagittal")]
    a_mm = PANEL_PIXELS / 50
    assert [size for *_, size in found] == [
        (round(wide * a_mm), round(high * a_mm)) for wide, high in ((35, 50), (35, 25), (50, 25))
    ]


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "planes"),
    [
        ((100, 100, 3), (1.0, 1.0, 4.0), ["axial"]),  # 12 mm of 100
        ((100, 100, 4), (1.0, 1.0, 4.0), ["axial", "coronal", "sagittal"]),
        ((100, 3, 100), (1.0, 4.0, 1.0), ["coronal"]),
        ((100, 100, 1), (1.0, 1.0, 1.0), ["axial"]),
    ],
)
def test_thin_volumes_are_shown_across_their_slices_alone(row, shape, spacing_mm, planes):
    assert [notes[0] for _, notes, _ in row(shape, spacing_mm)] == planes


def test_a_picture_is_one_plane_without_a_name(row):
    assert [notes[0] for _, notes, _ in row((40, 30, 1), (1.0, 1.0, 1.0), unit="px")] == [""]


def test_many_methods_take_further_rows_with_names_above_each(row):
    found = row((20, 20, 20), (1.0, 1.0, 1.0), n_methods=7)
    assert [len(names) for names, *_ in found] == [6, 6, 6, 3, 3, 3]
    assert [names[0] for names, *_ in found] == ["image", "", "", "method 4", "", ""]
    assert max(len(names) for names, *_ in found) * (PANEL_PIXELS + GAP) < 1300
