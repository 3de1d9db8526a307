"""The register of deliveries on both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from experiments.core.delivery import Delivery
from experiments.store.deliveries import SqlDeliveries

FIRST = Delivery(
    "aa" * 32, "impressions.jsonl.gz", "impression", size=5_000_000_000, read=6_000_000_003, accepted=6_000_000_000,
    duplicate=1, finished_at=datetime(2026, 11, 2, 6, 30, 0, 17, tzinfo=UTC), rejected={"not_json": 2},
    lake_versions={"impressions": 3},
)  # fmt: skip
SECOND = replace(FIRST, sha256="bb" * 32, finished_at=FIRST.finished_at + timedelta(hours=1))


@pytest.fixture
def deliveries(engine):
    return SqlDeliveries(engine)


def test_a_delivery_comes_back_exactly(deliveries):
    assert deliveries.find(FIRST.sha256) is None
    deliveries.record(FIRST)
    assert deliveries.find(FIRST.sha256) == FIRST


def test_the_first_account_of_a_file_stands(deliveries):
    deliveries.record(FIRST)
    deliveries.record(replace(FIRST, accepted=0, duplicate=6_000_000_001, replay=True))
    assert deliveries.all() == (FIRST,)


def test_deliveries_by_time(deliveries):
    deliveries.record(SECOND)
    deliveries.record(FIRST)
    assert deliveries.all() == (FIRST, SECOND)
    assert deliveries.between(FIRST.finished_at, SECOND.finished_at) == (FIRST,)
    assert deliveries.between(SECOND.finished_at, SECOND.finished_at + timedelta(microseconds=1)) == (SECOND,)
