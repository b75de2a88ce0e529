"""The site: built without a warning, and used in a real browser as people use it."""

import importlib.util
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from pitfalls.harness import catalogue, source
from pitfalls.harness.site import SiteError, build
from pitfalls.harness.site.build import NEEDED, rst
from tests.test_browser import CHROMIUM, browser, page  # noqa: F401 - fixtures

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED), reason="Sphinx and its theme are not installed"
)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built here unless ``PITFALLS_SITE`` names one that was built from this very checkout."""
    if built := os.environ.get("PITFALLS_SITE"):
        return Path(built)
    target = tmp_path_factory.mktemp("site") / "a site with spaces & é"
    assert build(target, print) == len(source.slugs())
    return target


class Links(HTMLParser):
    """The links of a page, and what they can point at."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors.add(given.get("id") or "")
        for name in ("href", "src"):
            if given.get(name):
                self.links.append(given[name])


def test_each_pitfall_has_a_page_and_no_internal_link_is_broken(site):
    parsed = {path.resolve(): Links(path) for path in site.rglob("*.html")}
    assert {path.stem for path in parsed if path.parent.name == "pitfalls"} == set(source.slugs())
    broken = []
    for path, found in parsed.items():
        for link in found.links:
            address = urlparse(link)
            if address.scheme or link.startswith("//"):
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            if not target.exists() or (target in parsed and unquote(address.fragment) not in parsed[target].anchors):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_no_page_loads_anything_from_elsewhere(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"'](https?:)?//", text), path.name


def test_others_can_cite_a_pitfall_through_the_inventory(site):
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "https://example.org", lambda base, location: f"{base}/{location}")
    cited = inventory["std:pitfall"]["grad-accumulates"]
    address = cited.uri if hasattr(cited, "uri") else cited[2]
    assert address.startswith("https://example.org/pitfalls/grad-accumulates.html#")


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(SiteError, match="holds something that is no site of ours"):
        build(tmp_path, print)
    assert (tmp_path / "thesis.txt").read_text() == "ten years of work"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("`x.grad` adds", "``x.grad`` adds"),
        ("two `Linear`s, a*b and c_", "two ``Linear``\\ s, a\\*b and c\\_"),
        ("<script> | x", "\\<script> \\| x"),
        ("non-`x`", "non-``x``"),
    ],
    ids=["code", "plural", "markup", "prefix"],
)
def test_prose_becomes_restructured_text(text, written):
    assert rst(text) == written


def visible(page):  # noqa: F811
    return [row.query_selector("td").inner_text().strip() for row in page.query_selector_all("tbody tr:not([hidden])")]


@needs_browser
@pytest.mark.parametrize(
    ("message", "slug"),
    [
        (
            'Traceback (most recent call last):\n  File "x.py", line 3\nRuntimeError: a leaf Variable that requires '
            "grad is being used in an in-place operation.",
            "leaf-refuses-inplace",
        ),
        (
            "RuntimeError: mat1 and mat2 shapes cannot be multiplied (64x128 and 256x10)",
            "matrix-shapes-cannot-be-multiplied",
        ),
        (
            "TypeError: can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
            "memory first.",
            "numpy-refuses-cuda",
        ),
        ("why is my gradient doubled?", "grad-accumulates"),
    ],
    ids=["leaf", "matrices", "numpy", "description"],
)
def test_a_pasted_message_finds_its_pitfall_first(page, site, message, slug):  # noqa: F811
    page.goto((site / "index.html").as_uri())
    page.fill("#q", message)
    assert visible(page)[0] == slug
    page.click("tbody tr:not([hidden]) a")
    assert page.url.partition("#")[0].endswith(f"/pitfalls/{slug}.html")


@needs_browser
def test_filters_leave_what_fits_and_are_kept_in_the_address(page, site):  # noqa: F811
    page.goto((site / "index.html").as_uri())
    assert len(visible(page)) == len(source.slugs())
    page.select_option("#area", "optim")
    page.select_option("#manner", "raises")
    expected = {entry.slug for entry in catalogue.entries() if entry.area == "optim" and entry.error}
    assert set(visible(page)) == expected
    page.reload()
    assert set(visible(page)) == expected
    page.click("#filter button[type=reset]")
    page.wait_for_function("!location.search")
    assert len(visible(page)) == len(source.slugs())


@needs_browser
def test_the_copy_button_copies_the_code(page, site):  # noqa: F811
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto((site / "pitfalls" / "grad-accumulates.html").as_uri())
    page.hover("div.highlight-python >> nth=0")
    page.click("div.highlight-python button.copybtn >> nth=0")
    assert page.evaluate("navigator.clipboard.readText()").startswith("def test_trap_each_backward_adds(self, device):")


@needs_browser
@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("name", ["index", "pitfalls/grad-accumulates", "releases/2.6", "coverage", "disagreements"])
def test_nothing_is_wider_than_the_screen(page, site, width, name):  # noqa: F811
    page.set_viewport_size({"width": width, "height": 800})
    page.goto((site / f"{name}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@needs_browser
def test_the_filters_can_be_used_with_the_keyboard(page, site):  # noqa: F811
    page.goto((site / "index.html").as_uri())
    page.focus("#q")
    page.keyboard.type("second backward")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "area"
