"""The built site, opened page by page in headless Chromium, with no network."""

import functools
import http.server
import json
import os
import shutil
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import nbformat
import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("KEXUE_SITE", ROOT / "_build" / "html"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)

if not (SITE / "book" / "ledger.json").exists():
    pytest.skip("the site is not built: make book", allow_module_level=True)
if CHROMIUM is None:
    pytest.skip("needs Chromium or Chrome on the path", allow_module_level=True)

PAGES = sorted(str(path.relative_to(SITE)) for path in SITE.glob("book/**/*.html"))
LEDGER = json.loads((SITE / "book" / "ledger.json").read_text())
ARTICLES = sorted({row["page"] for row in LEDGER})
TYPESET = "() => !window.MathJax || MathJax.startup.promise.then(() => true)"
UNTYPESET = """
() => [...document.querySelectorAll(".math")]
  .filter(node => !node.querySelector("mjx-container")
    || node.querySelector("mjx-merror"))
  .map(node => node.textContent)
"""
OVERFLOW = """
() => [...document.querySelectorAll(".bd-article *")].filter(node => {
  const box = node.getBoundingClientRect();
  if (box.width === 0 || box.right <= innerWidth + 1) return false;
  for (let up = node.parentElement; up; up = up.parentElement)
    if (getComputedStyle(up).overflowX !== "visible") return false;
  return true;
}).map(node => node.outerHTML.slice(0, 120))
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args):
        pass


@pytest.fixture(scope="session")
def server():
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield running
        running.close()


@pytest.fixture
def visit(browser, server):
    """Open a page; nothing but the server is reachable. Returns tab and complaints."""
    tabs = []

    def open_page(page):
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tabs.append(tab)
        complaints = []

        def only_ours(route):
            if route.request.url.startswith(server):
                route.continue_()
            else:
                complaints.append(f"asked for {route.request.url}")
                route.abort()

        def console(message):
            if message.type in ("error", "warning"):
                complaints.append(f"console: {message.text}")

        tab.route("**/*", only_ours)
        tab.on("console", console)
        tab.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        tab.goto(server + page)
        tab.wait_for_function(TYPESET)
        return tab, complaints

    yield open_page
    for tab in tabs:
        tab.close()


def serious_violations(tab):
    from axe_playwright_python.sync_playwright import Axe

    return {
        rule["id"]: [node["html"][:200] for node in rule["nodes"]]
        for rule in Axe().run(tab).response["violations"]
        if rule["impact"] in ("serious", "critical")
    }


@pytest.mark.parametrize("page", PAGES)
def test_page(visit, page):
    """Quiet, typeset, accessible in both themes, and no wider than either screen."""
    tab, complaints = visit(page)
    # axe fetches style sheets by addresses of its own: what it misses is not the page's
    found = {"complaints": list(complaints)}
    found |= {"formulas": tab.evaluate(UNTYPESET), "wide": tab.evaluate(OVERFLOW)}
    found["light theme"] = serious_violations(tab)
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_timeout(500)  # colours fade into each other
    found["dark theme"] = serious_violations(tab)
    tab.set_viewport_size({"width": 375, "height": 800})
    found["wide on a phone"] = tab.evaluate(OVERFLOW)
    if tab.evaluate("document.documentElement.scrollWidth") > 375:
        found["scrolls sideways"] = True
    assert {what: where for what, where in found.items() if where} == {}


@functools.cache
def anchors(path):
    soup = BeautifulSoup(path.read_text(), "html.parser")
    return {node["id"] for node in soup.find_all(id=True)}


@pytest.mark.parametrize("page", PAGES)
def test_internal_links_resolve(page):
    soup = BeautifulSoup((SITE / page).read_text(), "html.parser")
    broken = []
    for node in soup.find_all(["a", "img", "script", "link"]):
        link = node.get("href") or node.get("src")
        if not link or urlparse(link).scheme or link.startswith("//"):
            continue
        path, anchor = urldefrag(urljoin(page, link))
        target = SITE / unquote(urlparse(path).path or page)
        if not target.exists() or (
            anchor
            and target.suffix == ".html"
            and unquote(anchor) not in anchors(target)
        ):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("article", ARTICLES)
def test_download_holds_outputs(article):
    notebook = nbformat.read(SITE / "_sources" / f"{article}.ipynb", as_version=4)
    assert any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize("article", ARTICLES)
def test_every_statement_has_its_tick(article):
    soup = BeautifulSoup((SITE / f"{article}.html").read_text(), "html.parser")
    ticks = {link["href"].partition("#claim-")[2] for link in soup("a", "kexue-tick")}
    assert ticks == {row["label"] for row in LEDGER if row["page"] == article}


def test_search_finds_by_keyboard(visit):
    tab, complaints = visit("book/index.html")
    tab.keyboard.press("Control+k")
    tab.keyboard.type("determinant")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#search-results li", timeout=20_000)
    assert not complaints


def test_ledger_filters_by_kind(visit):
    tab, _ = visit("book/ledger.html")
    rows = tab.locator(".kexue-ledger tr[data-kind='bound']")
    assert rows.first.is_visible()
    tab.get_by_label("bound").uncheck()
    assert not rows.first.is_visible()


def test_sliders_move_by_keyboard(visit):
    pages = [page for page in PAGES if "kexue-slider" in (SITE / page).read_text()]
    assert pages
    for page in pages:
        tab, complaints = visit(page)
        for slider in tab.locator(".kexue-slider").all():
            assert slider.locator("[role=img]").get_attribute("aria-label")
            shown, text = (
                slider.locator("[data-frame]:visible"),
                slider.locator("output"),
            )
            before = shown.first.get_attribute("data-frame"), text.inner_text()
            slider.locator("input").press("ArrowRight")
            assert (
                shown.first.get_attribute("data-frame"),
                text.inner_text(),
            ) != before
        assert not complaints


def test_site_works_from_a_folder(browser):
    """Opened without a server: formulas and icons are there."""
    tab = browser.new_page()
    tab.goto((SITE / f"{ARTICLES[0]}.html").as_uri())
    tab.wait_for_function(TYPESET)
    assert tab.evaluate(UNTYPESET) == []
    tab.close()
