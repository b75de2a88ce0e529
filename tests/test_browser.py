"""The HTML report in a real browser: it filters, its permalinks open, and its console stays silent."""

import shutil

import pytest

from pitfalls.harness import compare, report
from tests.test_compare import PASSED, made

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

QUIET = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *QUIET])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report_page(tmp_path_factory):
    """A report with a change of behaviour, a new warning, a change of documentation, and hostile texts."""
    cases = {f"{slug}/test_trap_x@cpu": PASSED for slug in ("a", "b")}
    after = {
        "a/test_trap_x@cpu": {"outcome": "failed", "detail": "<script>document.title = 'taken over'</script>"},
        "b/test_trap_x@cpu": {
            **PASSED,
            "warned": [{"category": "UserWarning", "message": "<img src=x onerror=alert(1)>"}],
        },
    }
    apis = {"torch.x": {"signature": "()", "docstring": "1", "notices": {}}}
    reworded = {"torch.x": {"signature": "()", "docstring": "2", "notices": {}}}
    found = compare.compare(made(cases=cases, apis=apis), made("2.15.0", cases=after, apis=reworded))
    path = tmp_path_factory.mktemp("report") / "report with spaces & é.html"
    path.write_text(report.page(found), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser):
    page = browser.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url))
    yield page
    page.close()
    assert said == []


def shown(page):
    return [article.get_attribute("id") for article in page.query_selector_all("article") if article.is_visible()]


def test_all_changes_are_shown_the_worst_first(page, report_page):
    page.goto(report_page)
    assert shown(page) == ["a--no-longer-holds", "b--now-warns", "torch.x--documentation-changed"]
    assert page.title() == "torch 2.8.0 → 2.15.0: what changed"
    assert page.inner_text("#count") == "3 of 3 changes"


def test_a_filter_leaves_what_fits_and_is_kept_in_the_address(page, report_page):
    page.goto(report_page)
    page.select_option("select[name=kind]", "warning")
    assert shown(page) == ["b--now-warns"]
    assert page.url.endswith("?kind=warning")
    page.reload()
    assert shown(page) == ["b--now-warns"]


def test_a_permalink_opens_at_its_change_whatever_the_filter(page, report_page):
    page.goto(f"{report_page}?kind=docs#a--no-longer-holds")
    assert "a--no-longer-holds" in shown(page)
    page.click("#b--now-warns .permalink")
    assert page.url.endswith("#b--now-warns")


@pytest.mark.parametrize("width", [320, 1200])
def test_nothing_is_wider_than_the_screen(page, report_page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(report_page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_colours_of_the_system(page, report_page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(report_page)
    red = int(page.evaluate("getComputedStyle(document.body).backgroundColor").split("(")[1].split(",")[0])
    assert (red > 200) == (scheme == "light")
