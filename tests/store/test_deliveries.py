"""The register of deliveries on both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from experiments.core.delivery import Delivery, Edition
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


def test_who_replaces_what_is_told_by_slot(deliveries):
    slotted = [replace(FIRST, sha256=name * 32, slot="s", made=name) for name in ("01", "02", "03")]
    other = replace(FIRST, sha256="09" * 32, slot="t", made="01")
    judged = replace(FIRST, sha256="0a" * 32, rejects_of=slotted[0].sha256)
    for each in (slotted[0], other, judged, slotted[1]):
        deliveries.record(each)
    assert {each.sha256 for each in deliveries.replaced(slotted[1].sha256)} == {slotted[0].sha256, judged.sha256}
    deliveries.record(slotted[2])
    assert deliveries.find(slotted[0].sha256).replaced_by == slotted[1].sha256, "what stands stays"
    assert deliveries.find(slotted[1].sha256).replaced_by == slotted[2].sha256
    assert deliveries.find(slotted[2].sha256).replaced_by is None
    assert deliveries.find(other.sha256).replaced_by is None
    late = replace(FIRST, sha256="00" * 32, slot="s", made="00", replaced_by=slotted[2].sha256)
    deliveries.record(late)
    assert deliveries.find(slotted[2].sha256).replaced_by is None, "who came too late replaces nothing"


def test_editions_are_told_once(deliveries):
    first, second = Edition("s", "02", "aa"), Edition("s", "01", "bb", rejects=True)
    for each in (first, second, Edition("t", "01", "cc"), Edition("s", "09", "aa")):
        deliveries.claim(each)
    assert deliveries.editions("s") == (second, first)
    assert deliveries.editions("u") == ()
    assert [deliveries.claimed(each) for each in ("aa", "bb", "dd")] == [first, second, None]
