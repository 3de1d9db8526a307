"""A lake of its own for each test, and rows for it written by hand."""

import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from experiments.core.plan import Arm, Attribution, Plan
from experiments.events.evidence import evidence_of
from experiments.events.lake import EventLake
from experiments.events.schema import TABLES

START = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture
def start():
    return START


@pytest.fixture
def lake(tmp_path):
    return EventLake(tmp_path / "lake")


@pytest.fixture
def plan():
    arms = (Arm("original", "original"), Arm("mosaic", "mosaic#0123456789ab"))
    return Plan("spring", "salt", "original", arms, start=START, attribution=Attribution(1, 7))


@pytest.fixture
def at():
    """An instant, so long after the start."""

    def at(**after: float) -> datetime:
        return START + timedelta(**after)

    return at


@pytest.fixture
def rows():
    """An Arrow table with a lake table's schema, from dicts that leave out what does not matter."""

    def rows(name: str, events: list[dict], delivery: str = "d1") -> pa.Table:
        whole = {"delivery": delivery, "delivered_at": START, "experiment": "spring", "unit": "u"}
        kept = [{**whole, "date": event["ts"].date(), **event} for event in events]
        return pa.Table.from_pylist(kept, schema=TABLES[name].schema)

    return rows


@pytest.fixture
def measure(rows, plan):
    """The evidence of events given as dicts, as the lake would hand them to the expression."""

    def measure(impressions, outcomes, as_of, plan=plan):
        tables = rows("impressions", impressions), rows("outcomes", outcomes)
        return evidence_of(*tables, plan, as_of, {"impressions": 3})

    return measure


@pytest.fixture
def impression(at):
    def impression(event_id, unit="u1", arm="original", *, hours=1.0, **fields):
        whole = {"experiment": "spring", "invalid": None, "ts": at(hours=hours)}
        return {"event_id": event_id, "arm": arm, "unit": unit, **whole, **fields}

    return impression


@pytest.fixture
def outcome(at):
    def outcome(event_id, kind="click", *, hours=2.0, **fields):
        whole = {"impression_id": None, "unit": None, "invalid": None, "value_micros": None, "ts": at(hours=hours)}
        return {"event_id": event_id, "kind": kind, **whole, **fields}

    return outcome


@pytest.fixture(scope="session")
def loops():
    """What counts, by loops; tests are not a package, so their file is run rather than imported."""
    return runpy.run_path(str(Path(__file__).with_name("test_evidence.py")))["Loops"]
