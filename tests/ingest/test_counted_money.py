"""What platforms say was spent and brought in other currencies: in the reporting one, or rejected by name."""

import json
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.events import schema
from experiments.events.counts import platform_counts
from experiments.events.lake import EventLake
from experiments.ingest import restating
from experiments.ingest.feed import feeds
from experiments.ingest.money import read_rates

YEAR = date(2026, 1, 1), date(2026, 12, 31)
RATES = ["SEK,2026-11-01,0.0881", "SEK,2026-11-03,0.09", "USD,2026-11-02,0.8634"]
HEADER = "date,experiment,arm,impressions,clicks,value,spend,currency,source"
LINES = [
    "2026-11-01,spring,mosaic,10,1,100.01,7.77,SEK,news",
    "2026-11-03,spring,mosaic,10,1,100.01,7.77,sek,news",
    "2026-11-04,spring,mosaic,10,1,,3,USD,news",
    "2026-11-01,spring,original,10,1,5,,USD,news",  # before the dollar has a rate
    "2026-11-02,spring,original,10,1,0,5,NOK,news",
    "2026-11-03,spring,original,10,1,,,NOK,news",  # no money, no matter
    "2026-11-04,spring,original,10,1,4,2,EUR,news",
    "2026-11-05,spring,original,10,1,4,2,,news",
    "someday,spring,original,10,1,4,2,NOK,news",
]
TEXT = "\n".join([HEADER, *LINES]) + "\n"


@pytest.fixture
def rates(tmp_path):
    """Into euros, of these lines."""

    def rates(*lines):
        path = tmp_path / "rates.csv"
        path.write_text("\n".join(["currency,from,rate", *(lines or RATES)]) + "\n")
        return read_rates(path, "EUR")

    return rates


def by_hand(text):
    """The same with fractions, line by line: what is in the lake, and why not."""
    table = [
        (name, date.fromisoformat(since), Fraction(rate)) for name, since, rate in (line.split(",") for line in RATES)
    ]
    kept, rejected = {}, {}
    for line in text.splitlines()[1:]:
        day, _, arm, _, _, value, spend, currency, _ = line.split(",")
        if day == "someday":
            rejected["bad_timestamp"] = rejected.get("bad_timestamp", 0) + 1
            continue
        known = [
            (since, rate)
            for name, since, rate in table
            if name == currency.upper() and since <= date.fromisoformat(day)
        ]
        rate = Fraction(1) if currency in ("", "EUR") else max(known)[1] if known else None
        if rate is None and (value or spend):
            rejected[f"no_rate:{currency}"] = rejected.get(f"no_rate:{currency}", 0) + 1
            continue
        paid = [round(Fraction(money) * 10**6) if money else None for money in (value, spend)]
        kept[day, arm] = (*(each and round(each * rate) for each in paid), *paid, currency.upper() or None)
    return kept, rejected


def test_money_of_counts_is_converted_on_its_day_and_what_was_said_is_kept(deliver, stored, rates, lake):
    delivery = deliver("counts-1.csv", TEXT, rates=rates())
    kept, rejected = by_hand(TEXT)
    assert (delivery.accepted, delivery.rejected) == (len(kept), rejected)
    assert rejected == {"no_rate:USD": 1, "no_rate:NOK": 1, "bad_timestamp": 1}
    columns = ("value_micros", "spend_micros", "paid_value_micros", "paid_spend_micros", "paid_currency")
    assert {
        (str(row["date"]), row["arm"]): tuple(row[column] for column in columns) for row in stored("counts")
    } == kept
    assert {row["currency"] for row in stored("counts")} == {"EUR"}
    for found in platform_counts(lake, "spring", *YEAR):
        of_arm = [money for (_, arm), money in kept.items() if arm == found.arm]
        assert found.value_micros == {"EUR": sum(money[0] or 0 for money in of_arm)}
        assert found.spend_micros == {"EUR": sum(money[1] or 0 for money in of_arm)}


def test_without_a_reporting_currency_it_stays_as_it_came(deliver, stored, lake):
    assert deliver("counts-1.csv", TEXT).rejected == {"bad_timestamp": 1}
    assert {row["paid_value_micros"] for row in stored("counts")} == {None}
    (mosaic, _) = platform_counts(lake, "spring", *YEAR)
    assert mosaic.spend_micros == {"SEK": 15_540_000, "USD": 3_000_000}


def test_a_day_that_is_delivered_again_is_what_it_was_unless_its_rate_was_mended(deliver, stored, rates, lake):
    deliver("counts-1.csv", TEXT, rates=rates())
    again = deliver("counts-2.csv", TEXT + "\n", rates=rates())
    assert (again.accepted, again.duplicate) == (0, 6)
    mended = deliver("counts-3.csv", TEXT + "\n\n", rates=rates(*RATES[:1], "SEK,2026-11-03,0.1", RATES[2]))
    assert (mended.accepted, mended.duplicate) == (1, 5)
    (mosaic, _) = platform_counts(lake, "spring", *YEAR)
    spend = [Fraction("7.77") * Fraction("0.0881"), Fraction("7.77") / 10, 3 * Fraction("0.8634")]
    assert mosaic.spend_micros == {"EUR": sum(round(each * 10**6) for each in spend)}


def test_platforms_name_the_accounts_currency(deliver, stored, rates):
    row = {
        "account_currency": "USD", "ad_id": "7", "date_start": "2026-11-02", "date_stop": "2026-11-02",
        "impressions": "1000", "clicks": "12", "spend": "10.00",
        "action_values": [{"action_type": "purchase", "value": "20"}],
    }  # fmt: skip
    text = (
        json.dumps(row)
        + "\n"
        + json.dumps({**row, "ad_id": "7", "date_start": "2026-11-01", "date_stop": "2026-11-01"})
    )
    meant = {"adid": {"7": ("spring", "mosaic")}}
    told = deliver("meta_insights_1.jsonl", text + "\n", feed=feeds()["meta"], trafficking=meant, rates=rates())
    assert (told.accepted, told.rejected) == (1, {"no_rate:USD": 1})
    (found,) = stored("counts")
    assert (found["value_micros"], found["spend_micros"], found["paid_spend_micros"]) == (17_268_000, 8_634_000, 10**7)


def test_a_lake_from_before_takes_its_days_again(deliver, lake, rates, monkeypatch):
    """Its table has no such columns, and its rows other currencies: what is delivered now counts instead."""
    added = {"paid_value_micros", "paid_spend_micros", "paid_currency"}
    before = pa.schema([field for field in schema.COUNTS if field.name not in added])
    with monkeypatch.context() as patch:
        patch.setitem(schema.TABLES, "counts", replace(schema.TABLES["counts"], schema=before))
        patch.setattr(restating, "_SAID", ", ".join(name for name in restating._SAYS if name not in added))
        deliver("counts-1.csv", TEXT, lake=EventLake(Path(lake.root)))
    file = next(Path(lake.root, "counts").rglob("*.parquet"))
    assert not added & set(pq.read_schema(file).names)
    assert platform_counts(lake, "spring", *YEAR)[0].spend_micros == {
        "SEK": 15_540_000,
        "USD": 3 * 10**6,
    }
    again = deliver("counts-2.csv", TEXT + "\n")
    assert (again.accepted, again.duplicate) == (0, 8), "it says the same as before"
    now = deliver("counts-3.csv", TEXT + "\n\n", rates=rates())
    assert (now.accepted, now.duplicate) == (6, 0)
    assert set(platform_counts(lake, "spring", *YEAR)[0].spend_micros) == {"EUR"}
