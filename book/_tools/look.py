"""Screenshots of one built page: desktop and phone, light and dark, and print.

Says what a glance misses, too: console errors, horizontal overflow, the page's height.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import FloatRect, Page, sync_playwright

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), "/usr/bin/chromium")
SLICE = 2400
WIDTHS = {"desktop": 1280, "phone": 375}
TYPESET = "() => !window.MathJax || MathJax.startup.promise.then(() => true)"


def built(page: str) -> Path | None:
    """The newest build of the page, alone or in the book."""
    alone = ROOT / "_build" / "article" / page.replace("/", "-") / "_build" / "html"
    found = [site / "book" / f"{page}.html" for site in (ROOT / "_build/html", alone)]
    found = [path for path in found if path.exists()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def shoot(tab: Page, width: int, url: str, target: Path) -> None:
    errors: list[str] = []
    tab.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(url)
    tab.wait_for_function(TYPESET)
    tab.wait_for_timeout(300)
    height = tab.evaluate("document.documentElement.scrollHeight")
    over = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
    # one tall picture would be unreadable
    for number, top in enumerate(range(0, height, SLICE), 1):
        clip = FloatRect(x=0, y=top, width=width, height=min(SLICE, height - top))
        path = target.with_name(f"{target.name}-{number:02}.png")
        tab.screenshot(path=path, clip=clip, full_page=True)
    # fonts that file: pages may not preload are no defect of the page
    real = [text for text in errors if "CORS" not in text and "ERR_FAILED" not in text]
    over = max(over, 0)
    print(f"{target.name}: {height} px high, {over} px too wide, {real or 'no'} errors")


def main(page: str) -> int:
    source = built(page)
    if source is None:
        print(f"{page} is not built: make article PAGE={page}", file=sys.stderr)
        return 1
    folder = ROOT / "_build" / "look" / page.replace("/", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    url = source.as_uri()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        for device, width in WIDTHS.items():
            for scheme in ("light", "dark"):
                tab = browser.new_page(
                    viewport={"width": width, "height": 800}, color_scheme=scheme
                )
                shoot(tab, width, url, folder / f"{device}-{scheme}")
                tab.close()
        tab = browser.new_page(viewport={"width": 794, "height": 1123})
        tab.emulate_media(media="print")
        shoot(tab, 794, url, folder / "print")
        browser.close()
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
