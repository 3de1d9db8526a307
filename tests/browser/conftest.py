import os
import runpy
import shutil
from dataclasses import replace
from datetime import date
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
def crowded(tmp_path_factory):
    """Twelve arms, as many as an experiment may have, and money in three currencies, in a file."""
    from reports.model import CountedRow, SegmentRow
    from reports.page import write_report

    example = runpy.run_path(str(Path(__file__).parents[1] / "reports" / "example.py"))
    arms = ("original", *(f"watercolor-at-0-{n}" for n in range(11)))
    winner = example["winner"]()
    segments = replace(winner.segments[0], rows=tuple(SegmentRow("phone", arm, 9, 0.1, 0.5) for arm in arms[1:]))
    rows = example["daily"](date(2026, 9, 1), 82, dict.fromkeys(arms, 0.03), 900, 1)
    sums = tuple((currency, 9_876_540_000) for currency in ("EUR", "SEK", "USD"))
    week = date(2026, 11, 16), date(2026, 11, 22), 7
    counted = tuple(CountedRow("Meta", arm, *week, 90_000, 900, 0.01, 40, sums, sums) for arm in arms)
    section = replace(winner, daily=rows, segments=(segments,), counted=counted)
    page, _ = write_report(example["example_report"](section), tmp_path_factory.mktemp("crowded"))
    return page.as_uri()


@pytest.fixture(scope="session")
def wordy(tmp_path_factory):
    """A winner whose name is as long as a blend's, in a file."""
    from reports.model import VerdictView
    from reports.page import write_report

    example = runpy.run_path(str(Path(__file__).parents[1] / "reports" / "example.py"))
    name, winner = "watercolor@0.3*0.5+ink-wash-of-the-second-series@1*0.5", example["winner"]()

    def named(rows, field="arm"):
        return tuple(replace(row, **{field: name}) if getattr(row, field) == "ink" else row for row in rows)

    section = replace(
        winner, arms=named(winner.arms, "name"), lifts=named(winner.lifts), gallery=named(winner.gallery),
        looks_taken=(), daily=named(winner.daily), guardrails=named(winner.guardrails),
        verdict=VerdictView("promote", name, winner.verdict.reasons), decision=replace(winner.decision, arm=name),
    )  # fmt: skip
    page, _ = write_report(example["example_report"](section), tmp_path_factory.mktemp("wordy"))
    return page.as_uri()


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """The example week as a file."""
    from reports.page import write_report

    example = runpy.run_path(str(Path(__file__).parents[1] / "reports" / "example.py"))
    page, _ = write_report(example["example_report"](), tmp_path_factory.mktemp("page"))
    return page.as_uri()
