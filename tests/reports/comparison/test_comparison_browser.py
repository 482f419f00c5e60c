"""The page of a comparison in a real browser. Skipped where there is no Chromium."""

import pytest
from browser import Browser, find_browser
from made_runs import dice_of, rows_of, write_run, write_slices

from medseg.reports.comparison.write import write_comparison

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium: set MEDSEG_BROWSER or put one on PATH")

HOSTILE = """<img src=x onerror="window.hacked=1"></script><script>window.hacked=2</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    folders = {}
    for place, name in enumerate((HOSTILE, "a-method-with-a-very-long-name-and-no-space-to-break-it-at" * 2, "short")):
        folders[name] = write_run(folder / f"m{place}", rows_of(dice_of(7, 0.01 * place, place)), network=HOSTILE)
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


def test_links_to_cases_lead_to_them(browser, page):
    browser.open(page)
    targets = browser.run("[...document.querySelectorAll('a')].map(each => each.getAttribute('href'))")
    assert targets
    assert browser.run(
        "[...document.querySelectorAll('a')].every(each => document.querySelector(each.getAttribute('href')))"
    )
