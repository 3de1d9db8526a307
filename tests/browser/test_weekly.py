from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.browser

# WCAG 2.2 relative luminance and contrast of every visible text against the nearest opaque background behind it.
CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const rgb = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = rgb(getComputedStyle(node).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll('body *')) {
    const said = [...node.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join('');
    if (!said || !node.checkVisibility() || ['title', 'desc'].includes(node.localName)) continue;
    const style = getComputedStyle(node);
    const ink = luminance(rgb(node instanceof SVGElement ? style.fill : style.color)), paper = luminance(behind(node));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${said.slice(0, 40)}`);
  }
  return poor;
}"""

OVERFLOWING = """() => [...document.querySelectorAll('body *')]
  .filter(node => node.checkVisibility() && !node.closest('.skip') && !node.closest('thead')
    && node.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(node => `${node.tagName} ${node.className.baseVal ?? node.className} ${node.textContent.slice(0, 40)}`)"""


@contextmanager
def opened(chromium, address, width, scheme="light"):
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.messages, page.requests = [], []
    page.on("console", lambda message: page.messages.append(message.text))
    page.on("pageerror", lambda error: page.messages.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(address)
    try:
        yield page
    finally:
        page.close()


@pytest.mark.parametrize("width", [320, 360, 768, 1024, 1440])
def test_nothing_scrolls_sideways(chromium, address, width):
    with opened(chromium, address, width) as page:
        page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OVERFLOWING) == []


@pytest.mark.parametrize("width", [320, 768, 1024, 1280])
def test_long_names_stay_within_the_sheet(chromium, wordy, width):
    with opened(chromium, wordy, width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OVERFLOWING) == []
        edge = "document.querySelector('.opening').getBoundingClientRect().right + 3"
        ends = "[...document.querySelectorAll('table, .heroes .tag')].map(node => node.getBoundingClientRect().right)"
        assert page.evaluate(f"Math.max(...{ends}) <= {edge}")


@pytest.mark.parametrize("width", [360, 768, 1024, 1440])
def test_tables_of_many_styles_scroll_within_themselves(chromium, crowded, width):
    with opened(chromium, crowded, width) as page:
        page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator(".across[tabindex='0']").count() == 2
        wider = "[...document.querySelectorAll('.across')].some(table => table.scrollWidth > table.clientWidth)"
        assert page.evaluate(wider) == (width > 360)


def test_on_paper_nothing_lies_beyond_the_edge(chromium, crowded):
    with opened(chromium, crowded, 690) as page:
        page.emulate_media(media="print")
        ends = "[...document.querySelectorAll('table *')].map(node => node.getBoundingClientRect().right)"
        assert page.evaluate(f"Math.max(...{ends})") <= 691
        assert page.locator(".across td:visible").count() > 0


def test_every_table_has_a_name(chromium, crowded):
    with opened(chromium, crowded, 1440) as page:
        assert page.locator("table:not(:has(> caption), [aria-label], [aria-labelledby])").count() == 0


def test_the_page_is_silent_and_alone(chromium, address):
    with opened(chromium, address, 1440) as page:
        page.wait_for_load_state("networkidle")
        assert page.messages == []
        assert [url for url in page.requests if not url.startswith("data:")] == [address]


def test_pictures_have_words_and_are_shown(chromium, address):
    with opened(chromium, address, 1440) as page:
        assert page.locator("h1").count() == 1
        assert page.locator("img").count() > 0
        assert page.locator("img:not([alt]), img[alt='']").count() == 0
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.locator("svg[role=img] > title").count() == page.locator("svg").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_every_text_has_contrast(chromium, address, scheme, width):
    with opened(chromium, address, width, scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
        assert page.evaluate(CONTRAST) == []


def test_dark_mode_is_dark_and_print_is_light(chromium, address):
    paper = "getComputedStyle(document.body).backgroundColor"
    with opened(chromium, address, 1440, "dark") as page:
        assert page.evaluate(paper) == "rgb(13, 18, 16)"
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate(paper) == "rgb(255, 255, 255)"
        assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize(("width", "shown"), [(360, "narrow"), (1440, "wide")])
def test_one_edition_of_each_chart_is_shown_and_legible(chromium, address, width, shown):
    with opened(chromium, address, width) as page:
        drawings = page.locator("svg:visible")
        assert drawings.count() == page.locator(".chart").count()
        assert page.locator(f".{shown} svg:visible").count() == drawings.count()
        scale = "[...document.querySelectorAll('svg')].filter(s => s.checkVisibility()).map(s => s.getScreenCTM().a)"
        assert min(page.evaluate(scale)) * 12.5 >= 11


def test_the_keyboard_reaches_the_verdicts(chromium, address):
    with opened(chromium, address, 1440) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.url.endswith("#content")
