import io

import numpy as np
import pytest
from PIL import Image

from medseg.geometry import Geometry
from medseg.labels import PALETTE, Labels
from medseg.volumes import Volume, overlay
from medseg.volumes.overlay import GAP, HEAD, PANEL_HEIGHT, PANEL_WIDTH, PLANES
from medseg.volumes.slice_pixels import cut_slice

LABELS = Labels({"background": 0, "liver": 1, "tumour": 2})
MM = (1.0, 1.0, 1.0)
SIZE = 21
MIDDLE = SIZE // 2


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(png))).astype(int)


def volume(*voxel: int, value: float = 1.0, shape: tuple[int, int, int] = (SIZE, SIZE, SIZE)) -> np.ndarray:
    array = np.zeros(shape, dtype=np.float32)
    if voxel:
        array[voxel] = value
    return array


def masks(*voxel: int, label: int = 1, shape: tuple[int, int, int] = (SIZE, SIZE, SIZE)) -> np.ndarray:
    return volume(*voxel, value=label, shape=shape).astype(np.uint8)


def draw_case(image, reference, prediction, spacing_mm, labels, title=None):
    """Of an image stored towards right, anterior and superior."""
    grid = Geometry(np.diag([*spacing_mm, 1.0]), image.shape)
    found = {"reference": reference, "prediction": prediction}
    return overlay.draw_case(Volume(image, grid), found, labels, title)


def panel(array: np.ndarray, row: int, column: int) -> np.ndarray:
    """A panel of a picture of a cube without title, whose panels are squares."""
    top, left = HEAD + row * (PANEL_WIDTH + GAP), column * (PANEL_WIDTH + GAP)
    return array[top : top + PANEL_WIDTH, left : left + PANEL_WIDTH]


def place(changed: np.ndarray) -> tuple[float, float]:
    """Centre of what changed in a panel: (down, right), from 0 to 1."""
    rows, columns = np.nonzero(changed.any(axis=2))
    assert len(rows)
    return (rows.min() + rows.max()) / 2 / PANEL_WIDTH, (columns.min() + columns.max()) / 2 / PANEL_WIDTH


# The voxel lies to the patient's right, posterior and superior; each plane passes through the mask at the middle.
RIGHT, POSTERIOR, SUPERIOR = 17, 3, 16


@pytest.mark.parametrize(
    ("row", "voxel", "down", "right"),
    [
        (0, (RIGHT, POSTERIOR, MIDDLE), "low", "left"),  # axial: right on the left, posterior below
        (1, (RIGHT, MIDDLE, SUPERIOR), "high", "left"),  # coronal: right on the left, superior above
        (2, (MIDDLE, POSTERIOR, SUPERIOR), "high", "right"),  # sagittal: anterior on the left, superior above
    ],
)
def test_patient_positions_land_where_radiologists_look(row, voxel, down, right):
    middle = masks(MIDDLE, MIDDLE, MIDDLE)
    plain = pixels(draw_case(volume(), middle, middle, MM, LABELS))
    bright = pixels(draw_case(volume(*voxel), middle, middle, MM, LABELS))
    for column in range(3):
        y, x = place(panel(bright, row, column) != panel(plain, row, column))
        assert (y < 0.4) if down == "high" else (y > 0.6)
        assert (x < 0.4) if right == "left" else (x > 0.6)
    for other in {0, 1, 2} - {row}:
        assert (panel(bright, other, 0) == panel(plain, other, 0)).all()


def test_letters_name_the_edge_that_a_voxel_lies_at():
    ends = {"R": (0, -1), "L": (0, 0), "A": (1, -1), "P": (1, 0), "S": (2, -1)}
    for plane in PLANES:
        for letter, edge in ((plane.left, np.s_[:, 0]), (plane.right, np.s_[:, -1]), (plane.top, np.s_[0, :])):
            axis, end = ends[letter]
            array = np.zeros((4, 5, 6))
            array[(slice(None),) * axis + (end,)] = 1
            assert cut_slice(array, plane.axis, 2)[edge].all(), (plane.name, letter)


def test_reference_and_prediction_stand_in_their_columns():
    image = volume()
    reference, prediction = masks(MIDDLE, MIDDLE, MIDDLE), masks(MIDDLE, MIDDLE, MIDDLE, label=2)
    drawn = pixels(draw_case(image, reference, prediction, MM, LABELS))
    for row in range(3):
        found = [{tuple(p) for p in panel(drawn, row, column).reshape(-1, 3)} for column in range(3)]
        assert not {PALETTE[0], PALETTE[1]} & found[0]
        assert PALETTE[0] in found[1]
        assert PALETTE[1] not in found[1]
        assert PALETTE[1] in found[2]
        assert PALETTE[0] not in found[2]


def test_planes_pass_through_most_reference_else_most_prediction_else_the_middle():
    reference, prediction, empty = masks(), masks(), masks()
    reference[2:4, 5:9, 6] = 1
    prediction[10, 11, 12] = 1
    shape = reference.shape
    assert overlay.fullest_slices([reference, prediction], shape)[2] == 6
    assert overlay.fullest_slices([None, prediction], shape) == [10, 11, 12]
    assert overlay.fullest_slices([empty, prediction], shape) == [10, 11, 12]
    assert overlay.fullest_slices([empty, empty], shape) == [MIDDLE] * 3


def test_panels_have_the_patients_proportions():
    shape, spacing_mm = (36, 50, 12), (1.0, 1.0, 3.0)  # 36 x 50 x 36 mm
    drawn = pixels(draw_case(volume(shape=shape), None, masks(shape=shape), spacing_mm, LABELS))
    heights = (PANEL_HEIGHT, PANEL_WIDTH, round(PANEL_WIDTH * 36 / 50))
    assert drawn.shape[1] == 3 * PANEL_WIDTH + 2 * GAP
    assert drawn.shape[0] == HEAD + sum(heights) + 3 * GAP + overlay.LINE + 2
    assert overlay._fit((50, 36), (1.0, 1.0))[0] == (216, 300)


def test_a_lone_voxel_shows_when_the_slice_is_made_smaller():
    shape = (1024, 700, 2)
    for x in range(500, 508):
        reference = masks(x, 333, 0, shape=shape)
        drawn = pixels(draw_case(volume(shape=shape), reference, masks(shape=shape), MM, LABELS))
        panels = drawn[HEAD : HEAD + 100, PANEL_WIDTH : 2 * PANEL_WIDTH]
        assert (panels == PALETTE[0]).all(axis=2).any(), x


def test_a_flat_slice_has_one_plane():
    shape = (30, 40, 1)
    drawn = pixels(draw_case(volume(shape=shape), None, masks(shape=shape), MM, LABELS))
    assert drawn.shape[0] == HEAD + PANEL_HEIGHT + GAP + overlay.LINE + 2


def test_names_from_the_user_are_drawn_on_one_line():
    odd = Labels(
        {"background": 0, "<script>\n\ud800": 1, "": 2} | {f"a long name, number {i}" * 3: i for i in range(3, 30)}
    )
    cube = masks(MIDDLE, MIDDLE, MIDDLE, label=3)
    drawn = pixels(draw_case(volume(), cube, cube, MM, odd, title="\n<b>" * 100))
    assert drawn.shape[1] == 3 * PANEL_WIDTH + 2 * GAP


def test_nothing_is_changed_and_the_same_input_gives_the_same_picture():
    rng = np.random.default_rng(0)
    image, label_map = rng.normal(size=(12, 14, 16)), rng.integers(0, 3, (12, 14, 16))
    before = image.copy(), label_map.copy()
    assert draw_case(image, label_map, label_map, MM, LABELS) == draw_case(image, label_map, label_map, MM, LABELS)
    assert (image == before[0]).all()
    assert (label_map == before[1]).all()


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(21, 21, 21\).*found \(3, 4, 5\)|found \(3, 4, 5\) with \(21, 21, 21\)"):
        draw_case(volume(), None, masks(shape=(3, 4, 5)), MM, LABELS)


def test_a_picture_is_shown_as_it_is():
    """x to the right, y downwards, its colours, no letters; one column a mask."""
    array = np.zeros((3, 30, 30, 1), np.uint8)
    array[0, :15] = 255  # the left half is red
    array[2, :, 15:] = 255  # the lower half is blue
    grid = Geometry(np.eye(4), (30, 30, 1), unit="px")
    mask = np.zeros((30, 30, 1), np.uint8)
    mask[:10, :10] = 1  # above, on the left
    drawn = pixels(overlay.draw_case(Volume(array, grid), {"label": mask}, LABELS))
    assert drawn.shape[1] == 2 * PANEL_WIDTH + GAP
    plain = panel(drawn, 0, 0)
    corners = [tuple(plain[y, x]) for y in (20, -20) for x in (20, -20)]
    assert corners == [(255, 0, 0), (0, 0, 0), (255, 0, 255), (0, 0, 255)]
    assert {tuple(pixel) for pixel in plain[:, 20].tolist()} >= {(255, 0, 0), (255, 0, 255)}
    y, x = place(panel(drawn, 0, 1) != plain)
    assert y < 0.4 and x < 0.4


@pytest.mark.parametrize("letters", ["RAS", "LPS", "SAR", "PIL"])
def test_the_order_of_storage_does_not_show(letters):
    import nibabel as nib

    rng = np.random.default_rng(1)
    image, mask = rng.normal(size=(12, 14, 16)), (rng.random((12, 14, 16)) > 0.9).astype(np.uint8)
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    expected = overlay.draw_case(Volume(image, Geometry(affine, image.shape)), {"label": mask}, LABELS)
    change = nib.orientations.axcodes2ornt(letters)
    change = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), change)
    turned, turned_mask = (nib.orientations.apply_orientation(array, change) for array in (image, mask))
    grid = Geometry(affine @ nib.orientations.inv_ornt_aff(change, image.shape), turned.shape)
    assert grid.orientation == letters
    assert overlay.draw_case(Volume(turned, grid), {"label": turned_mask}, LABELS) == expected


def test_a_reconstruction_beside_its_image():
    """The image, what was made of it, and the difference: nothing but where one voxel was lost."""
    image = volume(MIDDLE, MIDDLE, MIDDLE, value=10.0)
    image[:, :, :4] = 8.0
    made = image.copy()
    made[MIDDLE, MIDDLE, MIDDLE] = 0.0
    array = pixels(overlay.draw_rebuilt(image, made, Geometry(np.eye(4), image.shape)))
    assert array.shape[1] == 3 * (PANEL_WIDTH + GAP) - GAP
    coronal = [panel(array, 1, column) for column in range(3)]
    assert (coronal[0] != coronal[1]).any() and coronal[2].max() > 200
    assert place(coronal[2] > 60) == pytest.approx((0.5, 0.5), abs=0.02)
    same = panel(pixels(overlay.draw_rebuilt(image, image, Geometry(np.eye(4), image.shape))), 1, 2)
    assert (same == 0).all()
    with pytest.raises(ValueError, match=r"\(21, 21, 21\), found \(21, 21, 20\)"):
        overlay.draw_rebuilt(image, made[..., :-1], Geometry(np.eye(4), image.shape))
