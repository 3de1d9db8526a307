"""One ingest a test: a lake, a register of deliveries, two experiments, and files written by hand."""

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from experiments.events.lake import EventLake
from experiments.ingest.files import ingest_file, ingest_kinds
from experiments.ingest.hashing import UnitHasher

NOW = datetime(2026, 11, 9, 6, 0, 0, 123456, tzinfo=UTC)
ARMS = {"spring": frozenset({"original", "mosaic"}), "0": frozenset({"original", "1"})}


class Register(dict):
    """Deliveries by hash, in memory."""

    def __init__(self):
        super().__init__()
        self.begun = {}

    def find(self, sha256):
        return self.get(sha256)

    def named(self, name):
        return tuple(each for each in self.values() if each.name == name)

    def record(self, delivery):
        if delivery.sha256 not in self and delivery.slot is not None and delivery.replaced_by is None:
            for each in self.values():
                if each.slot == delivery.slot and each.replaced_by is None:
                    self[each.sha256] = replace(each, replaced_by=delivery.sha256)
        self.setdefault(delivery.sha256, delivery)

    def claim(self, edition):
        self.begun.setdefault(edition.sha256, edition)

    def claimed(self, delivery):
        return self.begun.get(delivery)

    def editions(self, slot):
        return tuple(sorted(each for each in self.begun.values() if each.slot == slot))


@pytest.fixture
def now():
    return NOW


@pytest.fixture
def lake(tmp_path):
    return EventLake(tmp_path / "lake")


@pytest.fixture
def register():
    return Register()


@pytest.fixture
def hasher():
    return UnitHasher(b"a key of the tests' own, 32 bytes")


@pytest.fixture
def ingest(lake, register, hasher):
    """One existing file into the lake; its account must add up."""

    def ingest(path, kind=None, **changed):
        settings = {"lake": lake, "deliveries": register, "hasher": hasher, "arms": ARMS, "now": NOW, **changed}
        delivery = ingest_file(path, kind=kind, **settings)
        assert delivery.read == delivery.accepted + delivery.duplicate + sum(delivery.rejected.values())
        return delivery

    return ingest


@pytest.fixture
def deliver(tmp_path, ingest):
    """A file of that name and content into the lake."""

    def deliver(name, content, kind=None, **changed):
        path = tmp_path / "inbox" / name
        path.parent.mkdir(exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        return ingest(path, kind, **changed)

    return deliver


@pytest.fixture
def ingest_all(lake, register, hasher):
    """One existing file into the lake: its deliveries by kind, a second one of a kind as that with a number."""

    def ingest_all(path, **changed):
        settings = {"lake": lake, "deliveries": register, "hasher": hasher, "arms": ARMS, "now": NOW, **changed}
        found = ingest_kinds(path, **settings)
        for each in found:
            assert each.read == each.accepted + each.duplicate + sum(each.rejected.values())
        return {each.sha256.partition(":")[2] or each.kind: each for each in found}

    return ingest_all


@pytest.fixture
def stored(lake):
    """The rows of a lake table, in the order of their event ids or lines."""

    def stored(name="impressions"):
        rows = lake.dataset(name).to_table().to_pylist()
        return sorted(rows, key=lambda row: (row.get("event_id", ""), row.get("line", 0)))

    return stored


@pytest.fixture
def impressions():
    """Whole impressions ``i0``, ``i1``, ... as dicts; what is given replaces what is there, None leaves it out."""

    def impressions(count=3, first=0, **changed):
        made = []
        for number in range(first, first + count):
            ts = (NOW - timedelta(days=2, seconds=number)).isoformat()
            whole = {
                "event_id": f"i{number}",
                "ts": ts,
                "experiment": "spring",
                "arm": "mosaic",
                "unit": f"user-{number}",
            }
            made.append({key: value for key, value in {**whole, **changed}.items() if value is not None})
        return made

    return impressions


@pytest.fixture
def as_csv():
    """Dicts as CSV; nothing is quoted."""

    def as_csv(rows, end="\n"):
        columns = list(dict.fromkeys(key for row in rows for key in row))
        lines = [columns, *([str(row.get(column, "")) for column in columns] for row in rows)]
        return "".join(",".join(line) + end for line in lines)

    return as_csv


@pytest.fixture
def as_jsonl():
    """Dicts as JSON lines."""

    def as_jsonl(rows):
        return "".join(json.dumps(row) + "\n" for row in rows)

    return as_jsonl
