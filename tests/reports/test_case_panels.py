import dataclasses
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from medseg.geometry import Geometry
from medseg.labels import PALETTE, Labels
from medseg.reports.case_panels import (
    PANEL_PIXELS,
    Panel,
    draw_panels,
    fullest_slice,
    longest_side_mm,
    planes_through,
    slice_panel,
    slices_through,
)
from medseg.volumes.stack import make_stack
from medseg.volumes.volume import Volume

LABELS = Labels({"background": 0, "liver": 1, "tumour": 2})


def stack(shape=(20, 30, 12), mask=None, affine=None, unit="mm", image=None):
    """A case with a reference."""
    array = np.zeros(shape, np.float32) if image is None else image
    grid = Geometry(np.diag([1.0, 1.0, 3.0, 1.0]) if affine is None else affine, shape, unit)
    return make_stack(Volume(array, grid), {} if mask is None else {"reference": mask}, LABELS)


def block(shape=(20, 30, 12), x=slice(2, 6), y=slice(20, 28), z=slice(3, 9), value=1):
    mask = np.zeros(shape, np.uint8)
    mask[x, y, z] = value
    return mask


def where(pixels, colour):
    """Mean row and column, as shares, of the pixels of a colour."""
    found = np.argwhere((pixels == colour).all(axis=2))
    return found.mean(axis=0) / pixels.shape[:2]


def test_the_fullest_slice_is_that_of_the_first_mask_that_has_any():
    mask = block()
    mask[2:16, 2:20, 7] = 2
    assert fullest_slice(stack(mask=mask)) == (2, 7)
    assert fullest_slice(stack(mask=np.zeros_like(mask))) == (2, 6)
    assert fullest_slice(stack(affine=np.diag([4.0, 1.0, 1.0, 1.0]), mask=block()))[0] == 0  # sagittal slices


def test_slices_are_spread_through_the_structures():
    assert slices_through(stack(mask=block()), 20) == [(2, z) for z in range(3, 9)]
    assert slices_through(stack(mask=block()), 3) == [(2, 3), (2, 6), (2, 8)]
    assert len(slices_through(stack(), 20)) == 12


def test_the_patients_right_is_on_the_left_and_the_front_above():
    """x of a stack grows to the patient's right, y to the front: a block high in both is drawn above, at the left."""
    mask = block(x=slice(14, 19), y=slice(22, 28))
    panel = slice_panel(stack(mask=mask), (2, 5), "reference", "reference")
    row, column = where(panel.pixels, PALETTE[0])
    assert row < 0.3 and column < 0.3
    assert panel.pixels.shape == (PANEL_PIXELS, round(PANEL_PIXELS * 20 / 30), 3)


@pytest.mark.parametrize(("affine", "letters"), [([1, 1, 3], "RLA"), ([1, 3, 1], "RLS"), ([5, 1, 1], "APS")])
def test_letters_at_the_edges_are_those_of_the_plane(monkeypatch, affine, letters):
    """Of slices across z, y and x: radiological convention, sagittal slices seen from the patient's left."""
    case = stack(mask=block(), affine=np.diag([*affine, 1.0]))
    assert written(monkeypatch, slice_panel(case, fullest_slice(case))) == {
        letters[0]: (4, 100), letters[1]: (PANEL_PIXELS - 4, 100), letters[2]: (100, 4)
    }  # fmt: skip


def test_a_picture_has_no_letters(monkeypatch):
    image = np.zeros((3, 20, 20, 1), np.uint8)
    assert written(monkeypatch, slice_panel(stack((20, 20, 1), None, np.eye(4), "px", image), (2, 0))) == {}


def written(monkeypatch, panel):
    """The letters over a panel of 200 x 200 pixels, and where they stand in it."""
    found, write = {}, ImageDraw.ImageDraw.text
    square = Panel(np.zeros((PANEL_PIXELS, PANEL_PIXELS, 3), np.uint8), Labels({"background": 0}), plane=panel.plane)

    def text(self, place, said, *rest, **more):
        found[said] = place
        return write(self, place, said, *rest, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    draw_panels([("", [("", square)])])
    return {said: place for said, place in found.items() if said}


def test_a_picture_is_shown_as_it_is():
    image = np.zeros((3, 20, 30, 1), np.uint8)
    image[0, :10] = 255  # its left half is red
    mask = block((20, 30, 1), x=slice(0, 6), y=slice(0, 6), z=slice(0, 1))
    shown = slice_panel(stack((20, 30, 1), mask, np.eye(4), "px", image), (2, 0), None, "reference").pixels
    assert tuple(shown[-20, 20]) == (255, 0, 0) and tuple(shown[-20, -20]) == (0, 0, 0)
    row, column = where(shown, PALETTE[0])
    assert row < 0.3 and column < 0.3


def test_one_mask_is_filled_and_the_other_outlined():
    case = stack(mask=block(x=slice(2, 18), y=slice(2, 28)))
    both = slice_panel(case, (2, 5), "reference", "reference").pixels
    filled, outlined = (
        slice_panel(case, (2, 5), *names).pixels for names in (("reference", None), (None, "reference"))
    )
    middle = PANEL_PIXELS // 2, both.shape[1] // 2
    assert (both[middle] == filled[middle]).all() and (outlined[middle] == 0).all() and (filled[middle] > 0).any()
    assert (both == PALETTE[0]).all(axis=2).sum() == (outlined == PALETTE[0]).all(axis=2).sum() > 0
    assert not (filled == PALETTE[0]).all(axis=2).any()
    assert (slice_panel(case, (2, 5), "nothing", "nothing").pixels == 0).all()


def test_a_window_can_be_given():
    image = np.full((20, 30, 12), 50.0, np.float32)
    image[:, :, :6] = 0
    shown = slice_panel(stack(image=image), (2, 8), window=(0.0, 100.0)).pixels
    assert abs(int(shown[100, 60, 0]) - 128) <= 2


def test_each_plane_is_cut_where_most_of_the_reference_lies():
    mask = block()  # x 2 to 5, y 20 to 27, z 3 to 8
    mask[4, 20:29, 3:10] = 1
    mask[2:9, 22, 3:10] = 1
    mask[2:9, 20:29, 7] = 1
    planes = planes_through(stack(mask=mask))
    assert planes == [("axial", (2, 7)), ("coronal", (1, 22)), ("sagittal", (0, 4))]
    assert longest_side_mm(stack(mask=mask)) == 36


def test_a_few_words_stand_below_a_picture(monkeypatch):
    """Below the row, and not in the panel."""
    panel = Panel(np.zeros((50, PANEL_PIXELS, 3), np.uint8), Labels({"background": 0}))
    plain = Image.open(io.BytesIO(draw_panels([("", [("", panel)])])))
    drawn = Image.open(io.BytesIO(draw_panels([("", [("", dataclasses.replace(panel, below="-2 to 3"))])])))
    assert drawn.height - plain.height == 24 and drawn.width == plain.width
    pixels = np.asarray(drawn)
    assert (pixels[:50] == 0).all() and (pixels[50:] < 200).any()


def test_a_slice_is_drawn_to_the_scale_that_is_asked_for():
    assert slice_panel(stack(), (2, 5), extent_mm=60.0).pixels.shape[:2] == (100, 67)  # 30 by 20 mm of 60 on 200 pixels


def test_rows_of_panels_with_names_of_any_kind():
    case = stack(mask=block())
    panel = slice_panel(case, (2, 5), "reference", "reference", "$x$ <b>\n" * 30)
    rows = [("<img src=x onerror=alert(1)>" * 9, [("_x" * 200, panel), ("", None)]), ("", [("ü", panel)])]
    png = draw_panels(rows)
    size = Image.open(io.BytesIO(png)).size
    assert size[0] == 2 * PANEL_PIXELS + 4 and size[1] > 2 * PANEL_PIXELS
    assert png == draw_panels(rows)
    with pytest.raises(ValueError, match="no row"):
        draw_panels([])


def test_the_legend_names_each_colour_once():
    panel = Panel(np.zeros((10, 10, 3), np.uint8), LABELS)
    pixels = np.asarray(Image.open(io.BytesIO(draw_panels([("", [("", panel), ("", panel)])]))))
    for colour in PALETTE[:2]:
        columns = np.flatnonzero((pixels == colour).all(axis=2).any(axis=0))
        assert len(columns) == columns[-1] - columns[0] + 1 == 13
