"""Events that come again under another name: read for less, and accounted for as if each line were read for itself."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.events.append import Append
from experiments.events.lake import EventLake
from experiments.ingest import log, parquet, staging
from experiments.ingest.comma_separated import Csv
from experiments.ingest.files import ingest_file
from experiments.ingest.formats import DESCRIBING, Rows
from experiments.ingest.hashing import Networks, UnitHasher
from experiments.ingest.header import COLUMNS, EVENTS
from experiments.ingest.rows import Rules
from experiments.ingest.traffic import Agents, Filters, Hosts
from experiments.ingest.values import micros

NOW = datetime(2026, 11, 9, 6, tzinfo=UTC)
ARMS = {"spring": frozenset({"original", "mosaic"})}
FORMS = ("csv", "jsonl", "parquet")
BOTH_PATHS = {"none is expected to be known": 2.0, "all are expected to be known": -1.0}
"""The share of known events at its beginning from which on a file is taken for one that came before."""

BREAKS = {
    "missing_event_id": {"event_id": ""},
    "missing_unit": {"unit": ""},
    "unknown_arm": {"arm": "pencil"},
    "unknown_experiment": {"experiment": "autumn"},
    "bad_timestamp": {"ts": "yesterday"},
    "naive_timestamp": {"ts": "2026-11-07T00:00:00"},
    "future_timestamp": {"ts": "2031-01-01T00:00:00Z"},
    "bad_value": {"propensity": "2"},
    "unexpanded_macro": {"unit": "%%UNIT%%"},
}
"""By the reason to reject it: what is wrong with an impression."""
SEEN_BY = [
    {},
    {"user_agent": 'Mozilla/5.0 (X11; "rv")', "ip": "203.0.113.9", "device": "phone"},
    {"user_agent": "Googlebot/2.1", "ip": "2001:db8::1", "variant": "%%VARIANT%%"},
    {"user_agent": "curl/8", "ip": "nowhere", "slot": "0x0", "purpose": "prefetch", "country": "é"},
]
"""What no line is rejected for."""
IDS = st.integers(0, 12)
SENT = st.lists(
    st.tuples(IDS, st.sampled_from([*[None] * len(BREAKS), *BREAKS]), st.sampled_from(SEEN_BY)), max_size=30
)


class NoRegister:
    """Every file is new."""

    def find(self, _sha256):
        return None

    def record(self, _delivery):
        pass


@pytest.fixture
def small_blocks(monkeypatch):
    """A few lines at a time, so that small files have several blocks."""
    monkeypatch.setattr(log, "BLOCK_BYTES", 700)
    monkeypatch.setattr(parquet, "ROWS", 5)


def impression(number, why, seen_by):
    """Of few units on three days."""
    return {
        "event_id": f"i{number}",
        "ts": (NOW - timedelta(days=1 + number % 3)).isoformat(),
        "experiment": "spring",
        "arm": "mosaic",
        "unit": f"user-{number}",
        "propensity": "0.5",
        **dict.fromkeys(sorted(DESCRIBING), ""),
        **seen_by,
        **(BREAKS[why] if why else {}),
    }


def write(path, rows, form):
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        cells = [list(rows[0]), *(list(row.values()) for row in rows)]
        quoted = ('"' + cell.replace('"', '""') + '"' if '"' in cell else cell for row in cells for cell in row)
        width = len(rows[0])
        path.write_text("".join(",".join(next(quoted) for _ in range(width)) + "\n" for _ in cells))


def account(sent, before):
    """One line after the other: what is wrong with it, or else whether it came before, in the lake or in the file."""
    rejected, seen, accepted, duplicate = Counter(), {f"i{number}" for number in before}, [], 0
    for number, why, _ in sent:
        if why:
            rejected[why] += 1
        elif f"i{number}" in seen:
            duplicate += 1
        else:
            accepted.append(f"i{number}")
            seen.add(f"i{number}")
    return accepted, duplicate, dict(rejected)


@pytest.mark.usefixtures("small_blocks")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.sets(IDS), sent=SENT, form=st.sampled_from(FORMS))
def test_known_new_broken_and_repeated_lines_are_accounted_for_one_by_one(
    tmp_path_factory, monkeypatch, before, sent, form
):
    folder, lakes = tmp_path_factory.mktemp("again"), []
    sent = sent or [(1, None, {})]
    rows = [impression(*each) for each in sent]
    accepted, duplicate, rejected = account(sent, before)
    for place, share in enumerate(BOTH_PATHS.values()):
        lake = EventLake(folder / f"lake-{place}")
        given = {"lake": lake, "deliveries": NoRegister(), "hasher": UnitHasher(b"k" * 32), "arms": ARMS, "now": NOW}
        if before:
            first = folder / "impressions-first.csv"
            write(first, [impression(number, None, {}) for number in sorted(before)], "csv")
            first.write_text(first.read_text() + "\n")  # the same bytes would be the same delivery
            assert ingest_file(first, **given).accepted == len(before)
        write(folder / f"impressions.{form}", rows, form)
        with monkeypatch.context() as patch:
            patch.setattr(staging, "_MOSTLY", share)
            told = ingest_file(folder / f"impressions.{form}", **given)
        assert (told.read, told.accepted, told.duplicate) == (len(sent), len(accepted), duplicate)
        assert told.rejected == rejected
        lakes.append([lake.dataset(name).to_table().to_pylist() for name in ("impressions", "rejects")])
        events = {row["event_id"] for row in lakes[-1][0]}
        assert events == {f"i{number}" for number in before} | set(accepted)
        assert len(lakes[-1][0]) == len(events)
    one, other = ([sorted(map(repr, rows)) for rows in tables] for tables in lakes)
    assert one == other


WHOLE = {
    "event_id": "e1",
    "ts": "2026-11-07T00:00:00Z",
    "experiment": "spring",
    "arm": "mosaic",
    "unit": "0" * 32,
    "propensity": "0.5",
    "impression_id": "i1",
    "click_id": "c1",
    "action": "restate",
    "value": "2",
    "currency": "EUR",
    "adjusts": "v1",
    "slot": "300x250",
    "user_agent": "Mozilla/5.0",
    "ip": "203.0.113.9",
}
TEXTS = ["", "x", " y ", "%%X%%", "0x0", "2", "-1", "SEK", "refund", "Googlebot/2.1", "2001:db8::1", "prefetch", "é"]


@pytest.mark.parametrize("kind", EVENTS)
@settings(deadline=None)
@given(data=st.data())
def test_no_line_is_rejected_for_what_only_describes_it(kind, data):
    """Whoever makes a rule for such a column has to take it from the list."""
    whole = {name: WHOLE.get(name, "") for name in COLUMNS[kind]}
    changes = st.dictionaries(st.sampled_from(COLUMNS[kind]), st.sampled_from(TEXTS), max_size=3)
    rows = [whole | each for each in data.draw(st.lists(changes, min_size=4, max_size=4))]
    cells = {name: pa.array([row[name] for row in rows], pa.string()) for name in whole}

    def judged(columns):
        filters = Filters.shipped()
        rules = Rules(kind, ARMS, micros(NOW), Agents(filters.declared), Hosts(filters.data_centres), Networks())
        hashed = np.array([True, True, False, False])
        events, sieve = rules.sift(Rows(np.arange(len(rows)), columns, (), macros=True, hashed=hashed))
        return sieve.rejected(), events.select(["event_id", "date"])

    assert judged(cells) == judged({name: column for name, column in cells.items() if name not in DESCRIBING})


@pytest.mark.usefixtures("small_blocks")
def test_of_a_file_of_known_events_only_what_judges_a_line_is_read(deliver, impressions, as_csv, monkeypatch):
    lines = as_csv(impressions(400, user_agent="Mozilla/5.0", ip="203.0.113.9", slot="300x250"))
    deliver("impressions.csv", lines)
    real, read = Csv.rows, []

    def rows(self, block, but=frozenset()):
        found = real(self, block, but)
        read.append(frozenset(found.cells))
        return found

    monkeypatch.setattr(Csv, "rows", rows)
    again = deliver("impressions-again.csv", lines + "broken\n")
    assert (again.accepted, again.duplicate, again.rejected) == (0, 400, {"ragged_row": 1})
    assert read[0] == {"event_id", "ts", "experiment", "arm", "unit", "user_agent", "ip", "slot"}
    assert read[-1] == {"event_id", "ts", "experiment", "arm", "unit"}
    read.clear()
    grown = deliver("impressions-grown.csv", lines + "i400,2026-11-07T00:00:00Z,spring,mosaic,user,curl/8,,0x0\n")
    assert (grown.accepted, grown.duplicate) == (1, 400)
    assert "user_agent" in read[-1], "it is read again, whole"


@pytest.mark.usefixtures("small_blocks")
def test_a_new_event_behind_known_ones_is_kept_with_all_that_describes_it(deliver, impressions, as_csv, stored):
    described = {"user_agent": "Googlebot/2.1", "ip": "203.0.113.9", "slot": "300x250", "device": "phone"}
    deliver("impressions.csv", as_csv(impressions(200, **described)))
    deliver("impressions-grown.csv", as_csv(impressions(201, **described)))
    alike = {(row["invalid"], row["network"], row["slot"], row["device"]) for row in stored()}
    assert alike == {("declared_bot", "203.0.113.0/24", "300x250", "phone")}
    assert len(stored()) == 201


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dies", ["before its rejects", "after its rejects", "in the register"])
def test_known_events_that_come_again_are_accounted_for_once_wherever_ingest_dies(
    deliver, impressions, as_csv, stored, lake, monkeypatch, register, dies
):
    lines = as_csv(impressions(60))
    deliver("impressions.csv", lines)
    before, real = lake.versions(), Append.commit

    def commit(self, rows, delivery):
        if dies == "after its rejects":
            real(self, rows, delivery)
        raise KeyboardInterrupt

    def record(_delivery):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if dies == "in the register":
            patch.setattr(register, "record", record)
        else:
            patch.setattr(Append, "commit", commit)
        with pytest.raises(KeyboardInterrupt):
            deliver("impressions-again.csv", lines + "broken\n")
    again = deliver("impressions-again.csv", lines + "broken\n")
    assert (again.accepted, again.duplicate, again.rejected) == (0, 60, {"ragged_row": 1})
    assert lake.versions() == before | {"rejects": 1}
    assert (len(stored()), [row["line"] for row in stored("rejects")]) == (60, [62])
