"""Makes the README's two pictures from a finished demo: python docs/pictures.py adstyle-demo"""

import os
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
VIEW = {"width": 1280, "height": 1500}
WIDTH = 1000


def photograph_report(page: Path) -> Image.Image:
    """The top of the page and the first experiment, as a reader of a wide screen sees them."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        sheet = browser.new_page(viewport=VIEW, color_scheme="light")
        sheet.goto(page.resolve().as_uri())
        top = sheet.screenshot(clip={"x": 0, "y": 0, "width": VIEW["width"], "height": 540})
        chapter = sheet.locator(".experiment", has_text="Nordlicht").first
        chapter.scroll_into_view_if_needed()
        chapter.evaluate("node => window.scrollTo(0, node.getBoundingClientRect().top + window.scrollY)")
        first = sheet.screenshot(clip={"x": 0, "y": 0, "width": VIEW["width"], "height": 1150})
        browser.close()
    parts = [Image.open(BytesIO(part)) for part in (top, first)]
    whole = Image.new("RGB", (VIEW["width"], sum(part.height for part in parts)), "white")
    below = 0
    for part in parts:
        whole.paste(part, (0, below))
        below += part.height
    return whole


def save(picture: Image.Image, name: str) -> None:
    """At the README's width."""
    picture = picture.convert("RGB")
    picture.thumbnail((WIDTH, 4 * WIDTH), Image.Resampling.LANCZOS)
    picture.save(HERE / name, quality=82, method=6)


if __name__ == "__main__":
    demo = Path(sys.argv[1])
    save(photograph_report(demo / "reports" / "2026-W46.html"), "report.webp")
    save(Image.open(demo / "variants" / "coffee" / "overview.webp"), "variants.webp")
