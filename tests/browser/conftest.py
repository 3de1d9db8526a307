import os
import runpy
import shutil
from pathlib import Path

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def chromium():
    """Headless Chromium. Where there is none the tests are skipped, or fail if ADSTYLE_REQUIRE_BROWSER is set."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        missing = pytest.fail if os.environ.get("ADSTYLE_REQUIRE_BROWSER") else pytest.skip
        missing(f"no browser: none of {', '.join(CHROMIUM)} is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """The example week as a file."""
    from reports.page import write_report

    example = runpy.run_path(str(Path(__file__).parents[1] / "reports" / "example.py"))
    page, _ = write_report(example["example_report"](), tmp_path_factory.mktemp("page"))
    return page.as_uri()
