"""What platforms counted, on the page and in the JSON: sums in plain words, and nothing that looks like a test."""

import re
from dataclasses import replace
from datetime import date

import pytest

from reports.counted import WARNING, counted, money
from reports.document import report_document
from reports.model import CountedRow
from reports.page import render_report

NBSP = "\N{NO-BREAK SPACE}"
ROWS = (
    CountedRow(
        "Meta Ads Insights", "original", date(2026, 11, 16), date(2026, 11, 22), 7, 120_500, 1_830, 1_830 / 120_500,
        41, (("EUR", 1_204_500_000),), (("EUR", 310_250_000), ("USD", 12_000_000)),
    ),
    CountedRow("", "ink<b>", date(2026, 11, 16), date(2026, 11, 16), 1, 0, 0, None, None, (), ()),
)  # fmt: skip


@pytest.fixture(scope="module")
def shown(report):
    """The example's report, its first experiment with such counts."""
    return replace(report, sections=(replace(report.sections[0], counted=ROWS), *report.sections[1:]))


@pytest.fixture(scope="module")
def part(shown):
    """That part of the page, without its tags' attributes."""
    page = render_report(shown)
    start = page.index('id="e1-espresso-autumn-counted"')
    return page[start : page.index("</section>", start)]


def test_the_section_is_where_there_are_such_counts_and_nowhere_else(report, shown):
    assert "not randomised" not in render_report(report)
    page = render_report(shown)
    assert page.count("Counted by the platforms, not randomised") == 1
    parts = ("segments", "counted", "timeline")
    places = [page.index(f'id="e1-espresso-autumn-{each}"') for each in parts]
    assert places == sorted(places)


def test_it_says_why_nothing_may_be_concluded(part):
    assert WARNING in part
    assert re.search(r"no winner can be called", part)
    for word in ("interval", "lift", "p =", "beats", "chance", "±"):
        assert word not in part.replace(WARNING, "").lower()


def test_every_number_is_there(part):
    cells = re.findall(r'data-label="([^"]+)"[^>]*>(.*?)</td>', part, re.DOTALL)
    values = [(label, re.sub(r"<[^>]+>", "|", value).strip("|")) for label, value in cells]
    first, second = values[:8], values[8:]
    assert first == [
        ("Counted by", "Meta Ads Insights"), ("Days", "7|16 to 22 November 2026"), ("Impressions", "120,500"),
        ("Clicks", "1,830"), ("Click rate", f"1.52{NBSP}%"), ("Conversions", "41"),
        ("Their value", f"1,204.50{NBSP}EUR"), ("Spent", f"310.25{NBSP}EUR + 12.00{NBSP}USD"),
    ]  # fmt: skip
    assert second == [
        ("Counted by", "files by hand"), ("Days", "1|16 November 2026"), ("Impressions", "0"), ("Clicks", "0"),
        ("Click rate", "not known"), ("Conversions", "not known"), ("Their value", "not known"), ("Spent", "not known"),
    ]  # fmt: skip
    assert "ink&lt;b&gt;" in part


def test_no_column_of_values_where_none_was_told(report):
    table = counted(replace(report.sections[0], counted=ROWS[1:]))
    assert table is not None
    assert table["valued"] is False
    assert counted(report.sections[0]) is None


def test_money_in_several_currencies_is_not_added_up():
    assert money(((None, 1_500_000), ("SEK", -2_000_000))) == f"1.50 + −2.00{NBSP}SEK"
    assert money(()) == "not known"


def test_the_document_has_full_precision_and_the_same_warning(shown):
    first, second, *_ = report_document(shown)["sections"]
    assert first["counted_text"] == WARNING
    assert first["counted"][0]["rate"] == 1_830 / 120_500
    assert first["counted"][0]["spend"] == [["EUR", 310_250_000], ["USD", 12_000_000]]
    assert (first["counted"][0]["first"], first["counted"][1]["conversions"]) == ("2026-11-16", None)
    assert second["counted"] == []
    assert "counted_text" not in second


def test_verdict_and_evidence_read_the_same_with_and_without(report, shown):
    with_counts, without = report_document(shown)["sections"][0], report_document(report)["sections"][0]
    differing = {key for key in with_counts if with_counts[key] != without.get(key)}
    assert differing == {"counted", "counted_text"}
