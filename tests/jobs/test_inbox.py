"""What of the inbox is new, and in which order it counts."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from experiments.events.counts import platform_counts
from experiments.store.deliveries import SqlDeliveries

IMPRESSIONS = "event_id,ts,experiment,arm,unit\ni{0},2026-11-03T06:00:00Z,autumn,noir,u{0}\n"
ALL = date(2026, 1, 1), date(2100, 1, 1)


@pytest.fixture
def says(office):
    """Puts a file of counts into the inbox."""

    def says(name, impressions):
        text = f"date,experiment,arm,impressions,clicks\n2026-11-03,autumn,noir,{impressions},3\n"
        (office.root / "inbox" / name).write_text(text)

    return says


@pytest.fixture
def stands(office):
    def stands():
        with office.looks() as stores:
            return [each.impressions for each in platform_counts(stores.lake, "autumn", *ALL)]

    return stands


@pytest.mark.parametrize("said", [(100, 120, 100), (100, 100, 120), (120, 100, 100, 120)])
def test_of_counts_that_lie_there_at_once_the_last_by_name_stands(office, says, stands, said):
    for number, impressions in enumerate(said):
        says(f"counts-{number}.csv", impressions)
    office.runs("ingest")
    assert stands() == [said[-1]]
    office.types("ingest")
    with office.looks() as stores:
        assert len(stores.deliveries.all()) == len(said), "each is known by its name"


def test_a_file_that_says_again_what_it_said_before_another_has_the_last_word(office, says, stands):
    office.now = datetime.now(UTC) - timedelta(minutes=1)
    for impressions in (100, 120, 100):
        says("counts.csv", impressions)
        office.runs("ingest")
        assert stands() == [impressions]


def test_twins_are_read_though_the_first_of_them_is_refused(office):
    """A name may say what the columns leave open."""
    text = "event_id,ts,unit\nv1,2026-11-03T06:00:00Z,u1\n"
    for name in ("a.csv", "clicks.csv", "zzz.csv"):
        (office.root / "inbox" / name).write_text(text)
    office.runs("ingest", code=1)
    with office.looks() as stores:
        assert [(each.name, each.kind) for each in stores.deliveries.all()] == [("clicks.csv", "click")]


def test_what_a_file_costs_does_not_grow_with_the_inbox(office, monkeypatch):
    asked = Counter()
    for name in ("find", "briefs"):
        real = getattr(SqlDeliveries, name)

        def counted(self, *arguments, real=real, name=name):
            asked[name] += 1
            return real(self, *arguments)

        monkeypatch.setattr(SqlDeliveries, name, counted)
    for number in range(12):
        (office.root / "inbox" / f"impressions-{number:02}.csv").write_text(IMPRESSIONS.format(number))
    office.runs("ingest")
    assert asked["find"] <= 12 * 4
    assert asked["briefs"] <= 2


def test_a_file_that_fails_or_waits_is_named(office, capsys):
    (office.root / "inbox" / "clicks-7.csv").write_text("event_id,ts\nc1,2026-11-03T06:00:00Z\n")
    capsys.readouterr()
    office.types("job", "due")
    assert "clicks-7.csv" in capsys.readouterr().out
    office.runs("ingest", code=1)
    assert capsys.readouterr().out.startswith("ingest clicks-7.csv: failed (")
    with office.looks() as stores, stores.ledger.lock("lake", "elsewhere:1:other", 60):
        office.runs("ingest", code=75)
    assert capsys.readouterr().out.startswith("ingest clicks-7.csv: later (lock lake is held by")
