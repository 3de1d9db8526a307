"""Rejects of files that hold several kinds of events, in each form: judged again, they are the events they were."""

import json
from collections import Counter
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.events.lake import EventLake
from experiments.ingest.feed import read_feed
from experiments.ingest.files import ingest_kinds
from experiments.ingest.layout import Mapped
from experiments.ingest.rejected import counted, export
from experiments.ingest.replay import replay_rejects

MIXED = """
name = "mixed"
title = "A server with one log for all"
source = "https://intranet.example/logs"
checked_on = 2026-11-26

[[files]]
kind = "impression"
names = ["mixed-*"]
where = { type = ["view"] }
replaces = 'mixed-(?P<hour>\\d+)-(?P<made>\\d+)'
columns = { event_id = "id", ts = "at", unit = ["who", "device.id"], arm = "look", ip = "address" }
constants = { experiment = "autumn" }
nothing = { unit = ["-"] }

[[files]]
kind = "click"
names = ["mixed-*"]
where = { type = ["click"] }
replaces = 'mixed-(?P<hour>\\d+)-(?P<made>\\d+)'
columns = { event_id = "#line", ts = "at", impression_id = "view", unit = "who" }

[[files]]
kind = "conversion"
names = ["mixed-*"]
where = { type = ["sale"] }
replaces = 'mixed-(?P<hour>\\d+)-(?P<made>\\d+)'
columns = { event_id = "who + id", ts = "at", unit = "who", value = "paid", currency = "money" }
"""
ARMS = {"spring": frozenset({"original"})}
MORE_ARMS = {**ARMS, "autumn": frozenset({"original", "mosaic"})}
COLUMNS = ("type", "id", "at", "who", "device.id", "look", "view", "paid", "money", "address", "mail")


@pytest.fixture
def feed(tmp_path):
    path = tmp_path / "mixed.toml"
    path.write_text(MIXED)
    return read_feed(path)


def rows(now):
    soon, later = (now - timedelta(hours=1)).isoformat(), (now + timedelta(days=2)).isoformat()
    ann = "ann@example.org"
    return [
        ("view", "e1", soon, ann, "", "mosaic", "", "", "", "203.0.113.77", ann),
        ("view", "e2", soon, "-", "phone-7", "original", "", "", "", "", ""),
        ("view", "e3", soon, "-", "-", "original", "", "", "", "", ""),
        ("click", "e4", later, ann, "", "", "e1", "", "", "", ""),
        ("click", "e5", soon, ann, "", "", "e1", "", "", "", ""),
        ("sale", "e6", later, ann, "", "", "", "12.50", "EUR", "", ""),
        ("sale", "e7", soon, ann, "", "", "", "9", "NOK", "", ""),
        ("dance", "e8", soon, ann, "", "", "", "", "", "", ""),
    ]


def written(path, now, form):
    """The same rows as CSV, as JSON lines with an object in an object, as Parquet with a struct."""
    if form == "csv":
        path.write_text("".join(",".join(row) + "\n" for row in [COLUMNS, *rows(now)]))
        return path
    records = [dict(zip(COLUMNS, row, strict=True)) for row in rows(now)]
    nested = [{"device": {"id": record.pop("device.id")}, **record} for record in records]
    if form == "jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in nested))
    else:
        pq.write_table(pa.Table.from_pylist(nested), path)
    return path


def contents(lake):
    found = {}
    for name in ("impressions", "outcomes"):
        table = lake.dataset(name).to_table().drop_columns(["line", "delivery", "delivered_at"]).to_pylist()
        found[name] = sorted(table, key=lambda row: row["event_id"])
    return found


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_judged_again_they_are_the_events_they_were(feed, tmp_path, lake, register, hasher, now, form):
    path = written(tmp_path / f"mixed-1-1.{form}", now, form)
    settings = {"hasher": hasher, "feed": feed}
    first = ingest_kinds(path, lake=lake, deliveries=register, arms=ARMS, now=now, **settings)
    assert [sum(each.rejected.values()) for each in first] == [4, 1, 1]
    soon = now + timedelta(days=5)
    for origin in dict.fromkeys(origin for origin, _ in counted(lake)):
        files = feed.kinds(origin.name, origin.kind)
        place = [file.kind for file in files].index(origin.kind)
        mapped = Mapped.of(files, place, {}, origin.delivery, hasher, origin.feed)
        replay_rejects(
            origin, lake=lake, deliveries=register, hasher=hasher, arms=MORE_ARMS, now=soon, mapped=mapped,
            times=files[place].times,
        )  # fmt: skip
    elsewhere = EventLake(tmp_path / "elsewhere")
    ingest_kinds(path, lake=elsewhere, deliveries=type(register)(), arms=MORE_ARMS, now=soon, **settings)
    found, whole = contents(lake), contents(elsewhere)
    assert found["impressions"] == whole["impressions"]
    assert len(found["impressions"]) == 2
    made = hasher.of_ids.hashed("ann@example.org")
    assert [row for row in whole["outcomes"] if row not in found["outcomes"]] == [
        row for row in whole["outcomes"] if row["event_id"] == f"{made}/e6"
    ], "its id is made of a unit, of whom only another hash was kept"
    assert len(found["outcomes"]) == 3
    left = Counter(row["reason"] for row in lake.dataset("rejects").to_table().to_pylist())
    assert left == {"missing_unit": 1, "unknown_event_type": 1, "id_of_a_unit": 1}
    kept = [file for file in (tmp_path / "lake").rglob("*") if file.is_file()]
    for secret in ("ann@example.org", "phone-7", "203.0.113.77"):
        assert not [file for file in kept if secret.encode() in file.read_bytes()]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_each_kind_is_a_file_of_its_own_to_repair(feed, tmp_path, lake, register, hasher, now, form):
    path = written(tmp_path / f"mixed-1-1.{form}", now, form)
    settings = {"lake": lake, "deliveries": register, "hasher": hasher, "feed": feed, "arms": MORE_ARMS}
    ingest_kinds(path, now=now, **settings)
    done = {each.origin.kind: each for each in export(lake, hasher, tmp_path / "out")}
    assert {kind: each.lines for kind, each in done.items()} == {"impression": 2, "click": 1, "conversion": 1}
    repaired = done["conversion"].path
    repaired.write_text(repaired.read_text().replace(str((now + timedelta(days=2)).date()), "2026-11-08"))
    told = ingest_kinds(repaired, now=now, **settings)
    assert [(each.kind, each.read, each.accepted) for each in told] == [
        ("impression", 0, 0), ("click", 0, 0), ("conversion", 1, 0)
    ]  # fmt: skip
    assert told[2].rejected == {"id_of_a_unit": 1}
    assert [each.slot for each in told] == [None] * 3, "it is no new edition of its hour"
    repaired = done["click"].path
    repaired.write_text(repaired.read_text().replace(str((now + timedelta(days=2)).date()), "2026-11-08"))
    told = ingest_kinds(repaired, now=now, **settings)
    assert [(each.kind, each.accepted) for each in told] == [("impression", 0), ("click", 1), ("conversion", 0)]
    found = contents(lake)["outcomes"]
    assert {row["unit"] for row in found} == {hasher.hashed("ann@example.org")}
    made = hasher.of_ids.hashed("ann@example.org")
    assert [row["kind"] for row in found].count("click") == 2
    assert [row["event_id"] for row in found if row["kind"] == "conversion"] == [f"{made}/e7"]


def test_an_hour_of_several_kinds_is_replaced_kind_by_kind(feed, tmp_path, lake, register, hasher, now):
    settings = {"lake": lake, "deliveries": register, "hasher": hasher, "feed": feed, "arms": MORE_ARMS, "now": now}
    ingest_kinds(written(tmp_path / "mixed-1-1.csv", now, "csv"), **settings)
    other = tmp_path / "mixed-2-1.csv"
    other.write_text((tmp_path / "mixed-1-1.csv").read_text().replace(",e", ",f"))
    ingest_kinds(other, **settings)
    text = (tmp_path / "mixed-1-1.csv").read_text().splitlines(keepends=True)
    newer = tmp_path / "mixed-1-2.csv"
    newer.write_text("".join([text[0], text[2], text[5]]))
    told = ingest_kinds(newer, **settings)
    assert [(each.kind, each.accepted) for each in told] == [("impression", 1), ("click", 1), ("conversion", 0)]
    found = contents(lake)
    assert [row["event_id"] for row in found["impressions"]] == ["e2", "f1", "f2"]
    assert Counter(row["kind"] for row in found["outcomes"]) == {"click": 2, "conversion": 1}
    late = tmp_path / "mixed-1-0.csv"
    late.write_text("".join(text) + "\n")
    told = ingest_kinds(late, **settings)
    assert [each.rejected for each in told] == [{"superseded": 4}, {"superseded": 2}, {"superseded": 2}]
    assert contents(lake) == found
