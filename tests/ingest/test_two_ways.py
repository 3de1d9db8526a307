"""Rows of one kind that a file writes in two ways, each an account of its own; refunds of Google Analytics are such."""

import json
from itertools import count

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.core.errors import ExperimentError
from experiments.events.append import Append
from experiments.events.lake import EventLake
from experiments.ingest.feed import feed_for, feeds, read_feed
from experiments.ingest.files import ingest_kinds
from experiments.ingest.log import FileRefused
from experiments.ingest.rejected import counted, export
from experiments.ingest.replay import replay_rejects
from experiments.jobs.ingest import _mapping

SHOP = """
name = "till"
title = "A till"
source = "https://intranet.example/till"
checked_on = 2026-11-26

[[files]]
kind = "click"
names = ["till-*"]
where = { type = ["click"] }
replaces = 'till-(?P<day>\\d+)-(?P<made>\\d+)'
columns = { event_id = "nr", ts = "at", unit = "who" }

[[files]]
kind = "conversion"
names = ["till-*"]
where = { type = ["sale"], paid = "not empty" }
replaces = 'till-(?P<day>\\d+)-(?P<made>\\d+)'
columns = { event_id = "nr", ts = "at", unit = "who", value = "paid" }

[[files]]
kind = "conversion"
names = ["till-*"]
where = { Type = ["return", "cancel"] }
replaces = 'till-(?P<day>\\d+)-(?P<made>\\d+)'
columns = { event_id = "nr", ts = "at", adjusts = "of", value = "paid" }
constants = { action = "refund" }
"""
AT = "2026-11-08T12:00:00Z"
ROWS = [
    f"click,c1,{AT},ann,,",
    f"sale,s1,{AT},ann,,12.50",
    f"sale,s2,{AT},bob,,9",
    f"return,r1,{AT},,s1,2.50",
    f"cancel,r2,{AT},bob,s2,9",
    f"return,r3,{AT},,,1",
    f"sale,s3,{AT},,,4",
    f"gift,g1,{AT},bob,,9",
    "sale,s4",
]
TEXT = "\n".join(["type,nr,at,who,of,paid", *ROWS]) + "\n"
ACCOUNTS = {
    "click": (3, 1, 0, {"ragged_row": 1, "unknown_event_type": 1}),
    "conversion": (3, 2, 0, {"missing_unit": 1}),
    "conversion.2": (3, 2, 0, {"adjusts_nothing": 1}),
}


@pytest.fixture
def till(tmp_path):
    """A mapping file, read."""

    def till(text=SHOP):
        path = tmp_path / "till.toml"
        path.write_text(text)
        return read_feed(path)

    return till


@pytest.fixture
def take(tmp_path, ingest_all):
    """A file of that content into the lake."""

    def take(feed, text=TEXT, name="till-1-1.csv", **changed):
        path = tmp_path / name
        path.write_text(text)
        return ingest_all(path, feed=feed, **changed)

    return take


def told(accounts):
    return {what: (each.read, each.accepted, each.duplicate, each.rejected) for what, each in accounts.items()}


def test_each_way_is_a_delivery_and_each_line_is_in_one(till, take, stored, register):
    found = take(till())
    assert told(found) == ACCOUNTS
    assert sum(each.read for each in found.values()) == len(ROWS)
    assert {each.kind for each in found.values()} == {"click", "conversion"}
    sha256 = found["click"].sha256
    assert list(register) == [f"{sha256[:50]}:conversion.2", f"{sha256[:50]}:conversion", sha256]
    assert max(map(len, register)) <= 64
    rows = {row["event_id"]: row for row in stored("outcomes")}
    assert {key: (row["value_micros"], row["adjusts"], row["line"]) for key, row in rows.items()} == {
        "c1": (None, None, 2), "s1": (12_500_000, None, 3), "s2": (9_000_000, None, 4),
        "r1": (-2_500_000, "s1", 5), "r2": (-9_000_000, "s2", 6),
    }  # fmt: skip
    assert {row["line"]: row["delivery"][50:] for row in stored("rejects") if ":" in row["delivery"]} == {
        7: ":conversion.2", 8: ":conversion"
    }  # fmt: skip


def test_the_same_again_adds_nothing_and_overlapping_files_count_once(till, take, lake):
    assert told(take(till())) == ACCOUNTS
    versions = lake.versions()
    assert all(each.replay for each in take(till(), kind="conversion").values())
    assert lake.versions() == versions
    more = take(till(), TEXT + f"return,r4,{AT},,s1,1\n", "till-2-1.csv")
    assert [(each.accepted, each.duplicate) for each in more.values()] == [(0, 1), (0, 2), (1, 2)]


def test_a_way_that_the_mapping_learns_later_is_taken_and_what_was_delivered_stays_known(till, take, register):
    before = take(till(SHOP.rpartition("[[files]]")[0]))
    assert {what: each.rejected.get("unknown_event_type") for what, each in before.items()} == {
        "click": 4, "conversion": None
    }  # fmt: skip
    known = dict(register)
    later = take(till())
    assert {what: each.replay for what, each in later.items()} == {
        "click": True, "conversion": True, "conversion.2": False
    }  # fmt: skip
    assert told(later)["conversion.2"] == ACCOUNTS["conversion.2"]
    assert {key: register[key] for key in known} == known


class Dies(BaseException):
    """Like a kill: nothing catches it."""


def dying(function, steps, fatal):
    """The function; dead before or after it where the count of steps says so."""

    def call(*arguments):
        for work in (lambda: function(*arguments), lambda: None):
            if next(steps) == fatal:
                raise Dies
            work()

    return call


def test_killed_between_any_two_steps_the_same_call_again_ends_in_the_same_lake(
    till, take, register, monkeypatch, tmp_path
):
    expected, died, fatal = None, True, -1
    while died:
        fatal, died, steps = fatal + 1, False, count()
        register.clear()
        lake = EventLake(tmp_path / f"lake-{fatal}")
        with monkeypatch.context() as patch:
            for owner, name in ((Append, "commit"), (type(register), "record")):
                patch.setattr(owner, name, dying(getattr(owner, name), steps, fatal))
            try:
                take(till(), lake=lake)
            except Dies:
                died = True
        assert told(take(till(), lake=lake)) == ACCOUNTS, fatal
        tables = [lake.dataset(name).to_table().to_pylist() for name in ("outcomes", "rejects")]
        found = [sorted(map(repr, rows)) for rows in tables]
        expected = expected or found
        assert found == expected, fatal
    assert fatal == 2 * (6 + 3), "six commits and three entries in the register were died before and after"


def test_a_newer_file_replaces_each_way_by_itself(till, take, stored):
    take(till())
    newer = take(till(), "\n".join(["type,nr,at,who,of,paid", ROWS[1], ROWS[3]]) + "\n", "till-1-2.csv")
    assert [each.accepted for each in newer.values()] == [0, 1, 1]
    assert len({each.slot for each in newer.values()}) == 3
    assert [row["event_id"] for row in stored("outcomes")] == ["r1", "s1"]
    late = take(till(), TEXT + "\n", "till-1-0.csv")
    assert [set(each.rejected) for each in late.values()] == [{"superseded"}] * 3


def test_rejects_of_each_way_are_judged_again_by_it_and_are_files_of_their_own(
    till, take, tmp_path, lake, register, hasher, stored, now
):
    bad = TEXT.replace(f"r1,{AT}", "r1,soon").replace(f"s1,{AT}", "s1,soon")
    take(till(), bad)
    origins = {origin.label: origin for origin, _ in counted(lake)}
    assert set(origins) == set(ACCOUNTS)
    for what, origin in origins.items():
        mapped = _mapping(origin, {"till": till()}, {}, hasher)
        assert mapped.label == what
        again = replay_rejects(origin, lake=lake, deliveries=register, hasher=hasher, arms={}, now=now, mapped=mapped)
        assert again.accepted == 0
        stays = {"click": ["unknown_event_type"], "conversion": ["bad_timestamp", "missing_unit"],
                 "conversion.2": ["adjusts_nothing", "bad_timestamp"]}  # fmt: skip
        assert sorted(again.rejected) == stays[what]
    done = {each.origin.label: each for each in export(lake, hasher, tmp_path / "out", "bad_timestamp")}
    assert [each.lines for each in done.values()] == [1, 1]
    for what in ("conversion.2", "conversion"):
        repaired = done[what].path
        assert repaired.name.endswith(f".{what}.rejects.csv")
        repaired.write_text(repaired.read_text().replace("soon", AT))
        settings = {"lake": lake, "deliveries": register, "hasher": hasher, "feed": till(), "arms": {}, "now": now}
        assert sum(each.accepted for each in ingest_kinds(repaired, **settings)) == 1
    rows = {row["event_id"]: (row["value_micros"], row["adjusts"]) for row in stored("outcomes")}
    assert (rows["r1"], rows["s1"]) == ((-2_500_000, "s1"), (12_500_000, None))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('where = { Type = ["return", "cancel"] }', 'where = { type = ["return", "sale"] }'),
        ('where = { Type = ["return", "cancel"] }', 'where = { type = "not empty" }'),
        ('where = { Type = ["return", "cancel"] }', 'where = { of = ["return"] }'),
        ('where = { Type = ["return", "cancel"] }', ""),
    ],
)
def test_rows_that_might_be_of_both_are_no_two_ways(till, old, new):
    with pytest.raises(
        ExperimentError, match=r"till-\* has two mappings of conversions: .*tell their rows apart by"
    ) as no:
        till(SHOP.replace(old, new))
    assert "\n" not in str(no.value)


def test_of_two_patterns_that_fit_the_first_still_counts_where_rows_are_not_told_apart(till):
    text = SHOP.replace('"till-*"]\nwhere = { Type = ["return", "cancel"] }', '"till-1*"]\nwhere = { type = ["sale"] }')
    kinds = till(text).kinds("till-1-1.csv", None)
    assert [(each.kind, each.constants) for each in kinds] == [("click", {}), ("conversion", {})]


MICROS = 1_794_139_200_000_000
"""2026-11-08 12:00 UTC."""
BOUGHT = {"transaction_id": "T-1", "purchase_revenue": 50.0}


def event(name, ecommerce, after=0, bundle=7, index=1, **fields):
    """An event of the export, as the table has it."""
    return {
        "event_name": name, "event_timestamp": MICROS + after, "event_bundle_sequence_id": bundle,
        "batch_event_index": index, "user_pseudo_id": "p1", "user_id": None,
        "ecommerce": {"transaction_id": None, "purchase_revenue": None, "refund_value": None, **ecommerce}, **fields,
    }  # fmt: skip


def refund(value, transaction="T-1", **fields):
    return event("refund", {"transaction_id": transaction, "refund_value": value}, **fields)


DAY = [
    event("purchase", BOUGHT),
    event("page_view", {}, 1),
    refund(5.0, after=9, user_pseudo_id=None),
    refund(7.5, after=9, index=2),
    refund(7.5, after=9, index=2),
    refund(-2.5, after=9, bundle=8),
    refund(1.0, "T-2", after=9),
    refund(None, "T-3", after=9),
    refund(3.0, "(not set)", after=9),
    refund(3.0, None, after=9),
    refund(0.0, after=11),
]
REFUNDS = (9, 5, 1, {"adjusts_nothing": 2, "unclear_adjustment": 1})
"""Read, accepted, duplicate and rejected."""
SAID = {"T-1": [-7_500_000, -5_000_000, -2_500_000], "T-2": [-1_000_000], "T-3": [None]}


def write(path, rows):
    """As the table itself (JSON lines without what is null, Parquet), or as a query flattens it (CSV)."""
    if path.suffix == ".parquet":
        text, number = pa.string(), pa.float64()
        bought = pa.struct([("transaction_id", text), ("purchase_revenue", number), ("refund_value", number)])
        columns = {
            name: pa.array([row[name] for row in rows]) for name in rows[0] if name not in ("ecommerce", "user_id")
        }
        pq.write_table(pa.table(columns | {
            "user_id": pa.array([row["user_id"] for row in rows], text),
            "ecommerce": pa.array([row["ecommerce"] for row in rows], bought),
        }), path)  # fmt: skip
        return path
    said = [{key: value for key, value in row.items() if value is not None and key != "ecommerce"} for row in rows]
    bought = [{key: value for key, value in row["ecommerce"].items() if value is not None} for row in rows]
    if path.suffix == ".json":
        path.write_text("".join(json.dumps({**a, "ecommerce": b}) + "\n" for a, b in zip(said, bought, strict=True)))
    else:
        names = [*(key for key in rows[0] if key != "ecommerce"), *rows[0]["ecommerce"]]
        lines = [names, *([str({**a, **b}.get(name, "")) for name in names] for a, b in zip(said, bought, strict=True))]
        path.write_text("".join(",".join(line) + "\n" for line in lines))
    return path


@pytest.fixture
def export_of(tmp_path, ingest_all):
    """Rows of the export into the lake; the account of refunds."""

    def export_of(name, rows):
        path = write(tmp_path / name, rows)
        return told(ingest_all(path, feed=feed_for(name, feeds(), None)))

    return export_of


def said_of(rows):
    """By transaction what was said of it."""
    found = {}
    for row in rows:
        if row["adjusts"]:
            found.setdefault(row["adjusts"], []).append(row["value_micros"])
    return {key: sorted(values, key=str, reverse=True) for key, values in sorted(found.items())}


@pytest.mark.parametrize("form", ["json", "parquet", "csv"])
def test_refunds_of_google_analytics_are_told_from_its_purchases(export_of, stored, hasher, form):
    found = export_of(f"events_20261108.{form}", DAY)
    assert found == {"conversion": (2, 1, 0, {"ignored_event_type": 1}), "conversion.2": REFUNDS}
    assert said_of(stored("outcomes")) == SAID
    rows = {row["value_micros"]: row for row in stored("outcomes")}
    assert (rows[50_000_000]["event_id"], rows[50_000_000]["adjusts"]) == ("T-1", None)
    assert (rows[-5_000_000]["unit"], rows[-7_500_000]["unit"]) == (None, hasher.hashed("p1"))
    assert {rows[value]["action"] for value in (-5_000_000, -1_000_000, None)} == {"refund"}


@pytest.mark.parametrize("forms", ["json parquet", "parquet csv", "csv json"])
def test_the_same_refund_in_another_export_counts_once(export_of, stored, forms):
    """The day's own table after the one that was filled during the day, with events that came late."""
    first, second = forms.split()
    export_of(f"events_intraday_20261108.{first}", DAY[:6])
    found = export_of(f"events_20261108.{second}", [refund(4.0, after=12), *reversed(DAY)])
    assert found["conversion"][1:3] == (0, 1)
    assert found["conversion.2"] == (10, 3, 4, REFUNDS[3])
    assert said_of(stored("outcomes")) == {**SAID, "T-1": [-7_500_000, -5_000_000, -4_000_000, -2_500_000]}


def test_an_export_without_places_in_a_batch_is_read(export_of, stored):
    """It was so before July 2024."""
    older = [{key: value for key, value in row.items() if key != "batch_event_index"} for row in DAY]
    assert export_of("events_20231108.parquet", older[:4])["conversion.2"][1:3] == (1, 1)
    assert stored("outcomes")[1]["event_id"] == f"T-1/{MICROS + 9}"


def test_a_query_that_names_no_transaction_is_read_as_ever_and_its_refunds_are_kept_aside(tmp_path, ingest_all, stored):
    path = tmp_path / "ga4-sales.csv"
    path.write_text(
        "event_name,event_timestamp,user_pseudo_id,value\n"
        f"purchase,{MICROS},p1,5\nrefund,{MICROS + 1},p1,5\npurchase,{MICROS + 2},p2,6\n"
    )
    found = told(ingest_all(path, feed=feeds()["ga4"]))
    assert found == {"conversion": (2, 2, 0, {}), "conversion.2": (1, 0, 0, {"adjusts_nothing": 1})}
    assert [row["value_micros"] for row in stored("outcomes")] in ([5_000_000, 6_000_000], [6_000_000, 5_000_000])


def test_a_file_that_lacks_what_refunds_need_is_refused_as_a_whole(till, take, lake):
    with pytest.raises(FileRefused, match="lacks of, which is the adjusts of conversions"):
        take(till(), TEXT.replace(",of,", ",from,"))
    assert set(lake.versions().values()) == {0}
