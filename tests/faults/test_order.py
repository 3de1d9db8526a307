"""In whatever order files come, however they overlap and wherever the clock stands: the same events, the same evidence.

Only what a line's own time was judged by may differ: what lies beyond tomorrow by the clock of the day is rejected.
"""

import csv
import io
import json
import random
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.core.plan import Arm, Plan
from experiments.events.append import Append
from experiments.events.evidence import gather
from experiments.events.lake import EventLake
from experiments.events.upkeep import vacuum
from experiments.ingest.files import ingest_file
from experiments.ingest.hashing import UnitHasher
from experiments.store.codec import evidence_document

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
NOW = MONDAY + timedelta(days=7, hours=6)
ARMS = {"spring": frozenset({"original", "mosaic"})}
PLAN = Plan("spring", "spring", "original", (Arm("original", "original"), Arm("mosaic", "mosaic")), start=MONDAY)
PEOPLE, EVENTS = 40, 300


class Register(dict):
    """Deliveries by hash, in memory."""

    def find(self, sha256):
        return self.get(sha256)

    def record(self, delivery):
        self[delivery.sha256] = delivery


def impressions(first, count):
    return [
        {
            "event_id": f"i{number}",
            "ts": (MONDAY + timedelta(minutes=number * 17)).isoformat(),
            "experiment": "spring",
            "arm": ("original", "mosaic")[number % PEOPLE % 2],
            "unit": f"user-{number % PEOPLE}",
        }
        for number in range(first, first + count)
    ]


def clicks(first, count):
    return [
        {
            "event_id": f"c{number}",
            "ts": (MONDAY + timedelta(minutes=number * 17, seconds=20)).isoformat(),
            "impression_id": f"i{number}",
        }
        for number in range(first, first + count, 3)
    ]


def as_csv(rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def shuffled(rows):
    return random.Random(5).sample(rows, len(rows))  # noqa: S311 - no secret


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three files that share events, two of the same events under other names and in another form and order."""
    folder = tmp_path_factory.mktemp("inbox")
    texts = {
        "impressions-a.csv": as_csv(impressions(0, 200)) + "broken\n",
        "impressions-b.csv": as_csv(impressions(100, 200)),
        "clicks.csv": as_csv(clicks(0, EVENTS)),
        "impressions-days-later.jsonl": as_jsonl(shuffled(impressions(50, 250))),
        "clicks-days-later.jsonl": as_jsonl(shuffled(clicks(0, 150))),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]


@pytest.fixture
def lake(tmp_path):
    return EventLake(tmp_path / "lake")


@pytest.fixture
def take(lake):
    """A file into the lake, by the clock of the moment; its account must add up."""
    register = Register()

    def take(path, now=NOW, register=register):
        told = ingest_file(
            path, lake=lake, deliveries=register, hasher=UnitHasher(b"k" * 32), arms=ARMS, now=now, kind=None
        )
        assert told.read == told.accepted + told.duplicate + sum(told.rejected.values())
        return told

    return take


def contents(lake):
    """Every event, whichever file it came in and whenever."""
    found = {}
    for name in ("impressions", "outcomes"):
        rows = lake.dataset(name).to_table().drop_columns(["delivery", "delivered_at", "line"]).to_pylist()
        found[name] = sorted(rows, key=lambda row: row["event_id"])
    return found


def evidence(lake):
    document = evidence_document(gather(lake, PLAN, NOW))
    return json.dumps(document, sort_keys=True)


@pytest.fixture(scope="module")
def undisturbed(files, tmp_path_factory):
    """Each event once, in one file a kind."""
    folder = tmp_path_factory.mktemp("undisturbed")
    lake = EventLake(folder / "lake")
    for name, rows in (("impressions", impressions(0, EVENTS)), ("clicks", clicks(0, EVENTS))):
        path = folder / f"{name}.csv"
        path.write_text(as_csv(rows))
        ingest_file(path, lake=lake, deliveries=Register(), hasher=UnitHasher(b"k" * 32), arms=ARMS, now=NOW)
    assert [len(rows) for rows in contents(lake).values()] == [EVENTS, EVENTS // 3]
    return contents(lake), evidence(lake)


ORDERS = random.Random(11).sample(list(permutations(range(5))), 3)  # noqa: S311 - no secret


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_files_that_overlap_end_in_the_same_lake_in_any_order(lake, take, files, undisturbed, order):
    told = [take(files[place], NOW + timedelta(days=2 * day)) for day, place in enumerate(order)]
    assert (contents(lake), evidence(lake)) == undisturbed
    assert sum(each.accepted for each in told) == EVENTS + EVENTS // 3
    assert sum(each.duplicate for each in told) == sum(each.read for each in told) - EVENTS - EVENTS // 3 - 1
    assert told[0].duplicate == 0, "the duplicate that stays is the first delivered"
    again = [take(path, NOW - timedelta(hours=3)) for path in files]
    assert all(each.replay for each in again)
    assert (contents(lake), evidence(lake)) == undisturbed


CLOCKS = {
    "back by hours": (0, -5, -11, -20, -2),
    "forward by years": (0, 24 * 400, 24 * 4000, 24 * 400, 0),
    "forward, then back": (24 * 30, -6, 24 * 365, -20, 1),
}


@pytest.mark.parametrize("hours", CLOCKS.values(), ids=CLOCKS)
def test_wherever_the_clock_stands_the_lake_ends_the_same(lake, take, files, undisturbed, hours):
    told = [take(path, NOW + timedelta(hours=moved)) for path, moved in zip(files, hours, strict=True)]
    assert (contents(lake), evidence(lake)) == undisturbed
    assert [(each.accepted, each.duplicate, each.rejected) for each in told] == [
        (200, 0, {"ragged_row": 1}), (100, 100, {}), (100, 0, {}), (0, 250, {}), (0, 50, {}),
    ]  # fmt: skip


@pytest.mark.parametrize("moved", [-10, 0, 24 * 365], ids="clock {} hours on".format)
@pytest.mark.parametrize("table", ["impressions", "rejects", "register"])
def test_killed_after_any_write_and_begun_again_by_another_clock_it_ends_the_same(
    lake, take, tmp_path, monkeypatch, moved, table
):
    """Of the file one event is of tomorrow: by a clock that was put back it is of the day after."""
    soon = [replaced | {"ts": (NOW + timedelta(hours=20)).isoformat()} for replaced in impressions(900, 1)]
    path = tmp_path / "impressions.csv"
    path.write_text(as_csv([*impressions(0, 30), *soon]) + "broken\n")
    real = Append.commit

    def dies(self, rows, delivery):
        real(self, rows, delivery)
        if rows.folder.name == table:
            raise KeyboardInterrupt

    class Dies(Register):
        def record(self, delivery):
            super().record(delivery)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Append, "commit", dies)
        with pytest.raises(KeyboardInterrupt):
            take(path, register=Dies())
    told = take(path, NOW + timedelta(hours=moved))
    assert (told.read, told.accepted, told.duplicate, told.rejected) == (32, 31, 0, {"ragged_row": 1})
    assert [row["event_id"] for row in contents(lake)["impressions"]] == sorted(f"i{n}" for n in (*range(30), 900))
    assert lake.dataset("rejects").to_table()["reason"].to_pylist() == ["ragged_row"]


def test_an_orphan_file_never_counts(lake, take, files, undisturbed, tmp_path):
    """A writer that died left a whole, readable file of events in the table's own folder: nobody spoke of it."""
    take(files[0])
    ours = sorted((tmp_path / "lake" / "impressions").rglob("*.parquet"))[0]
    orphan = pq.read_table(ours, partitioning=None)
    names = pa.array([f"orphan-{name}" for name in orphan["event_id"].to_pylist()])
    place = orphan.schema.get_field_index("event_id")
    orphan = orphan.set_column(place, orphan.schema.field("event_id"), names)
    left = [ours.with_name(f"part-{'0' * 32}.parquet"), ours.parent.with_name("date=2026-11-30") / "part-0.parquet"]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        pq.write_table(orphan, path)
    for path in files[1:]:
        take(path)
    assert (contents(lake), evidence(lake)) == undisturbed
    assert vacuum(lake, "impressions", 0).files == len(left)
    assert not any(path.exists() for path in left)
    assert (contents(lake), evidence(lake)) == undisturbed
