"""A lake of its own for each test, and rows for it written by hand."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from experiments.core.plan import Arm, Attribution, Plan
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
