import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from medseg.geometry import Geometry
from medseg.labels import PALETTE, Labels
from medseg.reports import viewer
from medseg.reports.markup import TIMES
from medseg.reports.viewer import draw_viewer
from medseg.volumes import Volume
from medseg.volumes.stack import Stack, make_stack

LABELS = Labels({"background": 0, "organ": [1, 2], "tumour": 2})
HOSTILE = """<img src=x onerror=alert(1)></script>"'$x$_y"""


class Parts(HTMLParser):
    """The attributes of the one viewer."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes = [], {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= dict(attrs) if ("class", "viewer") in attrs else {}

    @property
    def facts(self):
        return json.loads(self.attributes["data-facts"])

    def slices(self, name):
        """(X, Y, Z[, 3]) as the mosaic holds them."""
        mosaic = np.asarray(Image.open(io.BytesIO(base64.b64decode(self.attributes[name].split(",")[1]))))
        (width, height, depth), (wide, high), columns = (self.facts[key] for key in ("shape", "tile", "columns"))
        tiles = [mosaic[z // columns * high :, z % columns * wide :][:height, :width] for z in range(depth)]
        return np.swapaxes(np.stack(tiles, axis=2), 0, 1)


def stack_of(array, masks=None, affine=None, unit="mm", labels=LABELS) -> Stack:
    grid = Geometry(np.eye(4) if affine is None else affine, array.shape[-3:], unit=unit)
    return make_stack(Volume(array, grid), masks or {}, labels)


def blob(shape, value=1):
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(n // 3, n // 2 + 1) for n in shape)] = value
    return mask


def drawn(stack, name="case", labels=("organ", "tumour"), **options) -> Parts:
    return Parts(draw_viewer(stack, name, labels, **options).html)


@pytest.mark.parametrize("shape", [(20, 30, 7), (8, 8, 1), (9, 17, 23), (1, 40, 5)])
def test_the_page_holds_every_voxel_of_a_small_case(shape):
    rng = np.random.default_rng(0)
    array, mask = rng.integers(0, 200, shape).astype(np.int16), rng.integers(0, 3, shape)
    parts = drawn(stack_of(array, {"reference": mask, "prediction": mask[::-1]}))
    levels = np.array(parts.facts["levels"])
    assert parts.attributes["data-image"].startswith("data:image/png;base64,")
    assert np.array_equal(levels[parts.slices("data-image")], array)
    assert [each["name"] for each in parts.facts["masks"]] == ["reference", "prediction"]
    step = parts.facts["masks"][0]["step"]
    assert np.array_equal(parts.slices("data-mask-0") // step, mask)
    assert np.array_equal(parts.slices("data-mask-1") // step, mask[::-1])


def test_an_image_is_exact_where_it_fits_else_a_jpeg_that_says_so_and_its_masks_stay_exact():
    rng = np.random.default_rng(0)
    array = rng.normal(0, 50, (120, 120, 60)).astype(np.float32)
    stack = stack_of(array, {"reference": blob(array.shape, 2)})
    exact = draw_viewer(stack, "case", ["organ", "tumour"])
    assert np.array_equal(Parts(exact.html).slices("data-image"), stack.image)
    assert exact.quality is None and "Compressed" not in exact.html
    before, errors = exact, []
    for quality in (95, 85):
        found = draw_viewer(stack, "case", ["organ", "tumour"], allowance=len(before.html) - 1)
        assert found.quality == quality and found.size == stack.size and len(found.html) < len(before.html)
        assert f"Compressed (JPEG of quality {quality})" in found.html
        parts = Parts(found.html)
        assert parts.attributes["data-image"].startswith("data:image/jpeg;base64,")
        errors.append(np.abs(parts.slices("data-image").astype(int) - stack.image).mean())
        assert np.array_equal(parts.slices("data-mask-0") == 255, stack.masks["reference"] == 2)
        before = found
    assert 0 < errors[0] < errors[1] < 8


def test_colours_stay_colours():
    array = np.zeros((3, 30, 20, 1), np.uint8)
    array[0, :15], array[2, :, 10:] = 250, 200
    parts = drawn(stack_of(array, unit="px"))
    assert parts.facts["levels"] is None and parts.facts["windows"] == [] and parts.facts["picture"]
    assert np.array_equal(parts.slices("data-image"), np.moveaxis(array, 0, -1))


def test_names_stay_text():
    labels = Labels({"background": 0, HOSTILE: 1})
    stack = stack_of(np.zeros((9, 9, 9), np.uint8), {HOSTILE: blob((9, 9, 9))}, labels=labels)
    text = draw_viewer(stack, HOSTILE, [HOSTILE]).html
    parts = Parts(text)
    assert parts.tags == ["div"]
    assert parts.attributes["aria-label"] == f"{HOSTILE}: slices"
    assert parts.facts["masks"][0]["name"] == HOSTILE
    assert "<img" not in text and "</script" not in text


def test_unions_and_colours_are_those_of_the_page():
    """`organ` is 1 or 2, `tumour` 2; the page lists the tumour first."""
    mask = blob((12, 12, 12), 1)
    mask[5, 5, 5] = 2
    facts = drawn(stack_of(np.zeros((12, 12, 12), np.uint8), {"reference": mask}), labels=["tumour", "organ"]).facts
    assert facts["labels"] == [
        {"colour": list(PALETTE[1]), "codes": [1, 2]},
        {"colour": list(PALETTE[0]), "codes": [2]},
    ]


def test_it_starts_where_most_of_the_reference_is_or_else_of_the_prediction():
    reference, prediction = np.zeros((2, 10, 11, 12), np.uint8)
    reference[2:5, 3, 4], reference[2, 3:9, 4] = 1, 1
    prediction[7, 7:9, 2:6] = 1
    image = np.zeros((10, 11, 12), np.uint8)
    assert drawn(stack_of(image, {"prediction": prediction, "reference": reference})).facts["start"] == [2, 3, 4]
    facts = drawn(stack_of(image, {"reference": 0 * reference, "prediction": prediction})).facts
    assert facts["start"][0] == 7 and facts["start"][1] in (7, 8) and facts["start"][2] in (2, 3, 4, 5)
    assert drawn(stack_of(image)).facts["start"] == [5, 5, 6]


def test_windows_of_hounsfield_units():
    rng = np.random.default_rng(0)
    array = rng.integers(-1000, 1200, (30, 30, 20)).astype(np.int16)
    for inside, first in ((50, "soft tissue"), (-800, "lung"), (900, "bone")):
        array[blob(array.shape) > 0] = inside
        facts = drawn(stack_of(array, {"reference": blob(array.shape)})).facts
        named = {name: (low, high) for name, low, high in facts["windows"]}
        # level -+ half the width: 40/400, -600/1500, 400/1800, 30/150, 40/80
        assert named["soft tissue"] == (-160, 240) and named["lung"] == (-1350, 150)
        assert named["bone"] == (-500, 1300) and named["liver"] == (-45, 105) and named["brain"] == (0, 80)
        assert facts["windows"][facts["window"]][0] == first


def test_windows_of_ct_without_bone_and_of_ct_that_only_its_data_set_tells():
    rng = np.random.default_rng(0)
    lungs = rng.integers(-1000, 265, (30, 30, 20)).astype(np.int16)
    organ = lungs.clip(-160, 240)
    for array, modality, presets in ((lungs, "", True), (organ, "", False), (organ, "CT", True), (lungs, "MRI", False)):
        stack = dataclasses.replace(stack_of(array), modality=modality)
        names = [name for name, *_ in drawn(stack).facts["windows"]]
        assert ("lung" in names, "soft tissue" in names) == (presets, presets)


def test_windows_of_other_intensities():
    array = np.linspace(0, 1000, 8000, dtype=np.float32).reshape(20, 20, 20)
    facts = drawn(stack_of(array)).facts
    (automatic, low, high), (full, least, most) = facts["windows"]
    assert (automatic, full, least) == ("automatic", "full range", 0)
    assert abs(low - 10) < 4 and abs(high - 990) < 4 and most == 1000
    constant = drawn(stack_of(np.full((4, 4, 4), 7, np.int16))).facts
    assert constant["windows"][0] == ["automatic", 7.0, 7.0]


def test_what_does_not_fit_is_made_smaller_and_says_so():
    rng = np.random.default_rng(0)
    stack = stack_of(rng.normal(size=(128, 128, 60)).astype(np.float32), {"reference": blob((128, 128, 60))})
    whole = draw_viewer(stack, "x", ["organ"])
    assert whole.reduced == "" and "Shown with" not in whole.html
    smaller = whole
    while smaller.reduced == "":  # a JPEG comes first
        smaller = draw_viewer(stack, "x", ["organ"], allowance=len(smaller.html) - 1)
    assert smaller.size == (128, 128, 30) and len(smaller.html) < len(whole.html)
    assert smaller.reduced == f"slices of 128 {TIMES} 128 pixels, every 2 averaged into one"
    assert f"Shown with 128 {TIMES} 128 {TIMES} 30 of 128 {TIMES} 128 {TIMES} 60 voxels." in smaller.html
    small = draw_viewer(stack, "x", ["organ"], allowance=60_000)
    assert len(small.html) <= 60_000 and small.size < (128, 128, 30)
    parts = Parts(small.html)
    assert parts.slices("data-mask-0").any() and parts.slices("data-image").shape == small.size
    coarsest = draw_viewer(stack, "x", ["organ"], allowance=10)
    assert coarsest.size == (32, 32, 10)  # a quarter of the side; fewer than 10 slices would be fewer than 8


@pytest.mark.parametrize("shape", [(256, 256, 64), (1024, 1024, 1), (9, 9, 4000)])
def test_mosaics_stay_below_what_browsers_decode(shape):
    parts = drawn(stack_of(np.zeros(shape, np.uint8), unit="px"))
    picture = Image.open(io.BytesIO(base64.b64decode(parts.attributes["data-image"].split(",")[1])))
    assert max(picture.size) <= 4096 and parts.slices("data-image").shape == shape


def test_the_script_can_stand_in_a_page():
    source = viewer.script()
    assert "</script" not in source and "<!--" not in source
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(|https?:", source)
