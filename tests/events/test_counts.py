"""What platforms counted, as it stands: the latest of each key, of each ad's day one breakdown; never an addition."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.events import upkeep
from experiments.events.counts import platform_counts, totals
from experiments.events.evidence import gather
from experiments.events.lake import EventLake
from experiments.events.schema import COUNTS
from experiments.store.codec import plain

DAY = date(2026, 11, 2)
WHOLE = {"source": "meta", "experiment": "spring", "arm": "mosaic", "clicks": 1, "delivery": "d1", "line": 2}
DAYS = DAY, DAY + timedelta(days=30)
ENGINE = duckdb.connect()


def row(at, ad="a1", day=0, impressions=10, breakdown=None, by=None, **changed):
    """A row of the table as ingest writes it, delivered ``at`` so many hours after the start."""
    when = DAY + timedelta(days=day)
    told = {"breakdown": breakdown, "broken_down_by": by, "impressions": impressions, "ad": ad, "date": when}
    source = changed.get("source", WHOLE["source"])
    name = f"{when}/{source}/{ad}/{breakdown or ''}"
    return {**WHOLE, "event_id": name, "delivered_at": at, **told, **changed}


@pytest.fixture
def put(lake, at):
    """Rows into the lake; their first value is the hour of their delivery."""

    def put(delivery, *told):
        made = [row(at(hours=hour), **{"delivery": delivery, **fields}) for hour, fields in told]
        lake.begin("counts").commit(pa.Table.from_pylist(made, schema=COUNTS), delivery)

    return put


def test_sums_by_source_and_arm_with_money_by_currency(lake, put):
    put(
        "d1",
        (0, {"ad": "a1", "spend_micros": 5, "currency": "EUR", "conversions": 2}),
        (0, {"ad": "a2", "spend_micros": 7, "currency": "USD", "day": 2}),
        (0, {"ad": "a3", "arm": "original", "impressions": 0, "clicks": 0}),
        (0, {"ad": "b1", "source": "revive", "value_micros": 9}),
        (0, {"ad": "z", "experiment": "autumn"}),
        (0, {"ad": "a1", "day": 31}),
    )
    mosaic, original, revive = platform_counts(lake, "spring", *DAYS)
    assert (mosaic.source, mosaic.arm, mosaic.first, mosaic.last, mosaic.days) == (
        "meta", "mosaic", DAY, DAY + timedelta(days=2), 2
    )  # fmt: skip
    assert (mosaic.impressions, mosaic.clicks, mosaic.conversions) == (20, 2, 2)
    assert (mosaic.spend_micros, mosaic.value_micros) == ({"EUR": 5, "USD": 7}, {})
    assert (original.arm, original.impressions, original.conversions, original.spend_micros) == (
        "original",
        0,
        None,
        {},
    )
    assert (revive.source, revive.value_micros) == ("revive", {None: 9})
    assert platform_counts(lake, "summer", *DAYS) == ()


def test_an_empty_lake_has_counted_nothing(lake):
    assert platform_counts(lake, "spring", *DAYS) == ()


def test_a_lake_from_before_there_were_counts_opens(lake, put):
    lake.versions()
    shutil.rmtree(Path(lake.root, "counts"))
    older = EventLake(lake.root)
    assert platform_counts(older, "spring", *DAYS) == ()
    assert older.versions()["counts"] == 0
    put("d1", (0, {}))
    assert platform_counts(older, "spring", *DAYS)[0].impressions == 10


def test_each_version_says_what_stood_then(lake, put):
    put("d1", (0, {"impressions": 10}))
    put("d2", (1, {"impressions": 12}))
    assert [platform_counts(lake, "spring", *DAYS, version)[0].impressions for version in (1, 2)] == [10, 12]


keys = st.tuples(st.sampled_from(["a1", "a2"]), st.integers(0, 1), st.sampled_from([None, "age=1", "age=2", "town=x"]))
told = st.lists(st.tuples(keys, st.integers(0, 5), st.integers(0, 3), st.sampled_from(["d1", "d2"])), max_size=12)


@settings(max_examples=80, deadline=None)
@given(told, st.randoms(use_true_random=False))
def test_the_latest_of_each_key_and_of_each_day_one_breakdown(rows, dice):
    """Whatever order the rows lie in; told by hour, then delivery, then line."""
    made = []
    for number, ((ad, day, breakdown), impressions, hour, delivery) in enumerate(rows):
        way = breakdown.partition("=")[0] if breakdown else None
        at = datetime(2026, 11, 9, hour, tzinfo=UTC)
        made.append(row(at, ad, day, impressions, breakdown, way, delivery=delivery, line=number))
    latest: dict[tuple, dict] = {}
    way_of: dict[tuple, str | None] = {}
    for each in sorted(made, key=lambda each: (each["delivered_at"], each["delivery"], each["line"])):
        latest[each["ad"], each["date"], each["breakdown"]] = each
        way_of[each["ad"], each["date"]] = each["broken_down_by"]
    stand = [each for each in latest.values() if way_of[each["ad"], each["date"]] == each["broken_down_by"]]
    dice.shuffle(made)
    ENGINE.register("counts", pa.Table.from_pylist(made, schema=COUNTS))
    found = totals(ENGINE, "spring")
    assert sum(each.impressions for each in found) == sum(each["impressions"] for each in stand)
    assert [each.days for each in found] == ([len({each["date"] for each in stand})] if stand else [])


def test_no_evidence_is_moved_by_a_million_counts(lake, plan, rows, at):
    shown = [
        {"event_id": f"i{n}", "ts": at(hours=n % 90), "arm": ("original", "mosaic")[n % 2], "unit": f"u{n}"}
        for n in range(400)
    ]
    hits = [
        {"event_id": f"c{n}", "ts": at(hours=91), "kind": "click", "impression_id": f"i{n}"} for n in range(0, 400, 7)
    ]
    lake.begin("impressions").commit(rows("impressions", shown), "d1")
    lake.begin("outcomes").commit(rows("outcomes", hits), "d1")
    before = gather(lake, plan, at(days=7))
    million = 1_000_000
    told = pa.Table.from_pylist([row(at(hours=1), impressions=1, clicks=1, conversions=1)], schema=COUNTS)
    many = told.take(pa.array([0] * million, pa.int32()))
    many = many.set_column(0, COUNTS.field(0), pa.array([f"2026-11-02/meta/{n}/" for n in range(million)]))
    lake.begin("counts").commit(many, "d2")
    assert lake.dataset("counts").count_rows() == million
    after = gather(lake, plan, at(days=7))
    assert (after, plain(after)) == (before, plain(before))
    assert after.lake_versions == {"impressions": 1, "outcomes": 1, "rejects": 0}


def test_counts_are_compacted_forgotten_and_exported_like_other_tables(lake, put, tmp_path):
    for number in range(8):
        put(f"d{number}", (number, {"impressions": number, "ad": f"a{number % 2}"}), (number, {"ad": "b", "day": 40}))
    before = platform_counts(lake, "spring", DAY, DAY + timedelta(days=60))
    assert upkeep.crowded(lake) == ("counts",)
    assert upkeep.compact(lake, "counts").files == 16
    assert platform_counts(lake, "spring", DAY, DAY + timedelta(days=60)) == before
    assert lake.begin("counts").newest("delivered_at") is not None, "what is compacted still says when it came"
    assert upkeep.export(lake, "counts", tmp_path / "counts.csv", "csv") == 16
    assert set(upkeep.folders(lake, "counts")) == {(DAY, None), (DAY + timedelta(days=40), None)}
    assert upkeep.forget(lake, "counts", DAY + timedelta(days=1)).rows == 8
    assert {each.table for each in upkeep.erase(lake, "ab" * 16)} == {"impressions", "outcomes", "rejects"}
    (left,) = platform_counts(EventLake(lake.root), "spring", DAY, DAY + timedelta(days=60))
    assert left.impressions == 10
