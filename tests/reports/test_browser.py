"""The report page in a real browser: what is seen, not what is written. Skipped where there is no Chromium."""

import base64
import json

import numpy as np
import pytest
from browser import Browser, find_browser

from medseg import files
from medseg.geometry import Geometry
from medseg.labels import PALETTE, Labels
from medseg.reports import write_report
from medseg.volumes import Volume
from medseg.volumes.stack import make_stack, write_stack

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium: set MEDSEG_BROWSER or put one on PATH")

HOSTILE = """<img src=x onerror="window.hacked=1"></script><script>window.hacked=2</script>$x$_y"""
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=")
LABELS = Labels({"background": 0, "organ": 1})
SHAPE, SPACING_MM = (40, 50, 20), (2.0, 2.0, 4.0)
# The patient's left (axes run to the right), the front and above.
BOX = (slice(4, 14), slice(30, 45), slice(12, 18))
SEEN = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}  # axes from left to right and downwards, all reversed
DRAWN = "first().querySelectorAll('canvas').length === 3 && texts().every(text => text !== '')"
HELPERS = """
window.first = () => document.querySelector('.viewer');
window.canvas = n => first().querySelectorAll('canvas')[n];
window.pixels = n => canvas(n).getContext('2d').getImageData(0, 0, canvas(n).width, canvas(n).height);
window.same = (a, b) => {
  for (let i = 0; i < a.data.length; i++) if (a.data[i] !== b.data[i]) return false;
  return a.width === b.width;
};
window.change = (name, value) => {
  const control = first().querySelector(`[aria-label='${name}']`);
  control.value = value;
  ['input', 'change'].forEach(kind => control.dispatchEvent(new Event(kind)));
};
window.numbers = () => first().querySelector('.numbers').textContent;
window.box = name => [...first().querySelectorAll('label')].find(each => each.textContent.trim() === name).firstChild;
window.texts = () => [...first().querySelectorAll('figcaption output')].map(each => each.textContent);
window.bounds = (a, b) => {
  let found = [1e9, 1e9, -1, -1];
  a.data.forEach((value, i) => {
    if (Math.abs(value - b.data[i]) < 40) return;
    const x = (i >> 2) % a.width, y = Math.floor((i >> 2) / a.width);
    found = [Math.min(found[0], x), Math.min(found[1], y), Math.max(found[2], x + 1), Math.max(found[3], y + 1)];
  });
  return found;
};
"""


def case_row(case: str, dice: float, **more) -> dict:
    return {"case": case, "group": case, "label": "organ", "distance_unit": "mm", "dice": dice, "hd95": 2.0,
            "empties": "", "spacing_mm": "2 2 4", "subset": "test"} | more  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A CT whose organ is brighter, a picture in colours, a case with a hostile name, and some without a prediction."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    image, reference = rng.integers(-100, 100, SHAPE).astype(np.int16), np.zeros(SHAPE, np.uint8)
    image[0, 0], image[-1, -1] = -1000, 1500
    reference[BOX] = 1
    image[BOX] += 200
    grid = Geometry(np.diag([*SPACING_MM, 1]), SHAPE)
    masks = {"reference": reference, "prediction": np.roll(reference, (4, -5, -2), (0, 1, 2))}
    write_stack(folder / "previews/ct.npz", make_stack(Volume(image, grid), masks, LABELS))
    lone = make_stack(Volume(image, grid), {"reference": reference, "prediction": None}, LABELS)
    write_stack(folder / "previews/x.npz", lone)
    colours = np.zeros((3, 60, 40, 1), np.uint8)
    colours[0, :30] = 255
    photo = Volume(colours, Geometry(np.eye(4), (60, 40, 1), unit="px"))
    write_stack(folder / "previews/photo.npz", make_stack(photo, {"prediction": colours[0] // 255}, LABELS))
    rest = [f"case_{number}" for number in range(6)]
    for name in rest:
        write_stack(folder / f"previews/{name}.npz", lone)
    away, turn = np.diag([*SPACING_MM, 1]), np.deg2rad(20)
    away[:3, 3] = -100
    oblique = away @ [
        [1, 0, 0, 0],
        [0, np.cos(turn), -np.sin(turn), 0],
        [0, np.sin(turn), np.cos(turn), 0],
        [0, 0, 0, 1],
    ]
    for name, affine in (("negative", away), ("oblique", oblique)):
        write_stack(folder / f"previews/{name}.npz", make_stack(Volume(image, Geometry(affine, SHAPE)), {}, LABELS))
    files.write_bytes(folder / "previews/ct.png", PNG)
    rows = [case_row("ct", 0.1), case_row("photo", 0.3, distance_unit="px"), case_row(HOSTILE, 0.4, label=HOSTILE)]
    rows += [case_row(name, 0.9) for name in rest] + [case_row("negative", 0.95), case_row("oblique", 0.96)]
    files.write_csv(folder / "cases.csv", rows)
    files.write_text(folder / "config.yaml", f"note: {HOSTILE}\n")
    return write_report(folder)


@pytest.fixture(scope="module")
def browser():
    started = Browser(find_browser())
    yield started
    started.close()


@pytest.fixture
def page(browser, report):
    """The page, open, with the first viewer drawn; whatever a test does, no error and no request may come of it."""
    browser.errors.clear()
    browser.requests.clear()
    browser.open(report)
    browser.run(HELPERS + "0")
    browser.run("first().scrollIntoView()")
    browser.wait(DRAWN)
    yield browser
    assert browser.errors == []
    assert browser.requests == [report.as_uri()]


def middle(page, n: int) -> tuple[float, float]:
    page.settle()
    return tuple(
        page.run(f"(box => [box.x + box.width / 2, box.y + box.height / 2])(canvas({n}).getBoundingClientRect())")
    )


def place(page, n: int, axes: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top (pixels of the canvas) and pixels a voxel to the right and downwards, worked out from sizes alone."""
    width, height = page.run(f"[canvas({n}).width, canvas({n}).height]")
    wide, high = (SHAPE[axis] * SPACING_MM[axis] for axis in axes)
    scale = min(width / wide, height / high)
    return (
        (width - wide * scale) / 2,
        (height - high * scale) / 2,
        SPACING_MM[axes[0]] * scale,
        SPACING_MM[axes[1]] * scale,
    )


def test_the_page_opens_at_the_slices_with_most_reference(page):
    """10 x 15 x 6 voxels are equally many in each slice: the middle one of each range, numbered from 1."""
    assert page.run("texts()") == [
        "axial 16 / 20 · S 60.0 mm",
        "coronal 38 / 50 · A 74.0 mm",
        "sagittal 10 / 40 · R 18.0 mm",
    ]
    page.settle()
    assert abs(page.run("first().getBoundingClientRect().y")) < 2  # what opens does not move what is looked at


def test_the_reference_is_drawn_where_it_is_and_the_patients_left_is_on_the_right(page):
    page.run("box('prediction').click()")
    page.run("window.on = [0, 1, 2].map(pixels); box('reference').click()")
    for n, (name, axes) in enumerate(SEEN.items()):
        found = page.run(f"bounds(on[{n}], pixels({n}))")
        left, top, across, down = place(page, n, axes)
        u, v = ((SHAPE[axis] - BOX[axis].stop, SHAPE[axis] - BOX[axis].start) for axis in axes)
        expected = [left + u[0] * across, top + v[0] * down, left + u[1] * across, top + v[1] * down]
        assert np.allclose(found, expected, atol=2.5), name
    assert place(page, 0, (0, 1))[0] + 26 * place(page, 0, (0, 1))[2] > page.run("canvas(0).width / 2")
    page.run("window.from = (each, view) => each.getBoundingClientRect().x - view.getBoundingClientRect().x")
    page.run("window.edges = v => [...v.querySelectorAll('.edge')].map(each => [each.textContent, from(each, v) < 20])")
    letters = page.run("[...first().querySelectorAll('.view')].map(edges)")
    assert [[letter for letter, _ in view] for view in letters] == [list("RLAP"), list("RLSI"), list("APSI")]
    assert all(view[0][1] and not view[1][1] for view in letters)  # the first on the left edge, the second not


def test_the_image_lies_where_its_masks_lie(page):
    """Without contours the organ is the bright part, and its place on the other side is not."""
    page.run("box('prediction').click(); box('reference').click()")
    height = page.run("canvas(0).height")
    grey = np.array(page.run("[...pixels(0).data].filter((_, i) => i % 4 === 0)")).reshape(height, -1)
    left, top, across, down = place(page, 0, (0, 1))
    rows = slice(int(top + 5 * down) + 3, int(top + 20 * down) - 3)  # 50 - 45 and 50 - 30
    inside = grey[rows, int(left + 26 * across) + 3 : int(left + 36 * across) - 3].mean()  # 40 - 14 and 40 - 4
    mirrored = grey[rows, int(left + 4 * across) + 3 : int(left + 14 * across) - 3].mean()
    # The window is soft tissue, -160 to 240 HU: 200 HU are 230, 0 HU are 102 of 255.
    assert abs(inside - 230) < 15 and abs(mirrored - 102) < 15


def test_positions_have_a_letter_on_either_side_of_the_origin_and_none_where_slices_are_oblique(page, report):
    def said(case):
        viewer = f"document.querySelectorAll('.viewer')[{case}]"
        page.run(f"{viewer}.closest('details').open = true; {viewer}.scrollIntoView()")
        texts = f"[...{viewer}.querySelectorAll('figcaption output')].map(each => each.textContent)"
        page.wait(f"{texts}.filter(text => text !== '').length === 3")
        return page.run(texts)

    # Slices 8 of 20, 25 of 50 and 20 of 40, the middle ones: -100 + 10 * 4, -100 + 25 * 2 and -100 + 20 * 2.
    ends = [text.split(" · ")[1] for text in said(8)]
    assert ends == ["I 60.0 mm", "P 50.0 mm", "L 60.0 mm"]
    assert [text.split(" · ")[1] for text in said(9)] == ["oblique"] * 3


def test_the_bar_is_as_long_as_its_text_says(page):
    for n, axes in enumerate(SEEN.values()):
        text, width, ratio = page.run(f"""(bar => [bar.textContent, bar.getBoundingClientRect().width,
            canvas({n}).width / canvas({n}).clientWidth])(first().querySelectorAll('.bar')[{n}])""")
        across = place(page, n, axes)[2] / SPACING_MM[axes[0]] / ratio  # pixels of the page a millimetre
        assert text.endswith(" mm") and abs(width - float(text[:-3]) * across) < 0.5
        assert width > 15


def test_slices_change_on_keys(page):
    for key, index in (("ArrowUp", 17), ("ArrowRight", 18), ("ArrowDown", 17), ("PageDown", 12), ("PageUp", 17),
                       ("Home", 1), ("ArrowLeft", 1), ("End", 20), ("ArrowUp", 20)):  # fmt: skip
        page.run("window.before = pixels(0); first().querySelectorAll('.area')[0].focus()")
        same = page.run("texts()")[0].startswith(f"axial {index} ")
        page.key(key)
        assert page.run("texts()")[0].startswith(f"axial {index} / 20"), key
        assert page.run("same(before, pixels(0))") == same
    assert page.run("texts()[1]").startswith("coronal 38")
    assert page.run("first().querySelector('output[aria-live=polite]') !== null")


def test_slices_change_on_scroll_and_the_page_moves_on_at_the_end(page):
    page.run("window.before = pixels(1); 0")
    x, y = middle(page, 1)
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-120)
    page.wait("texts()[1].startsWith('coronal 39')")
    assert not page.run("same(before, pixels(1))")
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=120)
    page.wait("texts()[1].startsWith('coronal 38')")
    assert page.run("same(before, pixels(1))")


def test_sliders_and_clicks_move_the_planes(page):
    page.run("change('axial slice', 3)")
    assert page.run("texts()[0]").startswith("axial 4 / 20")
    left, top, across, down = place(page, 0, (0, 1))
    page.settle()
    corner = page.run("(box => [box.x, box.y])(canvas(0).getBoundingClientRect())")
    x, y = corner[0] + left + 10.5 * across, corner[1] + top + 20.5 * down  # the voxel in column 10 of row 20
    page.mouse("mousePressed", x, y)
    page.mouse("mouseReleased", x, y)
    page.wait("texts()[2].startsWith('sagittal 30 / 40')")  # 40 - 10
    assert page.run("texts()[1]").startswith("coronal 30 / 50")  # 50 - 20


@pytest.mark.parametrize("name", ["reference", "prediction", "fill"])
def test_overlays_can_be_switched(page, name):
    page.run("window.before = [0, 1, 2].map(pixels); 0")
    page.run(f"box('{name}').click()")
    assert page.run("before.map((each, n) => same(each, pixels(n)))") == [False] * 3
    page.run(f"box('{name}').click()")
    assert page.run("before.map((each, n) => same(each, pixels(n)))") == [True] * 3


def test_contours_have_the_labels_colour_and_the_reference_is_lighter(page):
    def count(colour):
        near = " && ".join(f"Math.abs(d[i + {c}] - {value}) < 12" for c, value in enumerate(colour))
        return page.run(
            f"(d => {{ let n = 0; for (let i = 0; i < d.length; i += 4) n += {near}; return n; }})(pixels(0).data)"
        )

    solid, light = PALETTE[0], [round(part + (255 - part) * 0.55) for part in PALETTE[0]]
    # Both outline a box of the same size: dashes of 5 with gaps of 4 are some 5/9 of a line.
    assert count(solid) > 100 and 0.4 * count(solid) < count(light) < 0.75 * count(solid)
    page.run("box('prediction').click()")
    assert count(solid) == 0 and count(light) > 50


def test_side_by_side_shows_one_mask_each(page):
    page.run("box('side by side').click()")
    assert page.run("first().querySelectorAll('canvas').length") == 6
    names = page.run("[...first().querySelectorAll('.of')].map(each => each.textContent)")
    assert names == ["reference", "prediction"] * 3
    assert not page.run("same(pixels(0), pixels(1))")
    page.run("box('side by side').click()")
    assert page.run("first().querySelectorAll('canvas').length") == 3


def test_windows_change_the_picture(page):
    names = page.run("[...first().querySelectorAll('option')].map(each => each.textContent)")
    assert names[:7] == ["automatic", "full range", "soft tissue", "lung", "bone", "liver", "brain"]
    assert page.run("first().querySelector('select').value") == "soft tissue"
    page.run("box('prediction').click(); box('reference').click(); window.seen = []")
    for name in names[:7]:
        page.run(f"change('window', '{name}'); seen.push(pixels(0))")
    assert page.run("seen.every((a, i) => seen.every((b, j) => i === j || !same(a, b)))")
    assert page.run("numbers()") == "40 / 80"
    page.run("change('window level', 0)")
    assert page.run("numbers()") == "0 / 80"
    x, y = middle(page, 0)
    page.mouse("mousePressed", x, y)
    page.mouse("mouseMoved", x + 30, y)
    page.mouse("mouseReleased", x + 30, y)
    level, width = (float(part) for part in page.run("numbers()").split("/"))
    assert width > 80 and abs(level) < 20
    assert page.run("texts()[2]").startswith("sagittal 10")  # a drag is no click


def test_a_case_is_read_when_it_is_opened_and_let_go_when_it_is_closed(page):
    closed = "document.querySelectorAll('details.case')[4]"
    assert page.run(f"{closed}.querySelectorAll('canvas').length") == 0
    page.run(f"{closed}.open = true; {closed}.scrollIntoView()")
    page.wait(f"{closed}.querySelectorAll('canvas').length === 3")
    page.run(f"{closed}.open = false")
    page.wait(f"{closed}.querySelectorAll('canvas').length === 0")
    page.run(f"{closed}.open = true")
    page.wait(f"{closed}.querySelectorAll('canvas').length === 3")


def test_a_picture_has_one_plane_its_colours_and_no_letters(page):
    photo = "document.querySelectorAll('.viewer')[1]"
    page.run(f"{photo}.scrollIntoView()")
    page.wait(f"{photo}.querySelectorAll('canvas').length === 1")
    page.run(f"[...{photo}.querySelectorAll('input')].forEach(each => each.checked && each.click())")
    page.run("window.at = (c, x) => [...c.getContext('2d').getImageData(c.width * x, c.height / 2, 1, 1).data]")
    seen = page.run(f"[0.25, 0.75].map(x => at({photo}.querySelector('canvas'), x))")
    assert seen == [[255, 0, 0, 255], [0, 0, 0, 255]]
    assert page.run(f"{photo}.querySelectorAll('.edge, .bar, select').length") == 0


def test_names_with_markup_stay_text(page):
    assert page.run("window.hacked") is None
    assert page.run("[...document.querySelectorAll('.name')].map(each => each.textContent)")[2] == HOSTILE
    assert page.run("document.querySelectorAll('script').length") == 1


def test_no_other_script_can_run(page):
    page.run("window.made = document.createElement('script'); made.textContent = 'window.hacked = 3'")
    page.run("document.body.append(made)")
    page.run("document.body.setAttribute('onclick', 'window.hacked = 4'); document.body.click()")
    assert page.run("window.hacked") is None
    refused = json.dumps(page.errors)
    assert "Content Security Policy" in refused
    page.errors.clear()


def test_a_phone_shows_one_plane_below_the_other_and_nothing_beside_the_page(page, report):
    page.requests.clear()
    page.open(report, 390, 844, touch=True)
    page.run(HELPERS + "0")
    page.run("first().scrollIntoView()")
    page.wait(DRAWN)
    assert page.run("document.documentElement.scrollWidth") <= 390
    boxes = page.run("[0, 1, 2].map(n => (box => [box.left, box.right, box.top])(canvas(n).getBoundingClientRect()))")
    assert all(left >= 0 and right <= 390 and right - left > 300 for left, right, _ in boxes)
    assert boxes[0][2] < boxes[1][2] < boxes[2][2]
    page.run("""['p', 'h3', 'h4', 'li'].forEach(tag => document.querySelector('main').append(
        Object.assign(document.createElement(tag), {textContent: 'x'.repeat(300)})))""")
    assert page.run("document.documentElement.scrollWidth") <= 390
    page.run("document.querySelectorAll('.area')[0].scrollIntoView({block: 'center'})")
    x, y = middle(page, 0)
    page.touch([(x, y), (x + 10, y), (x + 40, y)])
    page.wait("!texts()[0].startsWith('axial 16 ')")


def test_without_scripts_the_preview_is_shown(page, report):
    page.requests.clear()
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(report)
        assert page.run("document.querySelectorAll('noscript img').length") == 1
        assert page.run("document.querySelector('noscript img').alt") == "ct: image, reference and prediction"
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_one_picture_is_decoded_at_a_time(browser, report):
    """Of large volumes each takes 64 MB: a browser refuses to decode several cases' at once."""
    browser.call("Page.addScriptToEvaluateOnNewDocument", source="""
        window.decoding = []; const decode = window.createImageBitmap;
        window.createImageBitmap = async image => {
            decoding.push(1); const bitmap = await decode(image);
            await new Promise(done => setTimeout(done, 30)); decoding.push(-1); return bitmap;
        };""")  # fmt: skip
    browser.open(report, height=4000)  # the first two viewers are open and in sight
    browser.wait("[0, 1].every(n => document.querySelectorAll('.viewer')[n].querySelector('canvas'))")
    assert browser.run("decoding.length") == 2 * (3 + 2)  # images and masks
    assert browser.run("decoding.every((step, i) => step === (i % 2 ? -1 : 1))")
