"""Numbers with decimal commas, where a mapping declares them: as a person reads them, and never by guessing."""

from itertools import product

import pyarrow as pa
import pytest

from experiments.ingest.feed import read_feed
from experiments.ingest.numbers import UNREADABLE, pointed

SHEET = """
name = "sheet"
title = "A spreadsheet of the shop's"
source = "https://intranet.example/sheet"
checked_on = 2026-11-26

[[files]]
kind = "conversion"
names = ["orders-*"]
decimal = ","
columns = { event_id = "nr", ts = "at", unit = "who", value = "sum" }

[[files]]
kind = "count"
names = ["days-*"]
decimal = ","
columns = { date = "day", ad = "ad", impressions = "seen", clicks = "clicked", spend = "cost" }
constants = { experiment = "spring", arm = "mosaic", currency = "EUR" }
"""


def read(text):
    """Digit by digit: a sign, digits of which points may part each three from the right, a comma, digits."""
    if not text:
        return ""
    sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    whole, comma, part = digits.partition(",")
    groups = whole.split(".")
    fine = all(group and set(group) <= set("0123456789") for group in groups) and (not comma or part)
    fine = fine and set(part) <= set("0123456789") and (len(groups) == 1 or len(groups[0]) <= 3)
    fine = fine and all(len(group) == 3 for group in groups[1:])
    return sign + "".join(groups) + ("." + part if comma else "") if fine else UNREADABLE


def test_every_short_text_is_read_digit_by_digit():
    texts = ["".join(each) for length in range(6) for each in product("1.,-", repeat=length)]
    texts += [
        "1.234.567,89",
        "12.345.67",
        "1,2,3",
        "0,5",
        ",5",
        "5,",
        "1234.567",
        "1.234,5e3",
        " 1",
        "1 234,50",
        "+7,5",
        "1.2345",
    ]
    assert pointed(pa.array(texts)).to_pylist() == [read(text) for text in texts]


@pytest.fixture
def sheet(tmp_path):
    def sheet(text=SHEET):
        path = tmp_path / "sheet.toml"
        path.write_text(text)
        return read_feed(path)

    return sheet


AT = "2026-11-08T12:00:00Z"
ORDERS = ["12,50", "1.234,50", "7", "12.50", "1.200", "", "-3,00", "neun"]


def test_money_of_a_spreadsheet(sheet, deliver, stored):
    text = "nr;at;who;sum\n" + "".join(f"v{n};{AT};u1;{money}\n" for n, money in enumerate(ORDERS))
    told = deliver("orders-1.csv", text, feed=sheet())
    assert told.rejected == {"bad_value": 2, "negative_value": 1}
    assert {row["event_id"]: row["value_micros"] for row in stored("outcomes")} == {
        "v0": 12_500_000, "v1": 1_234_500_000, "v2": 7_000_000, "v4": 1_200_000_000, "v5": None
    }  # fmt: skip
    assert {row["text"].partition(f",{AT},")[0]: row["text"].rpartition(",")[2] for row in stored("rejects")} == {
        "v3": "12.50", "v6": '00"', "v7": "neun"
    }, "kept as they came"  # fmt: skip


def test_counts_of_a_spreadsheet(sheet, deliver, stored):
    rows = ["2026-11-01;a1;1.234;12;1.000,50", "2026-11-02;a1;1,5;12;1", "2026-11-03;a1;12.34;1;1"]
    told = deliver("days-1.csv", "day;ad;seen;clicked;cost\n" + "\n".join(rows) + "\n", feed=sheet())
    assert (told.accepted, told.rejected) == (1, {"bad_value": 2})
    (row,) = stored("counts")
    assert (row["impressions"], row["clicks"], row["spend_micros"]) == (1234, 12, 1_000_500_000)


def test_without_the_declaration_a_point_is_what_it_was(sheet, deliver, stored):
    text = "nr;at;who;sum\n" + "".join(f"v{n};{AT};u1;{money}\n" for n, money in enumerate(ORDERS[:5]))
    told = deliver("orders-1.csv", text, feed=sheet(SHEET.replace('decimal = ","\n', "")))
    assert told.rejected == {"bad_value": 2}
    assert [row["value_micros"] for row in stored("outcomes")] == [7_000_000, 12_500_000, 1_200_000]


def test_a_declaration_that_is_none_is_one_line(sheet):
    with pytest.raises(Exception, match="decimal") as refusal:
        sheet(SHEET.replace('decimal = ","', 'decimal = "comma"', 1))
    assert "\n" not in str(refusal.value)
