"""Makes the README's three pictures, two of them from a finished demo: python docs/pictures.py adstyle-demo"""

import os
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from playwright.sync_api import sync_playwright
from skimage import data

from creatives.packs import StyleLibrary
from creatives.pictures import Picture
from creatives.sheet import contact_sheet

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


def show_styles() -> Image.Image:
    """Every style that comes along on four of scikit-image's photographs, cut to one shape."""
    photographs = [data.coffee()[:, 60:540], data.astronaut()[:400, :480], data.chelsea()[:, 60:420], _packshot()]
    looks = [StyleLibrary().resolve(pack.name) for pack in StyleLibrary().packs()]
    return contact_sheet(looks, [Picture(_cut(photograph)) for photograph in photographs], tile=150, columns=2)


def _cut(photograph: np.ndarray) -> np.ndarray:
    return np.asarray(ImageOps.fit(Image.fromarray(photograph), (640, 512), Image.Resampling.LANCZOS))


def _packshot() -> np.ndarray:
    """The cup, cut out: a product on white."""
    y, x = np.mgrid[0:400, 0:600]
    cup = ((x - 300) / 215) ** 2 + ((y - 185) / 170) ** 2
    cover = np.clip((1.05 - cup) * 20, 0, 1)[..., None]
    return np.rint(data.coffee() * cover + 255 * (1 - cover)).astype(np.uint8)


def save(picture: Image.Image, name: str, width: int = WIDTH) -> None:
    """At most at a width."""
    picture = picture.convert("RGB")
    picture.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)
    picture.save(HERE / name, quality=82, method=6)


if __name__ == "__main__":
    demo = Path(sys.argv[1])
    save(photograph_report(demo / "reports" / "2026-W46.html"), "report.webp")
    save(Image.open(demo / "variants" / "coffee" / "overview.webp"), "variants.webp")
    save(show_styles(), "styles.webp", 1600)
