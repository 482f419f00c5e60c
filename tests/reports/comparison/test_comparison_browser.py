"""The page of a comparison in a real browser. Skipped where there is no Chromium."""

import pytest
from browser import Browser, find_browser
from made_runs import dice_of, row, rows_of, write_run, write_slices

from medseg.reports.comparison.write import write_comparison

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium: set MEDSEG_BROWSER or put one on PATH")

HOSTILE = """<img src=x onerror="window.hacked=1"></script><script>window.hacked=2</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    folders = {}
    for place, name in enumerate((HOSTILE, "a-method-with-a-very-long-name-and-no-space-to-break-it-at" * 2, "short")):
        rows = rows_of(dice_of(7, 0.01 * place, place))
        rows[0] |= row("c0", rows[0]["label"], 0.0, "absent")  # no pair, which a line below each says
        folders[name] = write_run(folder / f"m{place}", rows, network=HOSTILE)
        for i in range(7):
            write_slices(folders[name], f"c{i}", place)
    write_comparison(folders, folder / "out", metrics=["dice", "hd95"])
    return folder / "out" / "comparison.html"


@pytest.fixture(scope="module")
def browser():
    found = Browser(find_browser())
    yield found
    found.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_loads_nothing_and_runs_nothing(browser, page, width):
    browser.open(page, width=width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("[...document.images].every(each => each.complete && each.naturalWidth > 0)")
    assert browser.run("document.images.length") >= 7
    assert browser.run("typeof window.hacked") == "undefined"
    assert browser.run("document.scripts.length") == 0
    assert browser.errors == []
    assert set(browser.requests) == {page.as_uri()}


def test_on_a_phone_captions_verdicts_and_p_are_seen_without_swiping(browser, page):
    """The first of the names is short here: a table keeps its first columns in sight."""
    browser.open(page, width=390, touch=True)
    seen = "(each => each.getBoundingClientRect().right <= window.innerWidth)"
    assert browser.run(f"[...document.querySelectorAll('figcaption')].every{seen}")
    assert browser.run(f"[...document.querySelectorAll('[colspan] > *')].every{seen}")
    assert browser.run("document.querySelectorAll('figcaption').length") >= 6
    browser.run("document.querySelectorAll('tbody th').forEach(each => { each.textContent = 'a - b'; }), 0")
    heads = "[...document.querySelectorAll('thead th')].filter(each => each.textContent === 'p (Holm)')"
    assert browser.run(f"{heads}.length") >= 2 and browser.run(f"{heads}.slice(0, 2).every{seen}")
    assert browser.run("getComputedStyle(document.querySelector('.narrow')).display") == "block"
    browser.open(page)
    assert browser.run("getComputedStyle(document.querySelector('.narrow')).display") == "none"


def test_links_to_cases_lead_to_them(browser, page):
    browser.open(page)
    targets = browser.run("[...document.querySelectorAll('a')].map(each => each.getAttribute('href'))")
    assert targets
    assert browser.run(
        "[...document.querySelectorAll('a')].every(each => document.querySelector(each.getAttribute('href')))"
    )
